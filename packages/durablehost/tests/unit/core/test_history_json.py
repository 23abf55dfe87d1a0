"""Events as JSON, against the examples of the Azure Storage provider's wire format."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from durablehost.core.history import (
    EVENT_TYPES,
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationInstanceCreated,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from durablehost.core.history_json import event_from_json, event_to_json, format_time, parse_moment, parse_time
from durablehost.core.status import RuntimeStatus
from durablehost.errors import PoisonMessage
from durablehost.types import JsonValue

AT = datetime(2026, 1, 5, 10, 0, 0, 500000, tzinfo=timezone.utc)
ORDER = OrchestrationInstance(instance_id="order-42", execution_id="0f6d2b8c4e1a4c7d9b3a5e6f70819203")


def compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def test_a_start_is_written_as_a_real_host_writes_it() -> None:
    started = ExecutionStarted(
        timestamp=AT, orchestration_instance=ORDER, name="ProcessOrder", input='{"sku":"A-7"}', generation=0
    )
    assert compact(event_to_json(started, with_types=True)) == (
        '{"$type":"DurableTask.Core.History.ExecutionStartedEvent",'
        '"OrchestrationInstance":{"$type":"DurableTask.Core.OrchestrationInstance","InstanceId":"order-42",'
        '"ExecutionId":"0f6d2b8c4e1a4c7d9b3a5e6f70819203"},'
        '"EventType":0,"ParentInstance":null,"Name":"ProcessOrder","Version":null,"Input":"{\\"sku\\":\\"A-7\\"}",'
        '"Tags":null,"Correlation":null,"ParentTraceContext":null,"ScheduledStartTime":null,"Generation":0,"GenerateNewTrace":false,'
        '"EventId":-1,"IsPlayed":false,"Timestamp":"2026-01-05T10:00:00.5Z"}'
    )


def test_an_activity_request_is_written_as_a_real_host_writes_it() -> None:
    scheduled = TaskScheduled(timestamp=AT, event_id=0, name="ReserveStock", input='["A-7"]')
    document = event_to_json(scheduled, with_types=True)
    assert list(document)[:2] == ["$type", "EventType"]
    assert list(document)[-3:] == ["EventId", "IsPlayed", "Timestamp"]
    assert document["EventId"] == 0


def test_the_data_of_a_generic_event_stands_before_its_type() -> None:
    document = event_to_json(GenericEvent(timestamp=AT, data="rewind reason"), with_types=True)
    assert list(document)[:3] == ["$type", "Data", "EventType"]
    assert document["$type"] == "DurableTask.Core.History.GenericEvent"


def test_a_parent_is_written_with_the_type_of_each_nested_object() -> None:
    parent = ParentInstance(name="ProcessOrder", orchestration_instance=ORDER, task_schedule_id=2, version="")
    started = ExecutionStarted(timestamp=AT, orchestration_instance=ORDER, name="Child", parent_instance=parent)
    document = event_to_json(started, with_types=True)
    assert compact(document["ParentInstance"]) == (
        '{"$type":"DurableTask.Core.ParentInstance","Name":"ProcessOrder",'
        '"OrchestrationInstance":{"$type":"DurableTask.Core.OrchestrationInstance","InstanceId":"order-42",'
        '"ExecutionId":"0f6d2b8c4e1a4c7d9b3a5e6f70819203"},"TaskScheduleId":2,"Version":""}'
    )
    assert event_from_json(document) == started


def test_without_types_no_object_has_a_type_name() -> None:
    started = ExecutionStarted(timestamp=AT, orchestration_instance=ORDER, name="ProcessOrder")
    assert "$type" not in compact(event_to_json(started))


EXAMPLES: list[HistoryEvent] = [
    ExecutionCompleted(timestamp=AT, event_id=3, orchestration_status=RuntimeStatus.FAILED, result="boom"),
    TaskFailed(timestamp=AT, task_scheduled_id=4, reason="r", details="d", failure_details={"ErrorType": "E"}),
    SubOrchestrationInstanceCreated(timestamp=AT, event_id=2, name="Child", instance_id="child"),
    TimerFired(timestamp=AT, timer_id=1, fire_at=AT + timedelta(minutes=5)),
]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type_name)
@pytest.mark.parametrize("with_types", [True, False])
def test_reading_returns_the_written_event(event: HistoryEvent, with_types: bool) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event, with_types=with_types)))) == event


def test_unknown_members_are_ignored() -> None:
    document = {**event_to_json(EXAMPLES[0]), "GenerateNewTrace": True}
    assert event_from_json(document) == EXAMPLES[0]


def test_a_missing_event_id_is_0() -> None:
    document = event_to_json(TimerFired(timestamp=AT, timer_id=1, fire_at=AT))
    del document["EventId"]
    assert event_from_json(document).event_id == 0


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (None, "it is null, not an object"),
        ([], "it is an array, not an object"),
        ("x", "it is a text"),
        ({}, "it has no EventType"),
        ({"EventType": 99, "Timestamp": "2026-01-05T10:00:00Z"}, r"EventType is a number \(99\), not that of"),
        ({"EventType": 0, "Timestamp": "2026-01-05T10:00:00Z"}, "it has no OrchestrationInstance"),
        ({"EventType": 5}, "it has no TaskScheduledId"),
        ({"EventType": 3}, "it has no Timestamp"),
    ],
    ids=["null", "array", "text", "empty", "unknown type", "start without its instance", "result without its task",
         "without a time"],
)  # fmt: skip
def test_a_document_that_is_no_event_is_poison_and_says_why(document: JsonValue, problem: str) -> None:
    with pytest.raises(PoisonMessage, match=f"^not a history event: {problem}"):
        event_from_json(document)


def test_type_numbers_are_those_of_the_original() -> None:
    assert [event_type.type_number for event_type in EVENT_TYPES] == [0, 1, *range(3, 22)]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 5, 10, tzinfo=timezone.utc), "2026-01-05T10:00:00Z"),
        (datetime(2026, 1, 5, 10, 0, 0, 120000, tzinfo=timezone.utc), "2026-01-05T10:00:00.12Z"),
        (datetime(2026, 1, 5, 10, 0, 0, 1, tzinfo=timezone.utc), "2026-01-05T10:00:00.000001Z"),
        (datetime(2026, 1, 5, 10, tzinfo=timezone(timedelta(hours=2))), "2026-01-05T08:00:00Z"),
    ],
)
def test_times_lose_trailing_zeros(at: datetime, text: str) -> None:
    assert format_time(at) == text
    assert parse_time(text) == at


def test_a_seventh_digit_is_cut_off() -> None:
    assert parse_time("2026-01-05T10:00:00.1234567Z").microsecond == 123456


def test_a_text_that_is_no_time_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="'yesterday' is not a time"):
        parse_time("yesterday")


FIRST, LAST = datetime.min.replace(tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-05T10:00:00.12+02:00", datetime(2026, 1, 5, 8, 0, 0, 120000, tzinfo=timezone.utc)),
        ("0001-01-01T00:00:00", FIRST),
        ("0001-01-01T00:00:00.000000Z", FIRST),
        ("1-01-01T00:00:00.000000Z", FIRST),  # as strftime writes it on Linux
        ("0001-01-01T00:00:00+05:00", FIRST),
        ("0001-01-01T05:00:00+05:00", FIRST),
        ("9999-12-31T23:59:59.999999", LAST),
        ("9999-12-31T23:59:59.9999999Z", LAST),
        ("9999-12-31T23:59:59-05:00", LAST),
        ("0000-01-01T00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("soon", None),
    ],
)
def test_a_moment_is_read_from_the_first_year_to_the_last(text: str, at: datetime | None) -> None:
    assert parse_moment(text) == at
