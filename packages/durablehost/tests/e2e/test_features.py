"""Every feature of the durable SDK that durablehost has, each by an orchestrator of its own in `tests/apps/features`.

An orchestration that uses a missing feature fails with the name of the feature.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, instances
from packages.durablehost.tests.eventually import eventually_blocking

LARGE = 200_000


@pytest.fixture(scope="module")
def app(shared_host: RunningHost) -> Iterator[App]:
    with shared_host(FEATURES_APP) as host:
        yield App(host.url)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    # Even after a failed test, no activity waits for ever.
    made.open()


class TestActivities:
    def test_run_one_after_another(self, app: App) -> None:
        assert app.start("chained", "-").output() == "-abc"

    def test_run_in_parallel_and_return_in_order(self, app: App, gate: Gate) -> None:
        items: list[object] = [1, "two", None, [3], {"four": 4.5}, "fünf 🌡", True, ""]
        assert app.start("fanned", items).output() == items
        side_by_side = app.start("gated_fan", [gate.value(name) for name in "abcd"])
        gate.wait_until_reached(4)
        gate.open()
        assert side_by_side.output() == ["a", "b", "c", "d"]

    def test_that_return_nothing_have_the_result_none(self, app: App) -> None:
        assert app.start("empty_handed").output() == [None, None]

    def test_take_and_return_large_values(self, app: App) -> None:
        """The values are too large for queues and tables, so they go through blobs."""
        output = app.start("enlarged", {"text": "x" * LARGE, "length": LARGE}).output()
        assert output["received"] == LARGE
        assert output["results"] == [{"received": LARGE, "text": "y" * LARGE}] * 2

    def test_take_and_return_objects_of_the_app(self, app: App) -> None:
        assert app.start("warmed", 20.5).output() == 21.5

    def test_fail_with_type_and_text(self, app: App) -> None:
        failure = app.start("failing", "no such reading").failure()
        assert failure.startswith("Orchestrator function 'failing' failed: ")
        assert "Activity function 'fail' failed:  ValueError: no such reading" in failure

    def test_and_children_that_do_not_exist_fail_by_name(self, app: App) -> None:
        activity, child = app.start("misled").output()
        assert "Activity function 'no_activity' does not exist" in activity
        assert "no_child" in child


class TestRetries:
    def test_end_with_the_first_success(self, app: App, tmp_path: Path) -> None:
        options = {"calls": str(tmp_path / "calls"), "failures": 2, "attempts": 5}
        assert app.start("retried", options).output() == 3

    def test_that_are_exhausted_raise_the_last_failure(self, app: App, tmp_path: Path) -> None:
        options = {"calls": str(tmp_path / "calls"), "failures": 9, "attempts": 3}
        failure = app.start("retried", options).failure()
        assert "RuntimeError: call 3 fails" in failure
        assert (tmp_path / "calls").read_text().count("called") == 3

    def test_that_are_exhausted_can_be_caught(self, app: App, tmp_path: Path) -> None:
        options = {"calls": str(tmp_path / "calls"), "failures": 1, "attempts": 1, "caught": True}
        assert app.start("retried", options).output().startswith("gave up: Activity function 'flaky' failed:")

    def test_wait_for_their_interval(self, app: App, tmp_path: Path) -> None:
        options = {"calls": str(tmp_path / "calls"), "failures": 1, "attempts": 2, "interval": 1_000}
        run = app.start("retried", options)
        assert run.output() == 2
        events = run.status(showHistory="true")["historyEvents"]
        failed, succeeded = (moment(each) for each in events if each["EventType"] in ("TaskFailed", "TaskCompleted"))
        assert (succeeded - failed).total_seconds() >= 0.9


class TestTimers:
    @pytest.mark.parametrize("seconds", [1, 0, -3600])
    def test_fire_when_they_are_due_or_at_once_if_that_time_is_past(self, app: App, seconds: int) -> None:
        began_at, woke_at = map(datetime.fromisoformat, app.start("napped", seconds).output())
        assert (woke_at - began_at).total_seconds() >= max(seconds, 0)

    def test_that_lose_a_race_are_cancelled(self, app: App, gate: Gate) -> None:
        gate.open()
        # The orchestration would stay Running for an hour if the timer still counted.
        assert app.start("raced", {"activity": gate.value("quick"), "seconds": 3600}).output() == "quick"

    def test_that_win_a_race_leave_the_activity_to_its_end(self, app: App, gate: Gate) -> None:
        run = app.start("raced", {"activity": gate.value("slow"), "seconds": 0.5})
        eventually_blocking(lambda: run.status()["customStatus"] == "too late")
        # As on the extension, an execution ends when all its scheduled work is done.
        assert run.status()["runtimeStatus"] == "Running"
        gate.open()
        assert run.output() == "timer"


class TestSubOrchestrations:
    def test_have_an_id_of_their_own_or_the_one_they_are_given(self, app: App) -> None:
        run = app.start("parent", ["first", "second"])
        first, second = run.output()
        assert second == ["second", f"{run.id}-second", run.id]
        assert (first[0], first[2]) == ("first", run.id)
        assert first[1] not in (run.id, f"{run.id}-second")
        child = call("GET", f"{app.url}{MANAGEMENT}/instances/{first[1]}")
        assert (child.status, child.document["name"]) == (200, "child")

    def test_that_fail_raise_in_their_parent_and_are_retried(self, app: App) -> None:
        run = app.start("careful_parent")
        once, twice = run.output()
        assert "Orchestrator function 'broken' failed: broken once" in once
        assert "Orchestrator function 'broken' failed: broken twice" in twice
        created = run.status()["createdTime"]
        broken = [each for each in instances(app.url, createdTimeFrom=created) if each["name"] == "broken"]
        inputs = [json.loads(each["input"]) for each in broken]
        assert sorted(inputs) == ["once", "twice", "twice"]


class TestEnds:
    def test_an_orchestrator_without_a_yield_completes(self, app: App) -> None:
        assert app.start("idle").output() == "nothing to do"

    def test_an_orchestrator_that_is_not_a_generator_completes(self, app: App) -> None:
        assert app.start("plain", 7).output() == {"input": 7}

    @pytest.mark.parametrize("when", ["at once", "later"])
    def test_an_exception_fails_the_orchestration(self, app: App, when: str) -> None:
        failure = app.start("broken", when).failure()
        assert failure == f"Orchestrator function 'broken' failed: broken {when}"

    def test_a_result_that_json_cannot_represent_fails_the_orchestration(self, app: App) -> None:
        failure = app.start("unspeakable").failure()
        assert failure.startswith("Orchestrator function 'unspeakable' failed: ")
        assert "JSON" in failure


class TestReplay:
    def test_changes_neither_ids_nor_times(self, app: App) -> None:
        output = app.start("stable").output()
        assert output["known"] == output["told"]
        assert output["is_replaying"] is False
        ids, times = zip(*output["known"], strict=True)
        assert len(set(ids)) == 3
        assert list(times) == sorted(times)

    def test_shows_the_newest_custom_status(self, app: App, gate: Gate) -> None:
        run = app.start("reporting", gate.value("one"))
        eventually_blocking(lambda: run.status()["customStatus"] == {"phase": "waiting", "share": 0.5})
        gate.open()
        assert run.output() is None
        assert run.status()["customStatus"] == "done"


class TestClient:
    """The SDK's client inside a function, over the loopback base of the host."""

    def test_reads_a_status_with_history(self, app: App) -> None:
        run = app.start("chained", "-")
        run.output()
        status = app.client("status", run.id).document
        assert (status["name"], status["instanceId"], status["runtimeStatus"]) == ("chained", run.id, "Completed")
        assert status["output"] == "-abc"
        assert app.client("status", "nobody").document is None

    def test_lists_instances(self, app: App) -> None:
        run = app.start("idle")
        run.output()
        assert run.id in app.client("statuses", "any").document

    def test_terminates_and_purges(self, app: App, gate: Gate) -> None:
        run = app.start("gated_fan", [gate.value("one")])
        gate.wait_until_reached()
        assert app.client("terminate", run.id).document is None
        status = run.end()
        assert (status["runtimeStatus"], status["output"]) == ("Terminated", "no longer & not needed?")
        assert app.client("purge", run.id).document == 1
        assert app.client("purge", run.id).document == 0
        assert run.answer().status == 404

    def test_waits_for_the_end_of_an_instance(self, app: App, gate: Gate) -> None:
        completed = app.start("chained", "-")
        answer = app.client("wait", completed.id, "?timeout=20000")
        assert (answer.status, answer.body) == (200, b"-abc")
        failed = app.start("broken", "at once")
        answer = app.client("wait", failed.id, "?timeout=20000")
        assert (answer.status, answer.document["runtimeStatus"]) == (500, "Failed")
        unfinished = app.start("reporting", gate.value("one"))
        assert app.client("wait", unfinished.id, "?timeout=200").status == 202

    def test_starts_an_instance_under_an_id(self, app: App) -> None:
        assert app.start("idle", instance_id="chosen").id == "chosen"


class TestExternalEvents:
    def test_are_stored_until_they_are_awaited(self, app: App) -> None:
        run = app.start("awaited", ["a", "b", "a"])
        for name, data in [("a", 1), ("a", 2), ("b", {"x": 3})]:
            assert run.raise_event(name, data).status == 202
        assert run.output() == [1, {"x": 3}, 2]

    def test_arrive_while_they_are_awaited(self, app: App) -> None:
        run = app.start("awaited", ["go"])
        eventually_blocking(lambda: is_waiting(run))
        assert run.raise_event("go", "now").status == 202
        assert run.output() == ["now"]

    def test_race_against_a_timer(self, app: App) -> None:
        approved = app.start("guarded", 3600)
        assert app.client("approve", approved.id).document is None
        # The SDK's client encodes data twice, and its orchestrator decodes it once.
        assert json.loads(approved.output()) == {"by": "kim"}
        assert app.start("guarded", 0).output() == "timed out"

    def test_are_refused_by_a_finished_instance(self, app: App) -> None:
        run = app.start("idle")
        run.output()
        assert run.raise_event("go", 1).status == 410


class TestContinueAsNew:
    def test_goes_on_with_its_input_and_loses_no_event(self, app: App) -> None:
        run = app.start("counted")
        for number in (1, 2, 3, 4):
            run.raise_event("number", number)
        eventually_blocking(lambda: run.status()["customStatus"] == "counting")
        eventually_blocking(lambda: run.status()["input"] == "10")
        assert run.status()["customStatus"] == "counting"
        run.raise_event("number", 0)
        assert run.output() == 10


class TestHttpCalls:
    def test_return_status_and_content(self, app: App) -> None:
        answer = app.start("fetched", {"method": "GET", "uri": f"{app.url}/admin/host/status"}).output()
        assert (answer["status"], json.loads(answer["content"])["state"]) == (200, "Running")

    def test_to_an_unreachable_server_fail_with_its_name(self, app: App, unused_tcp_port: int) -> None:
        failure = app.start("fetched", {"method": "GET", "uri": f"http://127.0.0.1:{unused_tcp_port}/"}).failure()
        assert str(unused_tcp_port) in failure


class TestSuspension:
    def test_stops_all_progress_until_it_is_resumed(self, app: App) -> None:
        run = app.start("awaited", ["go"])
        eventually_blocking(lambda: is_waiting(run))
        assert run.suspend("lunch").status == 202
        eventually_blocking(lambda: run.status()["runtimeStatus"] == "Suspended")
        assert run.status()["output"] == "lunch"
        assert run.suspend("again").status == 500
        run.raise_event("go", 1)
        # Enough time for a faulty host to process the event.
        assert app.start("chained", "-").output() == "-abc"
        assert run.resume("back").status == 202
        assert run.output() == [1]

    def test_of_a_suspended_instance_ends_with_its_termination(self, app: App) -> None:
        run = app.start("awaited", ["go"])
        run.suspend("lunch")
        eventually_blocking(lambda: run.status()["runtimeStatus"] == "Suspended")
        assert run.terminate("no more").status == 202
        assert run.end()["runtimeStatus"] == "Terminated"


class TestRestart:
    def test_runs_again_with_the_same_input(self, app: App) -> None:
        run = app.start("chained", "-")
        run.output()
        again = app.client("restart", run.id).document
        assert again["id"] != run.id
        assert run.under_id(again["id"]).output() == "-abc"


@pytest.mark.parametrize("feature", ["token source"])
def test_a_feature_that_durablehost_does_not_have_fails_the_orchestration_by_name(app: App, feature: str) -> None:
    failure = app.start("unsupported", feature).failure()
    assert feature in failure
    assert "does not support" in failure


def is_waiting(run: Orchestration) -> bool:
    """True if the result of its activity has arrived, so that it is waiting."""
    events = run.status(showHistory="true").get("historyEvents", ())
    return [event["EventType"] for event in events] == ["ExecutionStarted", "TaskCompleted"]


def moment(event: Any) -> datetime:
    text, _, fraction = event["Timestamp"].rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{text}.{fraction[:6]:0<6}")
