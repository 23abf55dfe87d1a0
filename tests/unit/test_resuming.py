"""What is known of an earlier run, and the requests to resume one that are refused."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from shared_code.contracts import InvalidInput, ResumeRequest, read_request
from shared_code.durable import Client
from shared_code.resuming import ResumedRun, resume

RUN = {
    "start": "2025-06-17T10:00:00Z",
    "end": "2025-06-17T11:00:00Z",
    "total_chunks": 4,
    "time": "2025-06-17T12:00:00Z",
}


class Status:
    """What the SDK's client returns of an instance, its input as a string as the SDK has stored it."""

    def __init__(self, value: object, *events: object, status: str = "Failed", output: object = None) -> None:
        self.name = "orchestrator_function"
        self.runtime_status = type("_", (), {"name": status})
        self.input_ = json.dumps(value)
        self.output = output
        self.historyEvents = [{"EventType": "ExecutionStarted"}, *events]


class Instances:
    """A client that knows these instances."""

    def __init__(self, **known: Any) -> None:
        self._known = known

    async def get_status(self, instance_id: str, **shown: bool) -> Any:
        assert shown["show_history"]
        assert shown["show_history_output"]
        return self._known.get(instance_id)

    async def start_new(self, *_: object) -> str:
        raise AssertionError("nothing is to be started")


def result(chunk_id: int, value: float = 1.0) -> dict[str, Any]:
    statistics = {"a": {"count": 2, "mean": value, "std": 0.5, "min": value, "max": value}}
    window = {"start": RUN["start"], "end": RUN["end"]}
    return {"chunk_id": chunk_id, "status": "success", "processing_time": 0.1, "records": 2, **window} | {
        "statistics": statistics
    }


def failure(chunk_id: int) -> dict[str, Any]:
    error = {"type": "ValueError", "message": "boom"}
    return {"chunk_id": chunk_id, "status": "failed", "start": RUN["start"], "end": RUN["end"], "error": error}


def done(outcome: object) -> dict[str, object]:
    return {"EventType": "TaskCompleted", "FunctionName": "process_chunk_activity", "Result": outcome}


def group(*outcomes: dict[str, Any]) -> dict[str, object]:
    reports = [{name: value for name, value in each.items() if name != "statistics"} for each in outcomes]
    successes = [each for each in outcomes if each["status"] == "success"]
    statistics = successes[0]["statistics"] if successes else {}
    folded = {"results": reports, "statistics": statistics}
    return {"EventType": "SubOrchestrationInstanceCompleted", "FunctionName": "orchestrator_function"} | {
        "Result": folded
    }


async def resumed(
    known: dict[str, Any], *, location: str = "synthetic", stores_results: bool = False, **more: object
) -> ResumedRun:
    request = read_request({"resume_of": "earlier", **more})
    assert isinstance(request, ResumeRequest)
    client = cast(Client, Instances(**known))
    return await resume(client, request, location=location, stores_results=stores_results)


def ids(run: ResumedRun) -> list[int]:
    return [each.chunk_id for each in run.kept.results]


@pytest.mark.parametrize("status", ["Completed", "Failed", "Terminated", "Canceled"])
async def test_the_chunks_that_succeeded_are_kept_however_the_run_ended(status: str) -> None:
    earlier = Status(RUN, done(result(3, 5.0)), {"EventType": "TaskFailed"}, done(result(0)), status=status)

    run = await resumed({"earlier": earlier})

    assert ids(run) == [0, 3]
    assert run.kept.statistics["a"].count == 4
    assert run.kept.statistics["a"].mean == 3.0
    assert run.request.to_json() == RUN
    assert ResumedRun.from_json(run.to_json()) == run


async def test_the_groups_of_a_large_run_are_kept_without_their_failed_chunks() -> None:
    earlier = Status(RUN, group(result(2), failure(3)), group(result(0), result(1)), status="Completed")

    assert ids(await resumed({"earlier": earlier})) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["SubOrchestrationInstanceCreated", "SubOrchestrationInstanceFailed"])
async def test_a_group_without_a_result_is_asked_for_its_own_history(kind: str) -> None:
    child = {"EventType": kind, "Name": "orchestrator_function", "InstanceId": "child"}
    earlier = Status(RUN, group(result(0)), child, status="Terminated")
    part = Status({"request": RUN, "first_chunk": 1, "chunk_count": 3}, done(result(2)), status="Running")

    assert ids(await resumed({"earlier": earlier, "child": part})) == [0, 2]
    assert ids(await resumed({"earlier": earlier})) == [0]


async def test_a_run_that_was_resumed_itself_keeps_what_it_had() -> None:
    kept = {"results": [{k: v for k, v in result(1).items() if k != "statistics"}]}
    kept["statistics"] = result(1)["statistics"]
    earlier = Status({"resume_of": "first", "request": RUN, "kept": kept}, done(result(0)))

    run = await resumed({"earlier": earlier})

    assert ids(run) == [0, 1]
    assert run.kept.statistics["a"].count == 4
    assert run.resume_of == "earlier"


async def test_options_are_those_of_the_request_and_else_those_of_the_earlier_run() -> None:
    earlier = Status({**RUN, "max_failed_chunks": 0, "max_parallel": 3})

    run = await resumed({"earlier": earlier}, max_parallel=7, instance_id="mine", total_chunks=4, start=RUN["start"])

    assert run.request.to_json() == {**RUN, "max_failed_chunks": 0, "max_parallel": 7}


async def test_a_result_that_is_stored_as_text_is_read_as_well() -> None:
    assert ids(await resumed({"earlier": Status(RUN, done(json.dumps(result(2))))})) == [2]


async def test_the_activities_of_other_names_are_no_chunks() -> None:
    other = {**done("anything"), "FunctionName": "another_activity"}

    assert ids(await resumed({"earlier": Status(RUN, other)})) == []


def named(name: str) -> Status:
    status = Status(RUN)
    status.name = name
    return status


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({}, "names no instance"),
        ({"earlier": named("another_function")}, "another_function"),
        ({"earlier": Status(RUN, status="Running")}, "not finished"),
        ({"earlier": Status(RUN, status="Pending")}, "not finished"),
        ({"earlier": Status(RUN, status="Suspended")}, "not finished"),
        ({"earlier": Status(RUN, status="Completed", output={"status": "completed"})}, "all succeeded"),
        ({"earlier": Status({"request": RUN, "first_chunk": 0, "chunk_count": 3})}, "group"),
        ({"earlier": Status("no request")}, "input"),
        ({"earlier": Status(RUN, done({"chunk_id": 1}))}, "history"),
        ({"earlier": Status(RUN, done(result(4)))}, "does not fit"),
        ({"earlier": Status(RUN, group(result(1)), group(result(1)))}, "does not fit"),
    ],
)
async def test_a_run_that_cannot_be_resumed_is_refused_by_field(known: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        await resumed(known)

    assert [problem.target for problem in caught.value.problems] == ["resume_of"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"start": "2025-06-17T09:00:00Z"}, "start"),
        ({"end": "2025-06-17T12:00:00Z"}, "end"),
        ({"total_chunks": 5}, "total_chunks"),
        ({"time": "2025-06-18T12:00:00Z"}, "time"),
        ({"instance_id": "earlier"}, "instance_id"),
    ],
)
async def test_a_contradiction_to_the_earlier_run_is_refused_by_field(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await resumed({"earlier": Status(RUN)}, **more)

    assert [problem.target for problem in caught.value.problems] == [field]


async def test_readings_of_another_place_are_refused_unless_that_is_allowed() -> None:
    seen = {"location": "az://readings/*.parquet", "files": 3, "version": "0123456789abcdef"}
    known = {"earlier": Status(RUN, done({**result(0), "readings": seen}))}

    with pytest.raises(InvalidInput, match=r"names a run over az://readings/\*\.parquet, which READINGS does not"):
        await resumed(known)

    assert ids(await resumed(known, location="az://readings/*.parquet")) == [0]
    assert ids(await resumed(known, allow_changed_readings=True)) == [0]
    assert ids(await resumed({"earlier": Status(RUN)}, location="az://readings/*.parquet")) == []


async def test_all_contradictions_are_reported_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        await resumed({"earlier": Status(RUN)}, end="2025-06-17T12:00:00Z", total_chunks=5)

    assert [problem.target for problem in caught.value.problems] == ["end", "total_chunks"]


NAME = {"instance_id": "earlier", "started": "2026-03-01T10:00:00Z"}
FIRST = {"instance_id": "first", "started": "2026-02-01T10:00:00Z"}


def prepared(plan: dict[str, object]) -> dict[str, object]:
    return {"EventType": "TaskCompleted", "FunctionName": "prepare_run_activity", "Result": plan}


def after_first() -> dict[str, object]:
    report = {name: value for name, value in result(1).items() if name != "statistics"}
    kept = {"results": [report], "statistics": result(1)["statistics"]}
    return {"resume_of": "first", "request": {**RUN, "prepare": True}, "kept": kept, "stored": FIRST}


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (Status({**RUN, "prepare": True}, prepared({"run": NAME}), done(result(0))), NAME),
        (Status(after_first(), prepared({"run": NAME})), NAME),
        # It ended before it had taken over the files of the run that it resumed.
        (Status(after_first()), FIRST),
    ],
)
async def test_the_run_that_has_stored_the_kept_chunks_is_named(earlier: Status, expected: dict[str, object]) -> None:
    run = await resumed({"earlier": earlier}, stores_results=True)

    assert run.stored is not None
    assert run.stored.to_json() == expected
    assert ResumedRun.from_json(run.to_json()) == run


@pytest.mark.parametrize(
    "earlier", [Status(RUN, done(result(0))), Status(after_first(), prepared({"listing": "0123456789abcdef"}))]
)
async def test_chunks_that_are_not_stored_are_refused_by_a_run_that_stores_results(earlier: Status) -> None:
    with pytest.raises(InvalidInput, match="RESULTS") as caught:
        await resumed({"earlier": earlier}, stores_results=True)

    assert [problem.target for problem in caught.value.problems] == ["resume_of"]
    assert (await resumed({"earlier": earlier})).stored is None


async def test_a_run_without_any_stored_chunk_is_resumed_by_one_that_stores_results() -> None:
    assert ids(await resumed({"earlier": Status(RUN)}, stores_results=True)) == []
