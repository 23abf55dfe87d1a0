"""The orchestrator through the real SDK, under every kind of outcome and several interleavings."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestrator_function import main
from process_chunk_activity import main as process_chunk
from shared_code.aggregation import fold_chunks
from shared_code.contracts import ChunkInput, RunRequest
from shared_code.failures import leaving_activity
from shared_code.fan_out import MAX_ATTEMPTS
from shared_code.instants import format_instant
from shared_code.orchestration import GROUP_SIZE
from shared_code.processing import process_chunk as process_window
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source
from shared_code.results import ChunkResult
from tests.replay.driver import Orchestration, Order, activity_failed

RUN: dict[str, Any] = {
    "start": "2025-06-17T10:00:00Z",
    "end": "2025-06-17T11:00:00Z",
    "time": "2025-06-17T12:00:00Z",
}


def backwards(ids: list[int]) -> list[int]:
    return sorted(ids, reverse=True)


def shuffled(seed: int) -> Order:
    chance = random.Random(seed)

    def order(ids: list[int]) -> Sequence[int]:
        return chance.sample(ids, len(ids))

    return order


def run_of(total_chunks: int, **more: object) -> Orchestration:
    return Orchestration(main, json.dumps({**RUN, "total_chunks": total_chunks, **more})).start()


def tiny(chunk: dict[str, Any]) -> dict[str, Any]:
    """A cheap activity: two values per chunk, derived from its id."""
    value = float(chunk["chunk_id"])
    statistics = {"a": {"count": 2, "mean": value, "std": 0.5, "min": value - 0.5, "max": value + 0.5}}
    report = {"status": "success", "processing_time": 0.1, "records": 2, "statistics": statistics}
    return {"chunk_id": chunk["chunk_id"], "start": chunk["start"], "end": chunk["end"], **report}


def failing(failed: set[int], *, times: int = 1_000) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`tiny`, but the chunks in `failed` raise the first `times` times."""
    attempts: Counter[int] = Counter()

    def activity(chunk: dict[str, Any]) -> dict[str, Any]:
        attempts[chunk["chunk_id"]] += 1
        if chunk["chunk_id"] in failed and attempts[chunk["chunk_id"]] <= times:
            raise ValueError(f"boom {chunk['chunk_id']}")
        return tiny(chunk)

    return activity


def results(run: Orchestration) -> list[tuple[int, str]]:
    return [(result["chunk_id"], result["status"]) for result in run.output["results"]]


def test_a_run_over_the_synthetic_signal_equals_one_pass_over_the_window() -> None:
    output = run_of(12).run(process_chunk).output

    whole = process_window(ChunkInput.from_json({**RUN, "chunk_id": 0, "total_chunks": 1}), open_source({}))
    assert (output["status"], output["total_chunks"], output["succeeded"], output["failed"]) == ("completed", 12, 12, 0)
    assert {name: output[name] for name in RUN} == RUN
    assert sum(result["records"] for result in output["results"]) == whole.records
    assert output["summary"].keys() == whole.statistics.keys()
    for series, summary in output["summary"].items():
        assert summary == pytest.approx(whole.statistics[series].summary(), rel=1e-9)


@pytest.mark.parametrize("together", [1, 5])
@pytest.mark.parametrize("order", [sorted, backwards, shuffled(1), shuffled(2)])
def test_the_output_is_the_same_for_every_interleaving(order: Order, together: int) -> None:
    expected = run_of(30).run(failing({3, 17})).output

    assert run_of(30).run(failing({3, 17}), order=order, together=together).output == expected
    assert expected["status"] == "partial"


def test_all_chunks_are_scheduled_at_once() -> None:
    run = run_of(45)

    assert sorted(run.open) == list(range(45))
    assert {task.action["functionName"] for task in run.open.values()} == {"process_chunk_activity"}
    assert [task.input["chunk_id"] for _, task in sorted(run.open.items())] == list(range(45))


def test_progress_shows_every_chunk_of_a_small_run() -> None:
    run = run_of(12).run(tiny, order=backwards)

    assert [status["chunks_done"] for status in run.custom_statuses] == list(range(13))
    assert [status["records"] for status in run.custom_statuses] == list(range(0, 26, 2))
    # An episode takes a second here, and the first one is that of the start.
    assert [status["estimated_end"] for status in run.custom_statuses[:2]] == [None, None]
    assert run.custom_statuses[5] == {
        "phase": "processing",
        "chunks_done": 5,
        "chunks_failed": 0,
        "chunks_total": 12,
        "records": 10,
        "estimated_end": "2026-03-01T10:00:13Z",
    }
    assert run.custom_statuses[-1] == {
        "phase": "completed",
        "chunks_done": 12,
        "chunks_failed": 0,
        "chunks_total": 12,
        "records": 24,
        "estimated_end": "2026-03-01T10:00:13Z",
    }


def test_a_slow_first_chunk_does_not_hide_the_progress_of_the_others() -> None:
    run = run_of(60)

    run.complete(*((task_id, tiny(run.open[task_id].input)) for task_id in range(1, 60)))

    assert run.custom_statuses[-1]["chunks_done"] == 59


def test_a_chunk_that_fails_at_first_is_retried_and_succeeds() -> None:
    run = run_of(5).run(failing({2}, times=2))

    assert results(run) == [(number, "success") for number in range(5)]
    assert run.output["status"] == "completed"


def test_chunks_that_fail_for_good_are_kept_beside_the_others() -> None:
    run = run_of(5).run(failing({0, 3}))

    assert results(run) == [(0, "failed"), (1, "success"), (2, "success"), (3, "failed"), (4, "success")]
    assert run.output["results"][3] == {
        "chunk_id": 3,
        "status": "failed",
        "start": "2025-06-17T10:36:00Z",
        "end": "2025-06-17T10:48:00Z",
        "error": {"type": "ValueError", "message": "boom 3"},
    }
    assert (run.output["status"], run.output["succeeded"], run.output["failed"]) == ("partial", 3, 2)
    assert run.output["summary"]["a"]["count"] == 6
    assert run.custom_statuses[-1]["phase"] == "partial"


@pytest.mark.parametrize("wrong", [None, "done", {"chunk_id": 0}])
def test_a_chunk_that_gets_the_result_of_another_task_fails_and_is_not_counted_twice(wrong: object) -> None:
    run = run_of(3)
    run.complete((0, tiny(run.open[0].input)), (1, wrong), (2, tiny(run.open[2].input)))

    assert results(run) == [(0, "success"), (1, "failed"), (2, "success")]
    assert run.output["results"][1]["error"]["type"] == "ResultLost"
    assert run.custom_statuses[-1]["chunks_failed"] == run.output["failed"] == 1


def test_a_failed_batch_is_not_concluded_before_its_last_chunk_is_known() -> None:
    run = run_of(2)
    for attempt in range(MAX_ATTEMPTS):
        run.fail(0 if attempt == 0 else max(run.open), activity_failed(ValueError("boom")))
        for pause in list(run.pauses):
            run.expire(pause)

    assert not run.result["isDone"]
    run.complete((1, tiny(run.open[1].input)))
    assert run.output["status"] == "partial"


def test_more_failures_than_allowed_fail_the_run_with_their_reasons() -> None:
    run = run_of(5, max_failed_chunks=1).run(failing({0, 3}))

    assert run.failure == (
        "2 of 5 chunks failed (max_failed_chunks is 1): chunk 0: ValueError: boom 0; chunk 3: ValueError: boom 3"
    )
    last = run.custom_statuses[-1]
    assert (last["phase"], last["chunks_done"], last["chunks_failed"], last["records"]) == ("failed", 5, 2, 6)


def test_a_run_without_a_single_success_fails() -> None:
    run = run_of(3).run(failing({0, 1, 2}))

    assert run.failure is not None
    assert run.failure.startswith("3 of 3 chunks failed: ")


def test_a_large_run_is_made_of_sub_orchestrations_with_the_same_output() -> None:
    total = 2 * GROUP_SIZE + 20
    run = run_of(total)

    assert [task.action["functionName"] for task in run.open.values()] == ["orchestrator_function"] * 3
    output = run.run(failing({0, 160}), together=100, order=shuffled(3)).output

    assert [result["chunk_id"] for result in output["results"]] == list(range(total))
    assert [result["chunk_id"] for result in output["results"] if result["status"] == "failed"] == [0, 160]
    assert output["summary"]["a"]["count"] == 2 * (total - 2)
    assert (output["summary"]["a"]["min"], output["summary"]["a"]["max"]) == (0.5, total - 0.5)
    assert [status["chunks_done"] for status in run.custom_statuses] == [0, total]
    assert run.custom_statuses[-1]["chunks_failed"] == 2
    assert run.custom_statuses[-1]["records"] == 2 * (total - 2)


def test_the_status_of_a_large_run_shows_every_group_that_has_ended() -> None:
    run = run_of(2 * GROUP_SIZE + 10)
    large, other, small = (Orchestration(main, run.open[number].action["input"]).start() for number in range(3))
    small.run(failing({203}))
    run.complete((2, small.output))
    assert run.custom_statuses[-1]["estimated_end"] is None
    run.complete((0, large.run(tiny, together=100).output))

    assert run.custom_statuses[-1] == {
        "phase": "processing",
        "chunks_done": 110,
        "chunks_failed": 1,
        "chunks_total": 210,
        "records": 218,
        "estimated_end": "2026-03-01T10:00:04Z",
    }
    assert small.custom_statuses[-1]["chunks_total"] == 10
    run.complete((1, other.run(tiny, together=100).output))
    assert run.custom_statuses[-1]["chunks_done"] == 210


@pytest.mark.parametrize("total", [1, 12, GROUP_SIZE, 2 * GROUP_SIZE])
def test_progress_costs_no_episode(total: int) -> None:
    run = run_of(total)
    tasks = len(run.open)

    run.run(tiny)

    assert len(run.custom_statuses) == 1 + tasks
    assert all(status for status in run.custom_statuses)


def test_a_replay_shows_the_status_of_the_first_time() -> None:
    run = run_of(8).run(failing({5}), order=shuffled(4))
    shown = run.custom_statuses[-1]

    run.complete()

    assert run.custom_statuses[-1] == shown


def test_a_sub_orchestration_ended_from_outside_loses_its_chunks_and_no_others() -> None:
    run = run_of(GROUP_SIZE + 10)
    child = run.open[1]

    run.fail(0, "Orchestrator function 'orchestrator_function' failed: terminated by hand")
    assert not run.result["isDone"]
    run.complete((1, Orchestration(main, child.action["input"]).start().run(tiny, together=100).output))

    assert (run.output["failed"], run.output["succeeded"]) == (GROUP_SIZE, 10)
    assert run.output["results"][0]["error"] == {"type": "ChunkFailed", "message": "terminated by hand"}


def test_a_run_started_past_the_starter_has_the_orchestration_s_own_time() -> None:
    body = {"start": RUN["start"], "end": RUN["end"], "total_chunks": 2, "instance_id": "mine"}
    run = Orchestration(main, body).start().run(tiny)

    assert run.output["time"] == "2026-03-01T10:00:01Z"


@pytest.mark.parametrize("raw_input", ['{"start": 1}', "null", '"text"', None])
def test_an_input_that_no_run_can_have_fails_with_the_reason(raw_input: object) -> None:
    run = Orchestration(main, raw_input).start()

    assert run.failure is not None
    assert "must be" in run.failure


def test_replaying_a_finished_history_gives_the_same_output() -> None:
    run = run_of(8).run(failing({5}), order=shuffled(4))
    first = run.output

    run.complete()

    assert run.output == first


class TestAttempts:
    """Chunks that fail and are tried again, after durable pauses."""

    def test_a_failed_chunk_is_scheduled_again_after_a_pause(self) -> None:
        run = run_of(3)
        run.fail(1, activity_failed(ValueError("boom")))

        assert (sorted(run.open), run.pauses) == ([0, 2], {3})
        assert run.timers[3]["fireAt"] == "2026-03-01T10:00:03.000000Z"
        run.expire(3)

        assert sorted(run.open) == [0, 2, 4]
        assert run.open[4].input["chunk_id"] == 1

    def test_after_the_last_attempt_the_chunk_has_failed(self) -> None:
        run = run_of(1)
        for attempt in range(MAX_ATTEMPTS):
            assert run.open[2 * attempt].input["chunk_id"] == 0
            run.fail(2 * attempt, activity_failed(ValueError("boom")))
            for pause in list(run.pauses):
                run.expire(pause)

        assert run.failure is not None
        assert run.timers == {}

    @pytest.mark.parametrize("together", [1, 5])
    @pytest.mark.parametrize("order", [sorted, backwards, shuffled(1), shuffled(2)])
    @pytest.mark.parametrize("limit", [30, 4])
    def test_a_permanent_error_is_the_outcome_of_the_first_attempt(
        self, order: Order, together: int, limit: int
    ) -> None:
        attempts: Counter[int] = Counter()

        def activity(chunk: dict[str, Any]) -> dict[str, Any]:
            attempts[chunk["chunk_id"]] += 1
            if chunk["chunk_id"] in {3, 17}:
                with leaving_activity():
                    raise ReadingsError("cannot read x", is_permanent=chunk["chunk_id"] == 17)
            return tiny(chunk)

        run = run_of(30, max_parallel=limit).run(activity, order=order, together=together)

        assert {number: count for number, count in attempts.items() if count > 1} == {3: MAX_ATTEMPTS}
        failures = [result["error"] for result in run.output["results"] if result["status"] == "failed"]
        assert failures == [{"type": "ReadingsError", "message": "cannot read x"}] * 2
        output = run.output
        run.complete()
        assert run.output == output

    def test_the_attempts_of_a_late_chunk_do_not_wait_for_the_oldest(self) -> None:
        run = run_of(60)
        run.complete((1, tiny(run.open[1].input)))
        run.fail(50, activity_failed(ValueError("boom")))
        # Only the first failure of a chunk is noticed when one of the oldest is done.
        assert run.pauses == set()
        run.complete((0, tiny(run.open[0].input)))
        assert run.pauses == {60}

        run.expire(60)
        run.fail(61, activity_failed(ValueError("boom")))

        assert run.pauses == {62}

    def test_a_pause_is_canceled_when_the_time_of_its_chunk_is_over(self) -> None:
        run = run_of(2, chunk_timeout=30)
        run.fail(0, activity_failed(ValueError("boom")))
        run.complete((1, tiny(run.open[1].input)))

        run.expire(2)

        assert run.result["isDone"]
        assert run.timers == {}

    def test_a_group_that_fails_is_not_tried_again(self) -> None:
        run = run_of(2 * GROUP_SIZE)
        run.fail(0, "Orchestrator function 'orchestrator_function' failed: terminated by hand")

        assert (list(run.open), run.timers) == ([1], {})


class TestLimitedParallelism:
    """Runs of which only some chunks are in flight at once."""

    def watched(self, run: Orchestration, order: Order, activity: Callable[[Any], Any], together: int = 1) -> list[int]:
        """Runs to the end, a step at a time, and returns how many chunks were in flight at each step."""
        counts = []
        while run.open or run.pauses:
            counts.append(len(run.open) + len(run.pauses))
            run.step(activity, order=order, together=together)
        return counts

    @pytest.mark.parametrize("together", [1, 3])
    @pytest.mark.parametrize("order", [sorted, backwards, shuffled(1), shuffled(2)])
    def test_no_more_chunks_than_allowed_are_in_flight_and_the_output_is_the_same(
        self, order: Order, together: int
    ) -> None:
        expected = run_of(30).run(failing({3, 17})).output
        run = run_of(30, max_parallel=4)

        counts = self.watched(run, order, failing({3, 17}), together)

        assert run.output == expected
        assert max(counts) == 4
        assert counts[:5] == [4] * 5

    def test_every_chunk_is_scheduled_once_and_in_order(self) -> None:
        run = run_of(12, max_parallel=5).run(tiny, order=shuffled(5))
        scheduled = [event for event in run.history if event["EventType"] == 4]
        assert [event["EventId"] for event in scheduled] == list(range(12))
        assert [status["chunks_done"] for status in run.custom_statuses] == list(range(13))

    @pytest.mark.parametrize(("limit", "at_once"), [(3, 1), (GROUP_SIZE, 1), (2 * GROUP_SIZE + 1, 2), (10_000, 3)])
    def test_the_groups_of_a_large_run_keep_to_it_together(self, limit: int, at_once: int) -> None:
        run = run_of(2 * GROUP_SIZE + 20, max_parallel=limit)

        assert len(run.open) == at_once
        group = Orchestration(main, next(iter(run.open.values())).action["input"]).start()
        assert len(group.open) == min(limit, GROUP_SIZE)
        output = run.run(tiny, together=100).output
        assert [result["chunk_id"] for result in output["results"]] == list(range(2 * GROUP_SIZE + 20))


class TestChunkTimeout:
    """Runs whose chunks have a limited time, by durable timers."""

    def test_without_a_limit_there_is_no_timer(self) -> None:
        assert run_of(5).timers == {}

    def test_chunks_that_start_together_share_a_timer_that_is_scheduled_after_them(self) -> None:
        run = run_of(GROUP_SIZE, chunk_timeout=30)

        assert sorted(run.open) == list(range(GROUP_SIZE))
        assert {number: timer["fireAt"] for number, timer in run.timers.items()} == {
            GROUP_SIZE: "2026-03-01T10:00:31.000000Z"
        }

    def test_a_chunk_that_is_not_done_in_time_fails_by_name_and_the_others_are_kept(self) -> None:
        run = run_of(4, chunk_timeout=0.5)
        run.complete(*((number, tiny(run.open[number].input)) for number in (0, 2, 3)))
        run.expire(4)

        assert run.result["isDone"]
        assert results(run) == [(0, "success"), (1, "failed"), (2, "success"), (3, "success")]
        assert run.output["results"][1]["error"] == {"type": "ChunkTimeout", "message": "not done within 0.5 seconds"}
        assert (run.output["status"], run.custom_statuses[-1]["chunks_failed"]) == ("partial", 1)

    def test_the_timer_is_canceled_when_the_last_of_its_chunks_is_done(self) -> None:
        run = run_of(3, chunk_timeout=30)
        run.complete((0, tiny(run.open[0].input)), (1, tiny(run.open[1].input)))
        assert list(run.timers) == [3]

        run.complete((2, tiny(run.open[2].input)))

        assert run.result["isDone"]
        assert run.timers == {}

    @pytest.mark.parametrize("together", [1, 5])
    @pytest.mark.parametrize("limit", [None, 3])
    @pytest.mark.parametrize("order", [sorted, backwards, shuffled(1), shuffled(2)])
    def test_the_output_is_that_of_a_run_without_a_limit(self, order: Order, limit: int | None, together: int) -> None:
        expected = run_of(30).run(failing({3, 17})).output
        options = {} if limit is None else {"max_parallel": limit}
        run = run_of(30, chunk_timeout=60, **options).run(failing({3, 17}), order=order, together=together)

        assert run.output == expected
        assert run.timers == {}

    def test_a_chunk_that_starts_later_has_a_timer_of_its_own_and_a_late_result_is_ignored(self) -> None:
        run = run_of(3, chunk_timeout=30, max_parallel=2)
        assert (list(run.open), list(run.timers)) == ([0, 1], [2])
        run.complete((0, tiny(run.open[0].input)))
        assert (list(run.open), list(run.timers)) == ([1, 3], [2, 4])

        run.expire(2)
        run.complete((1, tiny(run.open[1].input)))
        assert not run.result["isDone"]
        run.complete((3, tiny(run.open[3].input)))

        assert results(run) == [(0, "success"), (1, "failed"), (2, "success")]
        assert run.timers == {}

    @pytest.mark.parametrize("seed", range(10))
    def test_the_ids_of_chunks_and_timers_do_not_depend_on_what_ends_together(self, seed: int) -> None:
        def ids(together: int) -> dict[int, str]:
            run = run_of(30, chunk_timeout=60, max_parallel=4).run(tiny, order=shuffled(seed), together=together)
            kinds = {4: "chunk", 10: "timer"}
            return {event["EventId"]: kinds[event["EventType"]] for event in run.history if event["EventType"] in kinds}

        assert ids(1) == ids(2) == ids(4)
        assert list(ids(1).values())[:9] == ["chunk"] * 4 + ["timer"] + ["chunk", "timer"] * 2

    def test_the_place_of_a_chunk_that_is_out_of_time_is_given_to_the_next(self) -> None:
        run = run_of(3, chunk_timeout=30, max_parallel=1)

        run.expire(1)

        assert run.open[2].input["chunk_id"] == 1
        assert list(run.timers) == [3]

    def test_the_limit_includes_attempts_and_the_pauses_between_them(self) -> None:
        run = run_of(2, chunk_timeout=30)
        run.fail(0, activity_failed(ValueError("boom")))
        run.complete((1, tiny(run.open[1].input)))
        run.expire(2)

        assert run.output["results"][0]["error"]["type"] == "ChunkTimeout"

    @pytest.mark.parametrize(("is_first", "status"), [(True, "failed"), (False, "success")])
    def test_the_history_decides_if_the_result_comes_with_the_end_of_the_time(
        self, is_first: bool, status: str
    ) -> None:
        run = run_of(2, chunk_timeout=30)
        completions = [run._completion(number, tiny(run.open[number].input)) for number in range(2)]
        fired = run._event(11, TimerId=2, FireAt=run.timers[2]["fireAt"])
        run._episode([completions[0], fired, completions[1]] if is_first else [*completions, fired])

        assert results(run) == [(0, "success"), (1, status)]
        before = run.output
        run.complete()
        assert run.output == before

    def test_a_group_of_a_large_run_has_the_limit(self) -> None:
        run = run_of(GROUP_SIZE + 10, chunk_timeout=30)
        assert run.timers == {}

        group = Orchestration(main, run.open[1].action["input"]).start()

        assert (len(group.open), list(group.timers)) == (10, [10])


class TestResumedRun:
    """Runs that have some of their chunks from an earlier run."""

    def resumed(self, total: int, kept: Sequence[int], **options: object) -> Orchestration:
        request = {**RUN, "total_chunks": total, **options}
        chunks = [ChunkResult.from_json(tiny(chunk_input(request, chunk_id))) for chunk_id in kept]
        value = {"resume_of": "earlier", "request": request, "kept": fold_chunks(chunks).to_json()}
        return Orchestration(main, json.dumps(value)).start()

    @pytest.mark.parametrize("together", [1, 5])
    @pytest.mark.parametrize("total", [30, GROUP_SIZE + 30, 3 * GROUP_SIZE])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 1.0])
    def test_its_output_is_that_of_one_whole_run(self, total: int, share: float, together: int) -> None:
        expected = run_of(total).run(tiny, together=100).output
        kept = sorted(random.Random(total).sample(range(total), int(total * share)))

        output = self.resumed(total, kept).run(tiny, order=shuffled(6), together=together).output

        assert output.pop("resume_of") == "earlier"
        summary, whole = output.pop("summary"), expected.pop("summary")
        assert output == expected
        assert summary["a"] == pytest.approx(whole["a"], rel=1e-12)

    def test_only_the_missing_chunks_are_scheduled(self) -> None:
        run = self.resumed(GROUP_SIZE + 30, [number for number in range(GROUP_SIZE + 30) if number not in (7, 110)])

        assert [task.input["chunk_id"] for task in run.open.values()] == [7, 110]

    def test_more_of_them_than_fit_into_one_history_become_groups_with_gaps(self) -> None:
        run = self.resumed(3 * GROUP_SIZE, range(0, 3 * GROUP_SIZE, 3))

        groups = [task.input for task in run.open.values()]
        assert [group["chunk_count"] for group in groups] == [GROUP_SIZE, GROUP_SIZE]
        assert groups[0]["chunk_ids"][:4] == [1, 2, 4, 5]
        assert all("kept" not in json.dumps(group) for group in groups)

    def test_its_progress_begins_with_the_kept_chunks_and_its_estimate_with_the_others(self) -> None:
        run = self.resumed(10, range(6))
        for number in range(2):
            run.complete((number, tiny(run.open[number].input)))

        first, second, third = run.custom_statuses
        assert (first["chunks_done"], first["records"], first["estimated_end"]) == (6, 12, None)
        assert (second["chunks_done"], second["records"], second["estimated_end"]) == (7, 14, None)
        assert (third["chunks_done"], third["estimated_end"]) == (8, "2026-03-01T10:00:05Z")

    def test_chunks_that_fail_again_are_listed_and_counted_against_the_limit(self) -> None:
        run = self.resumed(5, [0, 2, 4]).run(failing({1}))
        assert [(each["chunk_id"], each["status"]) for each in run.output["results"]][:2] == [
            (0, "success"),
            (1, "failed"),
        ]
        assert (run.output["status"], run.output["failed"]) == ("partial", 1)

        failed = self.resumed(5, [0, 2, 4], max_failed_chunks=0).run(failing({1}))
        assert failed.failure is not None
        assert failed.failure.startswith("1 of 5 chunks failed (max_failed_chunks is 0)")

    def test_files_that_have_changed_since_the_earlier_run_fail_it_unless_that_is_allowed(self) -> None:
        def reading(version: str) -> Callable[[Any], Any]:
            readings = {"location": "az://c", "files": 1, "version": version}
            return lambda chunk: {**tiny(chunk), "readings": readings}

        request = {**RUN, "total_chunks": 3}
        kept = fold_chunks([ChunkResult.from_json(reading("1")(chunk_input(request, 0)))]).to_json()

        def resumed(**options: object) -> Orchestration:
            value = {"resume_of": "earlier", "request": {**request, **options}, "kept": kept}
            return Orchestration(main, json.dumps(value)).start()

        assert resumed().run(reading("1")).output["status"] == "completed"
        changed = resumed().run(reading("2")).failure
        assert changed is not None
        assert changed.startswith("ReadingsChanged")
        assert resumed(allow_changed_readings=True).run(reading("2")).output["status"] == "completed"


def chunk_input(request: dict[str, Any], chunk_id: int) -> dict[str, Any]:
    part = RunRequest.from_json(request).window.part(chunk_id, request["total_chunks"])
    return {"chunk_id": chunk_id, "start": format_instant(part.start), "end": format_instant(part.end)}
