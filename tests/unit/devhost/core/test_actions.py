"""What the SDK returns, against texts that SDK 1.7.0 wrote."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from devhost.core.actions import (
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNew,
    CreateTimer,
    RetryOptions,
    SignalEntity,
    WaitForExternalEvent,
    parse_failure,
    parse_result,
)
from devhost.errors import UnsupportedFeatureError, UserCodeError


def state(*actions: object, **members: object) -> str:
    return json.dumps({"isDone": False, "schemaVersion": 2, "actions": [list(actions)], **members})


def test_a_call_of_an_activity() -> None:
    result = parse_result(state({"actionType": 0, "functionName": "Say", "input": '"Tokyo"'}))
    assert result.actions == (CallActivity(name="Say", input='"Tokyo"'),)
    assert not result.is_done


def test_compound_actions_are_flattened_from_left_to_right() -> None:
    def call(name: str) -> dict[str, object]:
        return {"actionType": 0, "functionName": name, "input": "1"}

    inner = {"actionType": 12, "compoundActions": [call("b"), call("c")]}
    result = parse_result(state({"actionType": 11, "compoundActions": [call("a"), inner]}, call("d")))
    assert [action.name for action in result.actions if isinstance(action, CallActivity)] == ["a", "b", "c", "d"]


def test_a_call_with_retries() -> None:
    options = {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 3}
    result = parse_result(state({"actionType": 1, "functionName": "F", "input": "1", "retryOptions": options}))
    retry = RetryOptions(first_interval_seconds=5, max_attempts=3)
    assert result.actions == (CallActivity(name="F", input="1", retry=retry),)


def test_a_child_without_an_id_of_its_own() -> None:
    entry = {"actionType": 2, "functionName": "Sub", "input": "[1]", "instanceId": None, "version": None}
    assert parse_result(state(entry)).actions == (CallSubOrchestrator(name="Sub", input="[1]"),)


def test_a_timer() -> None:
    entry = {"actionType": 5, "fireAt": "2026-03-01T10:01:00.000000Z", "isCanceled": True}
    at = datetime(2026, 3, 1, 10, 1, tzinfo=timezone.utc)
    assert parse_result(state(entry)).actions == (CreateTimer(fire_at=at, is_canceled=True),)


def test_what_takes_no_task_id_is_no_work() -> None:
    wait = {"actionType": 6, "externalEventName": "Go", "reason": "ExternalEvent"}
    call = {"actionType": 0, "functionName": "Say", "input": "1"}
    result = parse_result(state(wait, call, {"actionType": 4, "input": "2"}))
    assert result.work == (CallActivity(name="Say", input="1"),)
    assert result.waits_for("GO") == (WaitForExternalEvent(name="Go"),)
    assert result.continuation == ContinueAsNew(input="2")


def test_an_http_call_keeps_its_request() -> None:
    request = {"method": "GET", "uri": "http://localhost", "content": None, "headers": {"H": "v"}}
    (action,) = parse_result(state({"actionType": 8, "httpRequest": request})).work
    assert isinstance(action, CallHttp)
    assert json.loads(action.request) == request


def test_calls_and_signals_of_entities_are_work() -> None:
    members = {"instanceId": "@counter@one", "operation": "add", "input": "3"}
    result = parse_result(state({"actionType": 9, **members}, {"actionType": 7, **members}))
    assert result.work == (
        SignalEntity(instance_id="@counter@one", operation="add", input="3"),
        CallEntity(instance_id="@counter@one", operation="add", input="3"),
    )


@pytest.mark.parametrize(
    ("action", "feature"),
    [
        (
            {"actionType": 8, "httpRequest": {"method": "GET", "uri": "u", "tokenSource": {"resource": "r"}}},
            "call_http with a token source",
        ),
        ({"actionType": 10}, "scheduled signals to entities"),
        ({"actionType": 99}, "action type 99"),
    ],
)
def test_what_devhost_does_not_have_is_refused_by_name(action: dict[str, Any], feature: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=f"uses {feature}, which devhost does not support yet"):
        parse_result(state(action))


def test_the_output_and_the_custom_status_are_json_text() -> None:
    result = parse_result(state(isDone=True, output=["Hello Åland"], customStatus={"phase": "done"}))
    assert result.output == '["Hello Åland"]'
    assert result.custom_status == '{"phase":"done"}'


def test_an_output_that_utf_8_cannot_carry_is_escaped() -> None:
    assert parse_result('{"isDone": true, "actions": [[]], "output": "\\ud800"}').output == '"\\ud800"'


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"isDone": true, "actions": [[{}]]}', "[" * 100_000])
def test_what_the_sdk_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(UserCodeError, match="must return a valid JSON schema"):
        parse_result(text)


def test_the_state_of_a_failed_orchestrator_is_in_the_text_of_its_exception() -> None:
    call = {"actionType": 0, "functionName": "Say", "input": "1"}
    text = state(call, error="boom $OutOfProcData$ boom")
    result = parse_failure(f"boom $OutOfProcData$ boom\n\n$OutOfProcData$:{text}")
    assert result is not None
    assert result.error == "boom $OutOfProcData$ boom"
    assert result.actions == (CallActivity(name="Say", input="1"),)


def test_an_exception_without_a_state_has_none() -> None:
    assert parse_failure("AttributeError: no attribute 'Version'") is None


def test_the_delay_grows_by_the_coefficient_up_to_the_maximum() -> None:
    retry = RetryOptions(first_interval_seconds=2, max_attempts=9, backoff_coefficient=3, max_interval_seconds=10)
    assert [retry.delay_seconds(attempt) for attempt in (1, 2, 3)] == [2, 6, 10]


def test_the_timer_after_the_last_attempt_is_due_at_once() -> None:
    assert RetryOptions(first_interval_seconds=2, max_attempts=3).delay_seconds(3) == 0


def test_an_immense_coefficient_ends_at_the_maximum() -> None:
    retry = RetryOptions(
        first_interval_seconds=2, max_attempts=9999, backoff_coefficient=1e300, max_interval_seconds=60
    )
    assert retry.delay_seconds(9000) == 60
