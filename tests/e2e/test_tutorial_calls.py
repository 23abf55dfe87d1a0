"""Every call that docs/tutorial.md shows, over HTTP, on a real host with the function app of this project.

With `--base-url URL` the same calls run against any host of the app, such as `func start`.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from packages.durablehost.tests.e2e.host_process import Answer, call
from packages.durablehost.tests.e2e.orchestration import (
    MANAGEMENT,
    Orchestration,
    accepted,
    instances,
    pages,
    start_run,
)
from packages.durablehost.tests.eventually import eventually_blocking
from tests.e2e import expected

START, END = "2025-06-17T10:00:00Z", "2025-06-17T14:00:00Z"
REQUEST = {"start": START, "end": END, "total_chunks": 4, "time": "2025-06-17T15:30:00Z"}
# A year of readings takes seconds, so the run is unfinished when the next call arrives.
LONG_REQUEST: dict[str, Any] = {**REQUEST, "end": "2026-06-17T14:00:00Z", "total_chunks": 80}
ONE_CHUNK = {"chunk_id": 1, "start": START, "end": "2025-06-17T11:00:00Z", "total_chunks": 1, "time": START}
LINKS = {
    "statusQueryGetUri": "",
    "sendEventPostUri": "/raiseEvent/{eventName}",
    "terminatePostUri": "/terminate?reason={text}",
    "rewindPostUri": "/rewind?reason={text}",
    "purgeHistoryDeleteUri": "",
    "restartPostUri": "/restart",
    "suspendPostUri": "/suspend?reason={text}",
    "resumePostUri": "/resume?reason={text}",
}
GUID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def prefix() -> str:
    """The prefix of the ids of one test."""
    return f"test-{uuid.uuid4().hex[:12]}-"


@pytest.fixture(scope="module")
def finished(app_url: str) -> Orchestration:
    """A completed run that no test changes."""
    run = start_run(app_url, REQUEST)
    run.output()
    return run


@pytest.fixture
def own_features(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--base-url"):
        pytest.skip("about what durablehost does not have; the host of --base-url may have it")


class TestStart:
    def test_answers_202_with_every_management_url(self, app_url: str) -> None:
        answer = call("POST", f"{app_url}/api/starter_function", REQUEST)
        run = accepted(answer)
        base = f"{app_url}{MANAGEMENT}/instances/{run.id}"
        assert GUID.fullmatch(run.id)
        assert run.links.keys() == {"id", *LINKS}
        for name, path in LINKS.items():
            assert run.links[name].startswith(base + path), name
            assert "taskHub=" in run.links[name], name
        assert answer.headers["Location"] == run.links["statusQueryGetUri"]
        assert answer.headers["Retry-After"] == "10"
        assert answer.headers["Content-Type"].startswith("application/json")

    def test_ends_with_the_documented_output(self, finished: Orchestration) -> None:
        output = finished.output()
        results = output.pop("results")
        assert output == {
            "status": "completed",
            "total_chunks": 4,
            "succeeded": 4,
            "failed": 0,
            "start": START,
            "end": END,
            "time": REQUEST["time"],
            "summary": expected.summary(expected.synthetic(START, END)),
            "readings": {"location": "synthetic", "files": 0},
        }
        assert all(result.pop("processing_time") >= 0 for result in results)
        assert results == [
            {"chunk_id": chunk_id, "status": "success", "start": start, "end": end, "records": 3 * 3600}
            for chunk_id, (start, end) in enumerate(expected.windows(START, END, 4))
        ]

    def test_with_few_chunks_in_flight_has_the_same_output(self, app_url: str, finished: Orchestration) -> None:
        output = start_run(app_url, {**REQUEST, "max_parallel": 2}).output()
        assert output["summary"] == finished.output()["summary"]
        assert [result["chunk_id"] for result in output["results"]] == [0, 1, 2, 3]

    def test_uses_the_instance_id_of_the_request(self, app_url: str, prefix: str) -> None:
        run = start_run(app_url, {**REQUEST, "instance_id": f"{prefix}mine"})
        assert run.id == f"{prefix}mine"
        assert run.output()["status"] == "completed"

    def test_needs_no_more_than_window_and_chunks(self, app_url: str) -> None:
        output = start_run(app_url, {"start": START, "end": END, "total_chunks": 1}).output()
        assert output["status"] == "completed"
        assert expected.moment(re.sub(r"\.\d+Z", "Z", output["time"])) > expected.moment("2025-06-17T15:30:00Z")

    def test_of_an_id_in_use_is_409_and_leaves_the_run_alone(self, app_url: str, prefix: str) -> None:
        run = start_run(app_url, {**LONG_REQUEST, "instance_id": f"{prefix}taken"})
        before = run.status()
        answer = call("POST", f"{app_url}/api/starter_function", {**REQUEST, "instance_id": run.id})
        assert answer.status == 409
        error = answer.document["error"]
        assert error["code"] == "InstanceNotFinished"
        assert run.id in error["message"]
        assert [detail["target"] for detail in error["details"]] == ["instance_id"]
        after = run.end()
        assert (after["createdTime"], after["input"]) == (before["createdTime"], before["input"])
        assert after["output"]["succeeded"] == LONG_REQUEST["total_chunks"]

    def test_of_a_finished_id_replaces_the_run(self, app_url: str, prefix: str) -> None:
        wanted = {**REQUEST, "instance_id": f"{prefix}again"}
        assert start_run(app_url, wanted).output()["total_chunks"] == 4
        assert start_run(app_url, {**wanted, "total_chunks": 2}).output()["total_chunks"] == 2


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in REQUEST.items() if name != field}


BAD_BODIES: dict[str, tuple[object, set[str]]] = {
    "nothing": (b"", {"body"}),
    "not JSON": (b"{start: 1}", {"body"}),
    "not an object": (b"[1, 2]", {"body"}),
    "a missing field": (without("end"), {"end"}),
    "an extra field": ({**REQUEST, "chunks": 4}, {"chunks"}),
    "a wrong type": ({**REQUEST, "total_chunks": "4"}, {"total_chunks"}),
    "a fraction": ({**REQUEST, "total_chunks": 4.5}, {"total_chunks"}),
    "a boolean for a number": ({**REQUEST, "total_chunks": True}, {"total_chunks"}),
    "no chunks": ({**REQUEST, "total_chunks": 0}, {"total_chunks"}),
    "too many chunks": ({**REQUEST, "total_chunks": 10_001}, {"total_chunks"}),
    "more chunks than microseconds": ({**REQUEST, "end": "2025-06-17T10:00:00.000003Z"}, {"total_chunks"}),
    "a naive time": ({**REQUEST, "start": "2025-06-17T10:00:00"}, {"start"}),
    "a time that is none": ({**REQUEST, "time": "yesterday"}, {"time"}),
    "NaN": (b'{"start": "%s", "end": "%s", "total_chunks": NaN}' % (START.encode(), END.encode()), {"body"}),
    "a reversed window": ({**REQUEST, "start": END, "end": START}, {"end"}),
    "an empty window": ({**REQUEST, "end": START}, {"end"}),
    "a negative limit": ({**REQUEST, "max_failed_chunks": -1}, {"max_failed_chunks"}),
    "an id that no URL can hold": ({**REQUEST, "instance_id": "a/b"}, {"instance_id"}),
    "a body of 10 MB": (b'{"start": "' + b"2" * 10_000_000 + b'"}', {"body"}),
    "invalid UTF-8": (b'{"start": "\xff\xfe"}', {"body"}),
    "several problems at once": (
        {"start": "2025-06-17", "total_chunks": True, "extra": 1},
        {"start", "end", "total_chunks", "extra"},
    ),
}


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_a_body_that_is_not_valid_is_400_and_starts_nothing(app_url: str, kind: str) -> None:
    body, targets = BAD_BODIES[kind]
    before = {status["instanceId"] for status in instances(app_url, showInput="false", top="1000")}
    answer = call("POST", f"{app_url}/api/starter_function", body)
    assert_bad_request(answer, targets)
    assert {status["instanceId"] for status in instances(app_url, showInput="false", top="1000")} == before


def assert_bad_request(answer: Answer, targets: set[str]) -> None:
    assert answer.status == 400, f"{answer.status}: {answer.body[:500]!r}"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.document.keys() == {"error"}
    error = answer.document["error"]
    assert error.keys() == {"code", "message", "details"}
    assert error["code"] == "InvalidRequest"
    assert {detail["target"] for detail in error["details"]} == targets
    assert all(detail.keys() == {"target", "message"} and detail["message"] for detail in error["details"])


class TestStatus:
    def test_is_202_while_it_runs_and_shows_its_progress(self, app_url: str) -> None:
        run = start_run(app_url, LONG_REQUEST)
        answer = run.answer()
        assert answer.status == 202
        assert answer.headers["Location"]
        assert answer.headers["Retry-After"] == "5"
        total = LONG_REQUEST["total_chunks"]
        phases = []

        def is_done() -> bool:
            status = run.status()
            if status["customStatus"]:
                phases.append(status["customStatus"])
            return bool(status["runtimeStatus"] == "Completed")

        eventually_blocking(is_done, interval_seconds=0.05)
        last = phases[-1]
        assert (last["phase"], last["chunks_done"], last["chunks_failed"]) == ("completed", total, 0)
        assert last["records"] == sum(result["records"] for result in run.output()["results"])
        for shown in phases:
            assert shown["chunks_total"] == total
            assert shown["chunks_done"] > 0 or shown["estimated_end"] is None
        assert last["estimated_end"] is not None
        done = [each["chunks_done"] for each in phases]
        assert done == sorted(done)
        assert {each["phase"] for each in phases} == {"processing", "completed"}

    def test_is_200_with_input_and_output_once_it_is_finished(self, finished: Orchestration) -> None:
        answer = finished.answer()
        status = answer.document
        assert answer.status == 200
        assert list(status) == [
            "name",
            "instanceId",
            "runtimeStatus",
            "input",
            "customStatus",
            "output",
            "createdTime",
            "lastUpdatedTime",
        ]
        assert (status["name"], status["instanceId"]) == ("orchestrator_function", finished.id)
        assert status["runtimeStatus"] == "Completed"
        assert '"total_chunks": 4' in status["input"]
        assert status["createdTime"] <= status["lastUpdatedTime"]
        assert expected.moment(status["createdTime"])

    def test_shows_the_history_with_inputs_and_results_as_asked(self, finished: Orchestration) -> None:
        events = finished.status(showHistory="true", showHistoryOutput="true")["historyEvents"]
        kinds = [event["EventType"] for event in events]
        assert kinds[0] == "ExecutionStarted"
        assert kinds[-1] == "ExecutionCompleted"
        assert kinds.count("TaskCompleted") == 4
        assert events[-1]["Result"] == finished.output()
        chunks = [event for event in events if event["EventType"] == "TaskCompleted"]
        assert {event["FunctionName"] for event in chunks} == {"process_chunk_activity"}
        assert {event["Result"]["chunk_id"] for event in chunks} == {0, 1, 2, 3}
        quiet = finished.status(showHistory="true", showInput="false")
        assert quiet["input"] is None
        assert not any("Result" in event or "Input" in event for event in quiet["historyEvents"])

    def test_of_an_unknown_instance_is_404(self, app_url: str, prefix: str) -> None:
        answer = call("GET", f"{app_url}{MANAGEMENT}/instances/{prefix}nobody")
        assert (answer.status, answer.body) == (404, b"")


class TestList:
    def test_is_filtered_and_comes_in_pages(self, app_url: str, prefix: str) -> None:
        runs = [start_run(app_url, {**REQUEST, "total_chunks": 1, "instance_id": f"{prefix}{n}"}) for n in range(5)]
        for run in runs:
            run.output()
        found = list(pages(app_url, instanceIdPrefix=prefix, top="2"))
        assert [status["instanceId"] for page in found for status in page] == [run.id for run in runs]
        assert max(map(len, found)) <= 2
        everyone: dict[str, str] = {"instanceIdPrefix": prefix, "showInput": "false"}
        created = runs[0].status()["createdTime"]
        for more, count in [
            ({"runtimeStatus": "Completed"}, 5),
            ({"runtimeStatus": "Running,Completed"}, 5),
            ({"runtimeStatus": "Failed,Terminated"}, 0),
            ({"createdTimeFrom": created}, 5),
            ({"createdTimeTo": "2020-01-01T00:00:00Z"}, 0),
        ]:
            statuses = instances(app_url, **everyone, **more)
            assert len(statuses) == count, more
            assert all(status["input"] is None for status in statuses)


class TestTerminate:
    def test_ends_a_run_with_the_reason_as_its_output(self, app_url: str) -> None:
        run = start_run(app_url, LONG_REQUEST)
        answer = run.terminate("not needed any more")
        assert (answer.status, answer.body) == (202, b"")
        status = run.end()
        assert (status["runtimeStatus"], status["output"]) == ("Terminated", "not needed any more")

    def test_of_a_finished_run_is_410_and_of_an_unknown_one_404(self, finished: Orchestration) -> None:
        assert finished.terminate("late").status == 410
        url = finished.links["terminatePostUri"].replace(finished.id, "nobody")
        assert call("POST", url).status == 404
        assert finished.status()["runtimeStatus"] == "Completed"


class TestPurge:
    def test_removes_a_finished_run(self, app_url: str) -> None:
        run = start_run(app_url, REQUEST)
        run.output()
        assert run.purge().document == {"instancesDeleted": 1}
        assert run.answer().status == 404
        assert run.purge().status == 404

    def test_of_a_run_that_is_not_finished_is_refused(self, own_features: None, app_url: str) -> None:
        run = start_run(app_url, LONG_REQUEST)
        assert run.purge().status == 412
        assert run.output()["succeeded"] == LONG_REQUEST["total_chunks"]

    def test_by_filter_removes_matching_runs_and_no_others(self, app_url: str, prefix: str) -> None:
        runs = [start_run(app_url, {**REQUEST, "total_chunks": 1, "instance_id": f"{prefix}{n}"}) for n in range(3)]
        stopped = start_run(app_url, {**LONG_REQUEST, "instance_id": f"{prefix}stopped"})
        stopped.terminate("enough")
        for run in (*runs, stopped):
            run.end()
        query = f"createdTimeFrom={runs[0].status()['createdTime']}&runtimeStatus=Completed&instanceIdPrefix={prefix}"
        answer = call("DELETE", f"{app_url}{MANAGEMENT}/instances?{query}")
        assert (answer.status, answer.document) == (200, {"instancesDeleted": 3})
        assert [status["instanceId"] for status in instances(app_url, instanceIdPrefix=prefix)] == [stopped.id]
        assert call("DELETE", f"{app_url}{MANAGEMENT}/instances?{query}").status == 404


class TestOneChunk:
    def test_is_processed_at_once(self, app_url: str) -> None:
        answer = call("POST", f"{app_url}/api/test_activity_function", ONE_CHUNK)
        assert answer.status == 200
        result = answer.document
        assert result.pop("processing_time") >= 0
        statistics = result.pop("statistics")
        assert result == {
            "chunk_id": 1,
            "status": "success",
            "start": START,
            "end": "2025-06-17T11:00:00Z",
            "records": 3 * 3600,
            "readings": {"location": "synthetic", "files": 0},
        }
        shown = {
            series: {name: each[name] for name in ("count", "mean", "std", "min", "max")}
            for series, each in statistics.items()
        }
        assert shown == expected.summary(expected.synthetic(START, "2025-06-17T11:00:00Z"))

    @pytest.mark.parametrize(
        ("change", "targets"),
        [
            ({"chunk_id": -1}, {"chunk_id"}),
            ({"end": START}, {"end"}),
            ({"time": "2025-06-17T10:00:00"}, {"time"}),
            ({"chunk_id": False, "other": None}, {"chunk_id", "other"}),
        ],
    )
    def test_that_is_not_valid_is_400(self, app_url: str, change: dict[str, Any], targets: set[str]) -> None:
        assert_bad_request(call("POST", f"{app_url}/api/test_activity_function", {**ONE_CHUNK, **change}), targets)
