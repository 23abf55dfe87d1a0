"""The functions, called as the functions worker calls them."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import AsyncMock, create_autospec

import azure.durable_functions as df
import azure.functions as func
import pytest

import finish_run_activity
import prepare_run_activity
import process_chunk_activity
import starter_function
import test_activity_function
from shared_code import names
from shared_code.failures import ActivityError

ROOT = Path(__file__).parents[2]
RUN = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T11:00:00Z", "total_chunks": 4}
CHUNK = {**RUN, "chunk_id": 1, "total_chunks": 1, "time": "2025-06-17T10:00:00Z"}
STATUS_URI = "http://localhost:7071/runtime/webhooks/durabletask/instances/INSTANCEID?code=x"
BINDING = json.dumps(
    {
        "taskHubName": "DurableFuncDemo",
        "creationUrls": {},
        "managementUrls": {"id": "INSTANCEID", "statusQueryGetUri": STATUS_URI},
        "rpcBaseUrl": "http://127.0.0.1:1/durabletask/",
    }
)
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("*/function.json"))


def request(body: object) -> func.HttpRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return func.HttpRequest(method="POST", url="http://localhost:7071/api/starter_function", body=content)


def document(response: func.HttpResponse) -> Any:
    assert response.mimetype == "application/json" or response.headers["content-type"] == "application/json"
    return json.loads(response.get_body())


def client_of(*statuses: df.OrchestrationRuntimeStatus | None) -> Any:
    """A client whose status requests return these statuses in order, and whose starts return `new-id`."""
    client = create_autospec(df.DurableOrchestrationClient(BINDING))
    client.get_status = AsyncMock(side_effect=[instance(status) for status in statuses])
    client.start_new.return_value = "new-id"
    real = df.DurableOrchestrationClient(BINDING)
    client.create_check_status_response.side_effect = real.create_check_status_response
    return client


def instance(status: df.OrchestrationRuntimeStatus | None) -> df.DurableOrchestrationStatus:
    if status is None:
        return df_status()
    return df_status(instanceId="mine", createdTime="2026-03-01T10:00:00Z", runtimeStatus=status.name)


def df_status(**values: object) -> Any:
    module = importlib.import_module("azure.durable_functions.models.DurableOrchestrationStatus")
    return module.DurableOrchestrationStatus(**values)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_parameters_of_a_function_are_its_bindings(name: str) -> None:
    bindings = json.loads((ROOT / name / "function.json").read_text("utf-8"))["bindings"]
    parameters = inspect.signature(importlib.import_module(name).main).parameters

    assert {binding["name"] for binding in bindings} - {"$return"} == set(parameters)
    assert all("_" not in binding["name"] for binding in bindings)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_annotations_of_a_function_resolve_to_plain_classes(name: str) -> None:
    hints = get_type_hints(importlib.import_module(name).main)

    assert all(isinstance(hint, type) for hint in hints.values())


def test_the_names_in_code_are_the_folders() -> None:
    assert {names.ORCHESTRATOR, names.PROCESS_CHUNK, names.PREPARE_RUN, names.FINISH_RUN} < set(FUNCTIONS)
    assert FUNCTIONS == [
        "finish_run_activity",
        "orchestrator_function",
        "prepare_run_activity",
        "process_chunk_activity",
        "starter_function",
        "test_activity_function",
    ]


def test_the_activities_mark_permanent_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("READINGS", str(tmp_path / "none.parquet"))
    monkeypatch.setenv("RESULTS", "results/*")
    run = {"instance_id": "mine", "started": "2026-03-01T10:00:00Z"}
    window = {"start": RUN["start"], "end": RUN["end"]}

    activities: list[tuple[Any, object]] = [
        (process_chunk_activity, CHUNK),
        (prepare_run_activity, {**window, "run": run}),
        (finish_run_activity, {"run": run, "output": {}, "records": 0}),
    ]
    for activity, value in activities:
        with pytest.raises(ActivityError, match=r"^\[permanent\] "):
            activity.main(value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_folder_of_a_function_has_fewer_than_60_lines(name: str) -> None:
    """The rest is in `shared_code`, where it can be called without a host."""
    assert sum(len(path.read_text("utf-8").splitlines()) for path in (ROOT / name).rglob("*.py")) < 60


async def test_a_request_starts_the_orchestrator_and_answers_with_its_urls() -> None:
    client = client_of()

    response = await starter_function.start(request({**RUN, "time": "2025-06-18T02:00:00+02:00"}), client)

    client.start_new.assert_awaited_once_with("orchestrator_function", None, {**RUN, "time": "2025-06-18T00:00:00Z"})
    assert response.status_code == 202
    assert document(response) == {"id": "new-id", "statusQueryGetUri": STATUS_URI.replace("INSTANCEID", "new-id")}
    assert response.headers["Location"] == STATUS_URI.replace("INSTANCEID", "new-id")
    assert response.headers["Retry-After"] == "10"


@pytest.mark.parametrize(
    ("settings", "is_prepared"),
    [
        ({}, False),
        ({"READINGS": " synthetic "}, False),
        ({"READINGS": "x.parquet"}, True),
        ({"RESULTS": "results"}, True),
        ({"READINGS": "synthetic", "RESULTS": "results"}, True),
    ],
)
async def test_a_run_that_has_files_to_list_or_results_to_store_begins_with_a_plan(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], is_prepared: bool
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = client_of()

    await starter_function.start(request(RUN), client)

    assert client.start_new.await_args.args[2].get("prepare", False) is is_prepared


@pytest.mark.parametrize("field", ["prepare", "plan"])
async def test_a_request_cannot_say_how_a_run_begins(field: str) -> None:
    response = await starter_function.start(request({**RUN, field: True}), client_of())

    assert [detail["target"] for detail in document(response)["error"]["details"]] == [field]


async def test_without_a_time_the_starter_uses_the_clock() -> None:
    client = client_of()

    await starter_function.start(request(RUN), client)

    time = client.start_new.await_args.args[2]["time"]
    written = datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - written) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("body", "targets"),
    [
        (b"not json", ["body"]),
        (b"\xff", ["body"]),
        (b"[]", ["body"]),
        (b" " * 10_000_000, ["body"]),
        ({**RUN, "total_chunks": True, "more": 1, "start": "2025-06-17T10:00:00"}, ["start", "total_chunks", "more"]),
    ],
)
async def test_a_bad_request_lists_every_problem_and_starts_nothing(body: object, targets: list[str]) -> None:
    client = client_of()

    response = await starter_function.start(request(body), client)

    error = document(response)["error"]
    assert response.status_code == 400
    assert error["code"] == "InvalidRequest"
    assert [detail["target"] for detail in error["details"]] == targets
    assert error.keys() == {"code", "message", "details"}
    client.start_new.assert_not_awaited()


@pytest.mark.parametrize("status", ["Pending", "Running", "Suspended", "ContinuedAsNew"])
async def test_an_unfinished_instance_is_a_conflict_and_left_alone(status: str) -> None:
    client = client_of(df.OrchestrationRuntimeStatus[status])

    response = await starter_function.start(request({**RUN, "instance_id": "mine"}), client)

    assert response.status_code == 409
    assert [detail["target"] for detail in document(response)["error"]["details"]] == ["instance_id"]
    client.start_new.assert_not_awaited()


@pytest.mark.parametrize("status", [None, "Completed", "Failed", "Terminated", "Canceled"])
async def test_the_id_of_no_instance_or_a_finished_one_may_be_used(status: str | None) -> None:
    client = client_of(df.OrchestrationRuntimeStatus[status] if status else None)

    response = await starter_function.start(request({**RUN, "instance_id": "mine"}), client)

    assert response.status_code == 202
    assert client.start_new.await_args.args[1] == "mine"
    assert "instance_id" not in client.start_new.await_args.args[2]


def earlier_run(**more: object) -> Any:
    result = {
        "chunk_id": 1,
        "processing_time": 0.1,
        "start": RUN["start"],
        "end": RUN["end"],
        "records": 2,
        "statistics": {},
    }
    done = {"EventType": "TaskCompleted", "FunctionName": "process_chunk_activity", "Result": result}
    known = {"name": "orchestrator_function", "instanceId": "earlier", "createdTime": "2026-03-01T10:00:00Z"}
    return df_status(**known, input=json.dumps(RUN), runtimeStatus="Failed", historyEvents=[done], **more)


async def test_a_request_to_resume_starts_a_run_that_has_the_chunks_that_succeeded() -> None:
    client = client_of()
    client.get_status = AsyncMock(return_value=earlier_run())

    response = await starter_function.start(request({"resume_of": "earlier", "max_parallel": 2}), client)

    assert response.status_code == 202
    name, instance_id, value = client.start_new.await_args.args
    assert (name, instance_id, value["resume_of"]) == ("orchestrator_function", None, "earlier")
    assert value["request"].items() >= {**RUN, "max_parallel": 2}.items()
    assert [kept["chunk_id"] for kept in value["kept"]["results"]] == [1]


async def test_a_request_to_resume_an_unknown_run_is_refused_and_starts_nothing() -> None:
    client = client_of(None)

    response = await starter_function.start(request({"resume_of": "nobody"}), client)

    assert response.status_code == 400
    assert [detail["target"] for detail in document(response)["error"]["details"]] == ["resume_of"]
    client.start_new.assert_not_awaited()


async def test_a_race_for_an_instance_id_is_a_conflict_too() -> None:
    client = client_of(None, df.OrchestrationRuntimeStatus.Pending)
    client.start_new.side_effect = Exception("An Orchestration instance with the status Pending already exists.")

    response = await starter_function.start(request({**RUN, "instance_id": "mine"}), client)

    assert response.status_code == 409


async def test_any_other_failure_to_start_is_not_hidden() -> None:
    client = client_of(None, None)
    client.start_new.side_effect = Exception("storage is down")

    with pytest.raises(Exception, match="storage is down"):
        await starter_function.start(request({**RUN, "instance_id": "mine"}), client)


async def test_the_entry_point_makes_its_client_from_the_binding() -> None:
    response = await starter_function.main(req=request(b"not json"), starter=BINDING)

    assert response.status_code == 400


def activity_result(chunk: dict[str, object]) -> dict[str, object]:
    result = process_chunk_activity.main(chunk=chunk)
    assert isinstance(result, dict)
    return result


def test_the_activity_returns_the_chunk_and_its_mergeable_statistics() -> None:
    result = activity_result(CHUNK)

    assert (result["chunk_id"], result["status"], result["records"]) == (1, "success", 3 * 3600)
    assert (result["start"], result["end"]) == (RUN["start"], RUN["end"])
    assert isinstance(result["processing_time"], float)
    json.dumps(result, allow_nan=False)


def test_the_first_and_the_last_activity_store_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESULTS", str(tmp_path))
    run = {"instance_id": "mine", "started": "2026-03-01T10:00:00Z"}
    times = {"start": RUN["start"], "end": RUN["end"]}

    plan = prepare_run_activity.main(start={**times, "run": run})
    result = activity_result({**CHUNK, "chunk_id": 0, "plan": plan})
    output = {**times, "total_chunks": 1, "results": []}
    stored = finish_run_activity.main(end={"run": run, "output": output, "records": result["records"]})

    assert plan == {"run": run}
    assert isinstance(stored, dict)
    assert Path(stored["manifest"]).exists()
    json.dumps(stored, allow_nan=False)


def test_the_activity_fails_for_invalid_input() -> None:
    with pytest.raises(ValueError, match="total_chunks"):
        process_chunk_activity.main(chunk={**CHUNK, "total_chunks": 0})


def test_one_chunk_at_once_is_the_activity_s_own_result() -> None:
    response = test_activity_function.main(req=request(CHUNK))

    expected = activity_result(CHUNK)
    assert response.status_code == 200
    assert {**document(response), "processing_time": 0} == {**expected, "processing_time": 0}


def test_one_chunk_with_a_bad_input_is_refused_like_a_run() -> None:
    response = test_activity_function.main(req=request({**CHUNK, "chunk_id": "1", "end": None}))

    assert response.status_code == 400
    assert [detail["target"] for detail in document(response)["error"]["details"]] == ["end", "chunk_id"]


def test_one_chunk_whose_processing_fails_is_an_error_in_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "missing.parquet"
    monkeypatch.setenv("READINGS", str(missing))

    response = test_activity_function.main(req=request(CHUNK))

    error = document(response)["error"]
    assert response.status_code == 500
    assert error["code"] == "ProcessingFailed"
    assert error["details"][0]["target"] == "readings"
    assert str(missing) in error["message"]


class ExplodingSettings(dict[str, str]):
    def get(self, *_: object) -> str:
        raise RuntimeError("unforeseen")


def test_an_error_of_another_kind_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = test_activity_function.run_chunk(request(CHUNK), ExplodingSettings())

    assert response.status_code == 500
    assert document(response)["error"]["message"] == "RuntimeError: unforeseen"
    assert "Chunk 1 failed" in caplog.text


@pytest.mark.parametrize("location", ["az://c-c/x.parquet?sv=1&sig=secret", "az://user:secret@c-c/x.parquet"])
def test_a_location_with_a_credential_is_not_repeated(location: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"READINGS": location, "AzureWebJobsStorage": "UseDevelopmentStorage=true"}

    response = test_activity_function.run_chunk(request(CHUNK), settings)

    assert response.status_code == 500
    assert "READINGS" in document(response)["error"]["message"]
    assert "secret" not in response.get_body().decode() + caplog.text
