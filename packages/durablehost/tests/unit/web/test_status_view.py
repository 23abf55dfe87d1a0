"""Instances as the management API shows them: payload texts as JSON, histories in a readable form."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durablehost.app.model import Binding, Direction
from durablehost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.status import RuntimeStatus
from durablehost.errors import RequestError
from durablehost.web.links import Links
from durablehost.web.status_view import HistoryOptions, history_json
from durablehost.web.stored import body_to_input, body_to_json, json_array, json_object, stored_json
from packages.durablehost.tests.unit.web.fakes import BEGIN, make_function

BOTH = HistoryOptions(with_input=True, with_output=True)
NEITHER = HistoryOptions(with_input=False, with_output=False)


def at(seconds: float) -> datetime:
    return BEGIN.replace(microsecond=0) + timedelta(seconds=seconds)


STARTED = ExecutionStarted(
    timestamp=at(0.1),
    orchestration_instance=OrchestrationInstance(instance_id="x", execution_id="e1"),
    name="Orch",
    input='{"a":1}',
    tags={"t": "1"},
    generation=0,
)
SCHEDULED = TaskScheduled(timestamp=at(0.3), event_id=0, name="Say", input='["Tokyo"]')
COMPLETED = TaskCompleted(timestamp=at(1.2), task_scheduled_id=0, result='"Hello Tokyo!"')
ENDED = ExecutionCompleted(
    timestamp=at(2), event_id=1, orchestration_status=RuntimeStatus.COMPLETED, result='["Hello Tokyo!"]'
)
CHAIN: tuple[HistoryEvent, ...] = (
    OrchestratorStarted(timestamp=at(0)),
    STARTED,
    SCHEDULED,
    OrchestratorCompleted(timestamp=at(0.4)),
    OrchestratorStarted(timestamp=at(1.3)),
    COMPLETED,
    ENDED,
    OrchestratorCompleted(timestamp=at(2)),
)


def shown(events: tuple[HistoryEvent, ...], options: HistoryOptions = BOTH) -> Any:
    return json.loads(asyncio.run(history_json(events, options)))


def members(entry: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(entry.items())


def test_a_finished_chain_is_shown_as_start_task_and_end() -> None:
    first, second, third = shown(CHAIN)

    assert members(first) == [
        ("EventType", "ExecutionStarted"),
        ("Input", '{"a":1}'),
        ("Correlation", None),
        ("ParentTraceContext", None),
        ("ScheduledStartTime", None),
        ("Generation", 0),
        ("GenerateNewTrace", False),
        ("Timestamp", "2026-03-01T10:00:00.1Z"),
        ("FunctionName", "Orch"),
    ]
    assert members(second) == [
        ("EventType", "TaskCompleted"),
        ("Result", "Hello Tokyo!"),
        ("Timestamp", "2026-03-01T10:00:01.2Z"),
        ("ScheduledTime", "2026-03-01T10:00:00.3Z"),
        ("FunctionName", "Say"),
        ("Input", '["Tokyo"]'),
    ]
    assert members(third) == [
        ("EventType", "ExecutionCompleted"),
        ("OrchestrationStatus", "Completed"),
        ("Result", ["Hello Tokyo!"]),
        ("FailureDetails", None),
        ("Timestamp", "2026-03-01T10:00:02Z"),
    ]


def test_payloads_are_shown_only_on_request() -> None:
    for entry in shown(CHAIN, NEITHER):
        assert not {"Input", "Result"} & set(entry)


def test_a_request_is_shown_until_its_result_arrives() -> None:
    (entry,) = shown((SCHEDULED,))

    assert members(entry) == [
        ("EventType", "TaskScheduled"),
        ("Name", "Say"),
        ("Input", '["Tokyo"]'),
        ("ParentTraceContext", None),
        ("Tags", None),
        ("Timestamp", "2026-03-01T10:00:00.3Z"),
    ]


def test_a_result_is_matched_to_its_request_by_id_and_not_by_order() -> None:
    other = TaskScheduled(timestamp=at(0.3), event_id=1, name="Other")
    failed = TaskFailed(timestamp=at(1), task_scheduled_id=1, reason="boom", details="why")

    pending, answer = shown((SCHEDULED, other, failed))

    assert pending["Name"] == "Say"
    assert (answer["EventType"], answer["FunctionName"], answer["Reason"]) == ("TaskFailed", "Other", "boom")
    assert "TaskScheduledId" not in answer


def test_a_result_without_its_request_is_shown_alone() -> None:
    (entry,) = shown((COMPLETED,))

    assert "FunctionName" not in entry


CREATED = SubOrchestrationInstanceCreated(timestamp=at(1), event_id=4, name="Child", instance_id="e1:4", input="[2]")


def test_a_child_is_shown_like_a_task_with_its_id() -> None:
    failed = SubOrchestrationInstanceFailed(timestamp=at(2), task_scheduled_id=4, reason="r")

    (entry,) = shown((CREATED, failed))

    assert members(entry) == [
        ("EventType", "SubOrchestrationInstanceFailed"),
        ("Reason", "r"),
        ("Details", None),
        ("FailureDetails", None),
        ("Timestamp", "2026-03-01T10:00:02Z"),
        ("ScheduledTime", "2026-03-01T10:00:01Z"),
        ("FunctionName", "Child"),
        ("InstanceId", "e1:4"),
        ("Input", "[2]"),
    ]


def test_a_child_that_is_running_is_shown_with_its_id() -> None:
    (entry,) = shown((CREATED,))

    assert members(entry) == [
        ("EventType", "SubOrchestrationInstanceCreated"),
        ("Name", "Child"),
        ("InstanceId", "e1:4"),
        ("Input", "[2]"),
        ("ClientSpanId", None),
        ("Tags", None),
        ("Timestamp", "2026-03-01T10:00:01Z"),
    ]


def test_timers_and_events_lose_their_numbers() -> None:
    events = (
        TimerCreated(timestamp=at(1), event_id=2, fire_at=at(5)),
        TimerFired(timestamp=at(5), timer_id=2, fire_at=at(5)),
        EventRaised(timestamp=at(6), name="Go", input="1"),
    )

    created, fired, raised = shown(events)

    assert created == {
        "EventType": "TimerCreated",
        "FireAt": "2026-03-01T10:00:05Z",
        "Timestamp": "2026-03-01T10:00:01Z",
    }
    assert fired == {"EventType": "TimerFired", "FireAt": "2026-03-01T10:00:05Z", "Timestamp": "2026-03-01T10:00:05Z"}
    assert (raised["Name"], raised["Input"]) == ("Go", "1")


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        (None, "null"),
        ("", '""'),
        (" \n", '""'),
        ("null", "null"),
        ('{ "a" : [ 1 , 2.0 ] }', '{"a":[1,2.0]}'),
        ('"text"', '"text"'),
        ("stopped by hand", '"stopped by hand"'),
        ("5 retries left", '"5 retries left"'),
        ("  a text \n", '"a text"'),
        ("[NaN,Infinity,-Infinity,1e999,-1e999]", '["NaN","Infinity","-Infinity","Infinity","-Infinity"]'),
        ('"Zoë 🚀"', '"Zoë 🚀"'),
        ('"\\ud800"', '"\\ud800"'),
        ("9" * 5000, '"' + "9" * 5000 + '"'),
        ("[" * 100_000 + "]" * 100_000, '"' + "[" * 100_000 + "]" * 100_000 + '"'),
    ],
)
def test_a_stored_text_is_shown_as_json_or_else_as_a_string(text: str | None, json_text: str) -> None:
    assert stored_json(text) == json_text


@given(st.text())
def test_the_answer_is_json_whatever_is_stored(text: str) -> None:
    answer = json_object({"output": stored_json(text), "all": json_array([stored_json(text), "1"])})

    json.loads(answer.encode("utf-8"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON_VALUES, st.sampled_from([None, 2]))
def test_a_body_keeps_its_value_when_it_becomes_an_input(value: Any, indent: int | None) -> None:
    body = json.dumps(value, indent=indent).encode()
    text = body_to_input(body)

    assert text is not None
    text.encode("utf-8")
    assert json.loads(text) == value
    assert stored_json(text) == body_to_json(body)


@given(st.binary(max_size=40))
def test_any_body_is_an_input_or_a_bad_request(body: bytes) -> None:
    with suppress(RequestError):
        text = body_to_input(body)
        json.loads(text or "null")


def test_the_client_input_has_its_members_in_the_order_of_the_extension() -> None:
    links = Links(hub_name="Hub", connection_name="Storage")
    links.listens_at(origin="http://localhost:7071", rpc_base_url="http://127.0.0.1:17071/durabletask/")

    document = json.loads(links.client_input(make_function("x").trigger))

    base = "http://localhost:7071/runtime/webhooks/durabletask"
    assert list(document) == [
        "taskHubName",
        "connectionName",
        "creationUrls",
        "managementUrls",
        "baseUrl",
        "requiredQueryStringParameters",
        "rpcBaseUrl",
        "httpBaseUrl",
    ]
    assert document["taskHubName"] == "Hub"
    assert document["baseUrl"] == base
    assert document["requiredQueryStringParameters"] == ""
    assert document["creationUrls"] == {
        "createNewInstancePostUri": f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]",
        "createAndWaitOnNewInstancePostUri": (
            f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]"
            "?timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
        ),
    }
    assert list(document["managementUrls"]) == [
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "rewindPostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ]
    assert document["managementUrls"]["id"] == "INSTANCEID"


def test_a_binding_may_name_its_own_hub_and_connection() -> None:
    properties = {"type": "durableClient", "taskHub": "Other", "connectionName": "OtherStorage"}
    binding = Binding(name="starter", type="durableClient", direction=Direction.IN, properties=properties)

    document = json.loads(Links(hub_name="Hub").client_input(binding))

    assert document["taskHubName"] == "Other"
    assert document["connectionName"] is None
    assert document["managementUrls"]["statusQueryGetUri"].endswith("?taskHub=Other&connection=OtherStorage")
