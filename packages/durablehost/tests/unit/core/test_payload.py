"""Python values on their way: JSON text within JSON text, as the shim protocol requires."""

from __future__ import annotations

import json

import pytest

from durablehost.core.history import OrchestratorStarted, TaskCompleted
from durablehost.core.history_json import event_to_json
from durablehost.core.payload import (
    activity_argument,
    input_problem,
    normalize_result,
    orchestrator_payload,
    wrap_activity_input,
    wrap_child_input,
)
from packages.durablehost.tests.unit.core.examples import AT, PARENT, started


def test_an_activity_input_is_an_array_with_one_string() -> None:
    assert wrap_activity_input('"Oslo"') == '["\\"Oslo\\""]'


@pytest.mark.parametrize("text", ['"Oslo"', "0", "null", '{"k": 1}', "[1, 2]"])
def test_an_activity_gets_the_text_that_the_sdk_wrote(text: str) -> None:
    assert activity_argument(wrap_activity_input(text)) == text


@pytest.mark.parametrize(
    ("stored", "argument"), [("[5]", "5"), ("[null]", "null"), (None, "null"), ('{"raw":1}', '{"raw":1}')]
)
def test_an_activity_input_of_another_host_is_passed_on_as_json_text(stored: str | None, argument: str) -> None:
    assert activity_argument(stored) == argument


def test_the_input_of_a_child_is_encoded_twice() -> None:
    assert wrap_child_input('{"a": 1}') == '"{\\"a\\": 1}"'


@pytest.mark.parametrize(("text", "stored"), [("null", None), (None, None), ('{"a": 1}', '{"a":1}'), ("0", "0")])
def test_a_result_is_stored_compactly_and_null_as_none(text: str | None, stored: str | None) -> None:
    assert normalize_result(text) == stored


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('{"a":1}', '{"a":1}'),
        ('"[1]"', "[1]"),
        (None, None),
        ("null", None),
        ("not json", "not json"),
    ],
)
def test_the_orchestrator_input_is_json_text_whether_a_client_or_a_parent_started_it(
    stored: str | None, given: str | None
) -> None:
    start = started(input=stored)
    payload = json.loads("".join(orchestrator_payload(start, (OrchestratorStarted(timestamp=AT), start))))
    assert payload["input"] == given


@pytest.mark.parametrize("stored", ["null", '{"a":1}', '"7"', '"{\\"a\\":1}"'])
def test_an_object_and_json_in_a_json_string_can_be_read_by_the_sdk(stored: str) -> None:
    assert input_problem(stored) is None


@pytest.mark.parametrize(
    ("stored", "kind", "example"),
    [
        ("7", "a number", '"7"'),
        ("1.5", "a number", '"1.5"'),
        ("true", "a boolean", '"true"'),
        ("[1,2]", "a list", '"[1,2]"'),
        ('"Oslo"', "text that is not JSON", r'"\"Oslo\""'),
        ('""', "text that is not JSON", r'"\"\""'),
    ],
)
def test_an_input_that_the_sdk_cannot_read_is_passed_on_as_a_real_host_does(
    stored: str, kind: str, example: str
) -> None:
    start = started(input=stored)
    payload = json.loads("".join(orchestrator_payload(start, (OrchestratorStarted(timestamp=AT), start))))
    assert type(payload["input"]) is type(json.loads(stored))
    assert input_problem(stored) == (
        f"get_input() fails on {kind}, here as in Azure. "
        f"Send an object, or JSON text in a JSON string, such as {example}"
    )


@pytest.mark.parametrize("depth", [900, 990, 100_000])
def test_a_list_may_be_nested_as_deeply_as_a_client_could_send_it(depth: int) -> None:
    stored = "[" * depth + "]" * depth
    start = started(input=stored)
    assert json.loads("".join(orchestrator_payload(start, (OrchestratorStarted(timestamp=AT), start))))
    assert "get_input() fails on" in str(input_problem(stored))


def test_the_problem_of_a_long_input_does_not_repeat_it() -> None:
    assert str(input_problem(json.dumps(list(range(100))))).endswith("or JSON text in a JSON string")


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_the_numbers_that_json_lacks_are_stored_as_their_names(name: str) -> None:
    assert normalize_result(f"[{name}, 1]") == f'["{name}",1]'


def test_the_payload_has_what_the_sdk_needs() -> None:
    start = started(parent_instance=PARENT)
    payload = json.loads("".join(orchestrator_payload(start, (OrchestratorStarted(timestamp=AT), start))))
    assert payload["instanceId"] == "me"
    assert payload["parentInstanceId"] == "parent"
    assert (payload["upperSchemaVersion"], payload["upperSchemaVersionNew"]) == (1, 3)
    assert [event["EventType"] for event in payload["history"]] == [12, 0]
    assert payload["history"][1]["Version"] is None
    # With these the SDK splits a timer that is longer than the longest delay of a message.
    assert (payload["maximumShortTimerDuration"], payload["longRunningTimerIntervalDuration"]) == (
        "6.00:00:00",
        "3.00:00:00",
    )


def test_a_history_is_split_into_pieces_with_at_most_one_large_event_each() -> None:
    start = started()
    small = [TaskCompleted(timestamp=AT, task_scheduled_id=number, result=str(number)) for number in range(100)]
    large = [TaskCompleted(timestamp=AT, task_scheduled_id=number, result="x" * 100_000) for number in range(100, 160)]
    history = (start, *small, *large)
    pieces = list(orchestrator_payload(start, history))
    assert json.loads("".join(pieces))["history"] == [event_to_json(event) for event in history]
    assert [len(piece) // 100_000 for piece in pieces[-10:-1]] == [1] * 9


def test_a_history_without_events_is_empty() -> None:
    assert json.loads("".join(orchestrator_payload(started(), ())))["history"] == []


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 990, 2000, 100_000])
def test_a_result_may_be_nested_as_deeply_as_its_function_could_write_it(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert normalize_result(text) in (text, json.dumps(text))
