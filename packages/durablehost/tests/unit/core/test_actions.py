"""Parsing what the SDK returns, with texts that SDK 1.7.0 wrote."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from durablehost.core.actions import (
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNewAction,
    CreateTimer,
    RetryOptions,
    SignalEntity,
    WaitForExternalEvent,
    parse_failure,
    parse_result,
)
from durablehost.errors import UnsupportedFeatureError, UserCodeError


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


def test_actions_without_a_task_id_are_no_work() -> None:
    wait = {"actionType": 6, "externalEventName": "Go", "reason": "ExternalEvent"}
    call = {"actionType": 0, "functionName": "Say", "input": "1"}
    result = parse_result(state(wait, call, {"actionType": 4, "input": "2"}))
    assert result.work == (CallActivity(name="Say", input="1"),)
    assert result.actions[0] == WaitForExternalEvent(name="Go")
    assert result.continuation == ContinueAsNewAction(input="2")


def test_an_http_call_has_the_request_of_a_real_host() -> None:
    request = {"method": "GET", "uri": "http://localhost", "content": None, "headers": {"H": "v"}}
    (action,) = parse_result(state({"actionType": 8, "httpRequest": request})).work
    assert isinstance(action, CallHttp)
    # The type comes first, as .NET needs it.
    assert list(json.loads(action.request).items()) == [
        (
            "$type",
            "Microsoft.Azure.WebJobs.Extensions.DurableTask.DurableHttpRequest, "
            "Microsoft.Azure.WebJobs.Extensions.DurableTask",
        ),
        ("method", "GET"),
        ("uri", "http://localhost"),
        ("headers", {"H": "v"}),
        ("content", None),
        ("tokenSource", None),
        ("asynchronousPatternEnabled", False),
        ("retryOptions", None),
        ("timeout", None),
    ]


def test_an_http_call_without_headers_has_none() -> None:
    (action,) = parse_result(state({"actionType": 8, "httpRequest": {"method": "GET", "uri": "u"}})).work
    assert isinstance(action, CallHttp)
    assert json.loads(action.request)["headers"] == {}


def test_calls_and_signals_of_entities_are_work() -> None:
    members = {"instanceId": "@counter@one", "operation": "add", "input": "3"}
    result = parse_result(state({"actionType": 9, **members}, {"actionType": 7, **members}))
    assert result.work == (
        SignalEntity(instance_id="@counter@one", operation="add", input="3"),
        CallEntity(instance_id="@counter@one", operation="add", input="3"),
    )


CHILD = {"actionType": 2, "functionName": "Sub", "input": "1", "instanceId": None, "version": None}


@pytest.mark.parametrize(
    ("given", "read"),
    [(5, "5"), (1.5, "1.5"), (True, "True"), (float("nan"), "NaN"), ("\ud800x", "\ufffdx"), ("a\nb\0", "a\nb\0")],
)
def test_names_and_ids_are_converted_as_a_real_host_converts_them(given: object, read: str) -> None:
    (action,) = parse_result(state({**CHILD, "functionName": given, "instanceId": given, "version": given})).actions
    assert action == CallSubOrchestrator(name=read, input="1", instance_id=read, version=read)


def test_a_blank_id_is_no_id() -> None:
    (action,) = parse_result(state({**CHILD, "instanceId": " "})).actions
    assert action == CallSubOrchestrator(name="Sub", input="1")


RETRIED = {"actionType": 1, "functionName": "F", "input": "1"}
MILLISECONDS, ATTEMPTS = "firstRetryIntervalInMilliseconds", "maxNumberOfAttempts"


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"actionType": 0, "functionName": [1]}, r"call_activity: name must be text, not a list \(\[1\]\)"),
        ({**CHILD, "instanceId": {"a": 1}}, "call_sub_orchestrator: instance_id must be text, not a dict"),
        ({**CHILD, "version": []}, "call_sub_orchestrator: version must be text, not a list"),
        ({**CHILD, "functionName": "x" * 4097}, "call_sub_orchestrator: name has 4097 characters; 4096 are the most"),
        (
            {"actionType": 6, "externalEventName": 5},
            r"wait_for_external_event: name must be text .* not a number \(5\)",
        ),
        ({"actionType": 6, "externalEventName": "\ud800"}, r"wait_for_external_event: name must be .* \('\\ud800'\)"),
        ({"actionType": 7, "instanceId": "@c@k", "operation": [1]}, "call_entity: operationName must be text"),
        ({"actionType": 9, "instanceId": None, "operation": "add"}, "signal_entity: entityId must not be None"),
        ({"actionType": 5, "fireAt": "soon"}, "create_timer: fire_at must be a datetime, not text"),
        ({"actionType": 8, "httpRequest": {"method": ["GET"], "uri": "u"}}, "call_http: method must be text"),
        ({"actionType": 8, "httpRequest": {"method": " ", "uri": "u"}}, "call_http: method must not be empty"),
        ({"actionType": 8, "httpRequest": {"method": "GET", "uri": {}}}, "call_http: uri must be text"),
        ({"actionType": 8, "httpRequest": {"headers": [1]}}, "call_http: headers must be a dict, not a list"),
        ({**RETRIED, "retryOptions": "soon"}, "call_activity_with_retry: retry_options must be RetryOptions"),
        ({**RETRIED, "retryOptions": None}, "call_activity_with_retry: retry_options must be RetryOptions"),
        ({**CHILD, "actionType": 3}, "call_sub_orchestrator_with_retry: retry_options must be RetryOptions"),
    ],
)
def test_a_wrong_argument_is_named_as_in_the_callers_code(action: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserCodeError, match=problem):
        parse_result(state(action))


@pytest.mark.parametrize("interval", ["soon", None, [1], 0, -5, float("nan"), float("inf"), 2**31, 10**400])
def test_a_wrong_interval_is_named(interval: object) -> None:
    options = {MILLISECONDS: interval, ATTEMPTS: 3}
    with pytest.raises(UserCodeError, match="call_activity_with_retry: first_retry_interval_in_milliseconds must be"):
        parse_result(state({**RETRIED, "retryOptions": options}))


@pytest.mark.parametrize("attempts", ["two", None, [1], 0, -1, float("nan"), 10**20])
def test_a_wrong_number_of_attempts_is_named(attempts: object) -> None:
    options = {MILLISECONDS: 100, ATTEMPTS: attempts}
    with pytest.raises(UserCodeError, match="call_activity_with_retry: max_number_of_attempts must be"):
        parse_result(state({**RETRIED, "retryOptions": options}))


def test_retry_options_may_be_text_and_fractions() -> None:
    (action,) = parse_result(state({**RETRIED, "retryOptions": {MILLISECONDS: "1500.4", ATTEMPTS: 2.5}})).work
    assert isinstance(action, CallActivity)
    assert action.retry == RetryOptions(first_interval_seconds=1.5, max_attempts=2.5)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00.000000Z", "1-01-01T00:00:00.000000Z"])
def test_a_timer_of_the_year_1_is_due_at_the_earliest_time_that_storage_allows(text: str) -> None:
    (action,) = parse_result(state({"actionType": 5, "fireAt": text})).work
    assert action == CreateTimer(fire_at=datetime(1601, 1, 1, tzinfo=timezone.utc))


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
def test_unsupported_features_are_refused_by_name(action: dict[str, Any], feature: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=f"uses {feature}, which durablehost does not support yet"):
        parse_result(state(action))


def test_the_output_and_the_custom_status_are_json_text() -> None:
    result = parse_result(state(isDone=True, output=["Hello Åland"], customStatus={"phase": "done"}))
    assert result.output == '["Hello Åland"]'
    assert result.custom_status == '{"phase":"done"}'


def test_an_output_may_be_nested_deeper_than_a_real_host_reads_it() -> None:
    output = "[" * 100 + "]" * 100
    assert parse_result(f'{{"isDone": true, "actions": [[]], "output": {output}}}').output == output


def test_an_output_that_utf_8_cannot_encode_is_escaped() -> None:
    assert parse_result('{"isDone": true, "actions": [[]], "output": "\\ud800"}').output == '"\\ud800"'


def test_the_numbers_that_json_lacks_are_stored_as_their_names() -> None:
    result = parse_result('{"isDone": true, "actions": [[]], "output": [NaN, -Infinity], "customStatus": Infinity}')
    assert (result.output, result.custom_status) == ('["NaN","-Infinity"]', '"Infinity"')


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"isDone": true, "actions": [[{}]]}', "[" * 100_000])
def test_a_document_that_the_sdk_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(UserCodeError, match="must return a valid JSON schema"):
        parse_result(text)


@pytest.mark.parametrize("error", ["boom", "boom $OutOfProcData$:{} boom", "boom\n\n$OutOfProcData$:{}"])
def test_the_state_of_a_failed_orchestrator_is_in_the_text_of_its_exception(error: str) -> None:
    call = {"actionType": 0, "functionName": "Say", "input": "1"}
    result = parse_failure(f"{error}\n\n$OutOfProcData$:{state(call, error=error)}")
    assert result is not None
    assert result.error == error
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
