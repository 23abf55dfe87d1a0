"""Runs with a plan, through the real SDK: an activity before the chunks, and one after them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_function import main
from shared_code.failures import leaving_activity
from shared_code.orchestration import GROUP_SIZE
from shared_code.planning import MAX_RESULTS_LISTED
from shared_code.stored_results import ResultsError
from tests.replay.driver import Orchestration
from tests.replay.test_orchestrator_replay import RUN, backwards, failing, tiny

NAME = {"instance_id": "abc", "started": "2026-03-01T10:00:01Z"}
PLAN = {"listing": "0123456789abcdef", "run": NAME}
PLACE = {"location": "az://results/abc", "manifest": "az://results/abc/manifest.json"}


class Activities:
    """All three activities: what they were called with, and what they return or raise."""

    def __init__(self, plan: Any = PLAN, chunk: Callable[[Any], Any] = tiny, end: Exception | None = None) -> None:
        self.plan, self.chunk, self.end = plan, chunk, end
        self.starts: list[Any] = []
        self.chunks: list[Any] = []
        self.ends: list[Any] = []

    def __call__(self, given: dict[str, Any]) -> Any:
        if "chunk_id" in given:
            self.chunks.append(given)
            return self.chunk(given)
        if "output" in given:
            self.ends.append(given)
            if self.end:
                raise self.end
            return {**PLACE, "files": given["output"]["succeeded"], "records": given["records"]}
        self.starts.append(given)
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan


def run_of(total_chunks: int, activities: Activities, **more: object) -> Orchestration:
    request = {**RUN, "total_chunks": total_chunks, "prepare": True, **more}
    return Orchestration(main, json.dumps(request)).start().run(activities, together=100, order=backwards)


def test_the_plan_is_made_first_and_every_chunk_has_it() -> None:
    activities = Activities()

    run = run_of(3, activities, allow_changed_readings=True)

    first, second, *_ = run.custom_statuses
    assert (first["phase"], first["chunks_done"], first["chunks_total"]) == ("preparing", 0, 3)
    assert second["phase"] == "processing"
    assert activities.starts == [{"start": RUN["start"], "end": RUN["end"], "run": NAME}]
    assert {json.dumps(chunk["plan"]) for chunk in activities.chunks} == {json.dumps(PLAN)}
    assert {chunk["allow_changed_readings"] for chunk in activities.chunks} == {True}
    assert (run.output["status"], len(run.output["results"])) == ("completed", 3)


def test_the_manifest_is_written_after_the_last_chunk_and_the_output_names_the_place() -> None:
    activities = Activities(chunk=failing({1}))

    output = run_of(3, activities).output

    (end,) = activities.ends
    assert (end["run"], end["records"]) == (NAME, 4)
    assert [result["chunk_id"] for result in end["output"]["results"]] == [1]
    assert end["output"]["summary"] == output["summary"]
    assert output["stored"] == {**PLACE, "files": 2, "records": 4}
    assert [result["chunk_id"] for result in output["results"]] == [0, 1, 2]


def test_a_plan_without_results_ends_with_the_last_chunk() -> None:
    activities = Activities(plan={"listing": PLAN["listing"]})

    output = run_of(3, activities).output

    assert activities.ends == []
    assert "stored" not in output


@pytest.mark.parametrize("total", [MAX_RESULTS_LISTED, MAX_RESULTS_LISTED + 1, 2 * GROUP_SIZE + 20])
def test_stored_results_are_listed_in_the_output_up_to_a_limit(total: int) -> None:
    activities = Activities(chunk=failing({0, 60}))

    output = run_of(total, activities).output

    listed = [result["chunk_id"] for result in output["results"]]
    assert listed == (list(range(total)) if total <= MAX_RESULTS_LISTED else [0, 60])
    assert (output["total_chunks"], output["succeeded"], output["failed"]) == (total, total - 2, 2)
    assert output["stored"]["records"] == 2 * (total - 2)
    assert len(activities.starts) == len(activities.ends) == 1
    assert sorted({chunk["chunk_id"] for chunk in activities.chunks}) == list(range(total))


def test_without_stored_results_the_output_lists_all_chunks() -> None:
    total = MAX_RESULTS_LISTED + 1

    assert len(run_of(total, Activities(plan={})).output["results"]) == total


def test_a_run_that_cannot_begin_fails_with_the_reason_and_starts_no_chunk() -> None:
    activities = Activities(plan=ValueError("cannot read az://none"))

    run = run_of(3, activities)

    assert run.failure == "the run could not begin: ValueError: cannot read az://none"
    assert (len(activities.starts), activities.chunks) == (3, [])
    assert run.custom_statuses[-1]["phase"] == "failed"


def test_a_place_that_stays_wrong_is_tried_once() -> None:
    with pytest.raises(ResultsError) as caught, leaving_activity():
        raise ResultsError("cannot write x")
    activities = Activities(plan=caught.value)

    run = run_of(3, activities)

    assert run.failure == "the run could not begin: ResultsError: cannot write x"
    assert (len(activities.starts), activities.chunks) == (1, [])


def test_a_run_that_fails_has_no_manifest() -> None:
    activities = Activities(chunk=failing({0, 1}))

    run = run_of(3, activities, max_failed_chunks=1)

    assert run.failure is not None
    assert activities.ends == []


def test_a_run_whose_manifest_cannot_be_written_fails_with_the_reason() -> None:
    activities = Activities(end=ValueError("00001.parquet is missing"))

    run = run_of(3, activities)

    assert run.failure == "the results are not complete: ValueError: 00001.parquet is missing"
    assert run.custom_statuses[-1]["phase"] == "failed"


def test_replaying_a_finished_history_gives_the_same_output() -> None:
    run = run_of(5, Activities())
    first = run.output

    run.complete()

    assert run.output == first


def resumed(activities: Activities, *kept: int, **more: object) -> Orchestration:
    report = {"status": "success", "processing_time": 0.1, "records": 2, "start": RUN["start"], "end": RUN["end"]}
    folded = {"results": [{**report, "chunk_id": chunk_id} for chunk_id in kept], "statistics": {}}
    request = {**RUN, "total_chunks": 3, "prepare": True}
    value = {"resume_of": "earlier", "request": request, "kept": folded, **more}
    return Orchestration(main, json.dumps(value)).start().run(activities, together=100)


def test_a_resumed_run_has_the_stored_results_of_the_chunks_that_it_keeps() -> None:
    earlier = {"instance_id": "earlier", "started": "2026-02-01T10:00:00Z"}
    activities = Activities()

    run = resumed(activities, 0, 2, stored=earlier)

    (start,) = activities.starts
    assert (start["run"], start["kept"]) == (NAME, {"run": earlier, "chunk_ids": [0, 2]})
    assert [chunk["chunk_id"] for chunk in activities.chunks] == [1]
    (end,) = activities.ends
    assert (end["run"], end["records"], end["output"]["resume_of"]) == (NAME, 6, "earlier")
    assert run.output["stored"]["records"] == 6
    assert (run.custom_statuses[0]["phase"], run.custom_statuses[0]["records"]) == ("preparing", 4)


def test_a_resumed_run_that_keeps_no_chunk_takes_over_no_stored_results() -> None:
    activities = Activities()

    resumed(activities, stored={"instance_id": "earlier", "started": "2026-02-01T10:00:00Z"})

    assert "kept" not in activities.starts[0]
