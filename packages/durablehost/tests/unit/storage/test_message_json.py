"""Queue texts, compared member by member with those of a real host."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from durablehost.core.history import ExecutionStarted, OrchestrationInstance, ParentInstance, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.errors import PoisonMessage
from durablehost.storage.rows.message_json import (
    Envelope,
    OffloadedEnvelope,
    envelope_from_text,
    envelope_to_text,
    wrapper_to_text,
)
from packages.durablehost.tests.hubs import build

ACTIVITY_ID = "3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11"
EXECUTION_ID = "0f6d2b8c4e1a4c7d9b3a5e6f70819203"
ORDER = OrchestrationInstance(instance_id="order-42", execution_id=EXECUTION_ID)
ORDER_JSON = (
    '{"$type":"DurableTask.Core.OrchestrationInstance","InstanceId":"order-42",'
    '"ExecutionId":"0f6d2b8c4e1a4c7d9b3a5e6f70819203"}'
)

START = TaskMessage(
    event=ExecutionStarted(
        timestamp=datetime(2026, 1, 5, 10, 0, 0, 500000, tzinfo=timezone.utc),
        orchestration_instance=ORDER,
        name="ProcessOrder",
        input='{"sku":"A-7"}',
        generation=0,
    ),
    target=ORDER,
)
START_TEXT = (
    '{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11",'
    '"TaskMessage":{"$type":"DurableTask.Core.TaskMessage",'
    '"Event":{"$type":"DurableTask.Core.History.ExecutionStartedEvent",'
    '"OrchestrationInstance":' + ORDER_JSON + ","
    '"EventType":0,"ParentInstance":null,"Name":"ProcessOrder","Version":null,"Input":"{\\"sku\\":\\"A-7\\"}",'
    '"Tags":null,"Correlation":null,"ParentTraceContext":null,"ScheduledStartTime":null,"Generation":0,"GenerateNewTrace":false,'
    '"EventId":-1,"IsPlayed":false,"Timestamp":"2026-01-05T10:00:00.5Z"},'
    '"SequenceNumber":0,"OrchestrationInstance":' + ORDER_JSON + ","
    '"OrchestrationExecutionContext":null},'
    '"CompressedBlobName":null,"SequenceNumber":1,"Sender":{"InstanceId":"","ExecutionId":""},'
    '"SerializableTraceContext":null}'
)

REQUEST = TaskMessage(
    event=TaskScheduled(
        timestamp=datetime(2026, 1, 5, 10, 0, 1, 250000, tzinfo=timezone.utc),
        event_id=0,
        name="ReserveStock",
        input='["A-7"]',
    ),
    target=ORDER,
    sender=ORDER,
    episode=1,
    request_time=datetime(2026, 1, 5, 10, 0, 1, 250000, tzinfo=timezone.utc),
)
REQUEST_TAIL = (
    '"SequenceNumber":0,"OrchestrationInstance":' + ORDER_JSON + ","
    '"OrchestrationExecutionContext":{"$type":"DurableTask.Core.OrchestrationExecutionContext",'
    '"OrchestrationTags":{'
    '"$type":"System.Collections.Generic.Dictionary`2[[System.String, System.Private.CoreLib],'
    '[System.String, System.Private.CoreLib]]"}}},'
    '"CompressedBlobName":null,"SequenceNumber":2,"Episode":1,"RequestTime":"2026-01-05T10:00:01.25Z",'
    '"Sender":{"InstanceId":"order-42","ExecutionId":"0f6d2b8c4e1a4c7d9b3a5e6f70819203"},'
    '"SerializableTraceContext":null}'
)


def read(text: str) -> Envelope:
    envelope = envelope_from_text(text)
    assert isinstance(envelope, Envelope)
    return envelope


def test_a_start_is_written_as_a_real_host_writes_it() -> None:
    assert envelope_to_text(START, activity_id=ACTIVITY_ID, sequence_number=1) == START_TEXT


def test_an_activity_request_carries_its_episode_its_time_and_its_sender() -> None:
    text = envelope_to_text(REQUEST, activity_id=ACTIVITY_ID, sequence_number=2)
    assert text.endswith(REQUEST_TAIL)
    assert '"Event":{"$type":"DurableTask.Core.History.TaskScheduledEvent","EventType":4,' in text


def test_the_start_of_a_child_names_its_parent_and_carries_tags() -> None:
    parent = ParentInstance(name="ProcessOrder", orchestration_instance=ORDER, task_schedule_id=2, version="")
    child = OrchestrationInstance(instance_id=f"{EXECUTION_ID}:2", execution_id="e2")
    event = ExecutionStarted(
        timestamp=build.AT, orchestration_instance=child, name="Pack", parent_instance=parent, tags={"a": "b"}
    )
    message = json.loads(
        envelope_to_text(TaskMessage(event=event, target=child, sender=ORDER), activity_id="a", sequence_number=3)
    )["TaskMessage"]
    assert list(message["Event"]["ParentInstance"]) == [
        "$type",
        "Name",
        "OrchestrationInstance",
        "TaskScheduleId",
        "Version",
    ]
    tags = message["OrchestrationExecutionContext"]["OrchestrationTags"]
    assert list(tags) == ["$type", "a"]
    assert tags["a"] == "b"


@pytest.mark.parametrize("message", [START, REQUEST])
def test_a_message_is_read_back_from_raw_text_and_from_base64(message: TaskMessage) -> None:
    text = envelope_to_text(message, activity_id=ACTIVITY_ID, sequence_number=9)
    assert read(text) == Envelope(message=message, sequence_number=9)
    assert read(base64.b64encode(text.encode()).decode()) == Envelope(message=message, sequence_number=9)


def test_a_request_of_a_real_host_has_no_time() -> None:
    envelope = json.loads(envelope_to_text(REQUEST, activity_id=ACTIVITY_ID, sequence_number=2))
    del envelope["RequestTime"]
    assert read(json.dumps(envelope)).message == replace(REQUEST, request_time=None)


@pytest.mark.parametrize("value", [5, "yesterday"])
def test_a_request_time_that_is_no_time_makes_a_message_unreadable(value: object) -> None:
    envelope = json.loads(envelope_to_text(REQUEST, activity_id=ACTIVITY_ID, sequence_number=2))
    with pytest.raises(PoisonMessage, match="not a time"):
        envelope_from_text(json.dumps({**envelope, "RequestTime": value}))


def test_unknown_members_and_typed_dictionaries_are_skipped() -> None:
    envelope = json.loads(START_TEXT)
    envelope["Novelty"] = {"$type": "System.Novelty", "a": 1}
    envelope["TaskMessage"]["Event"]["Tags"] = {
        "$type": "System.Collections.Generic.Dictionary`2[[System.String, System.Private.CoreLib],"
        "[System.String, System.Private.CoreLib]]",
        "a": "b",
    }
    event = read(json.dumps(envelope)).message.event
    assert isinstance(event, ExecutionStarted)
    assert event.tags == {"a": "b"}


def test_the_text_is_ascii_that_xml_need_not_escape() -> None:
    message = build.event_raised("order-42", "<&>", input_text='"\ufffe\x00\ud800 日本 <a href="x">&amp;</a>"')
    text = envelope_to_text(message, activity_id=ACTIVITY_ID, sequence_number=1)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("<>&")
    assert read(text).message == message


def test_the_stand_in_for_a_large_message_names_its_blob() -> None:
    text = wrapper_to_text("order-42/message-x.json.gz")
    assert text == (
        '{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"00000000-0000-0000-0000-000000000000",'
        '"TaskMessage":null,"CompressedBlobName":"order-42/message-x.json.gz","SequenceNumber":0,"Sender":null,'
        '"SerializableTraceContext":null}'
    )
    assert envelope_from_text(text) == OffloadedEnvelope("order-42/message-x.json.gz")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "[]",
        "{}",
        '{"TaskMessage":null}',
        '{"TaskMessage":{"Event":{}}}',
        "e30=",
        "\x00",
        "{" * 100_000,
    ],
)
def test_a_text_that_is_no_message_is_poison(text: str) -> None:
    with pytest.raises(PoisonMessage):
        envelope_from_text(text)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("EventId", float("inf")),
        ("Timestamp", "9999-99-99T00:00:00Z"),
        ("OrchestrationInstance", {"InstanceId": "a", "ExecutionId": {}}),
        ("OrchestrationInstance", 5),
        ("EventType", []),
        ("ParentInstance", "x"),
    ],
)
def test_a_member_of_a_wrong_kind_is_poison_and_not_a_defect(member: str, value: object) -> None:
    envelope = json.loads(START_TEXT)
    envelope["TaskMessage"]["Event"][member] = value
    with pytest.raises(PoisonMessage):
        envelope_from_text(json.dumps(envelope))


def test_a_target_without_a_usable_execution_id_is_poison() -> None:
    envelope = json.loads(START_TEXT)
    envelope["TaskMessage"]["OrchestrationInstance"]["ExecutionId"] = ["x"]
    with pytest.raises(PoisonMessage, match="execution id"):
        envelope_from_text(json.dumps(envelope))
