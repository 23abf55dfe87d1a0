"""Real messages and rows, made by the project's own code: the seeds of the mutations."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from durablehost.core.checkpoint import InstanceUpdate
from durablehost.core.entity_messages import EntityRequest, request_to_text
from durablehost.core.history import (
    ContinueAsNew,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    HistoryState,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import EntityId
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.storage.account.names import row_key
from durablehost.storage.rows.history_rows import row_of_event
from durablehost.storage.rows.instance_rows import pending_row, update_row
from durablehost.storage.rows.message_json import envelope_to_text, wrapper_to_text

AT = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=timezone.utc)
EXECUTION_ID = "0f6d2b8c4e1a4c7d9b3a5e6f70819203"
VICTIM = OrchestrationInstance(instance_id="victim", execution_id=EXECUTION_ID)
PARENT = ParentInstance(
    name="FanOut",
    orchestration_instance=OrchestrationInstance(instance_id="victims-parent", execution_id="p1"),
    task_schedule_id=2,
    version="",
)
ENTITY = EntityId.of("counter", "victim")
FAILURE = {"ErrorType": "E", "ErrorMessage": "m", "StackTrace": "s", "InnerFailure": None, "IsNonRetriable": False}
REQUESTS = (
    EntityRequest(id="1", operation="add", is_signal=True, input="1"),
    EntityRequest(
        id="2", operation="add", input="1", parent="victims-parent", parent_execution="p1", timestamp=638_000_000
    ),
    EntityRequest(id="3", operation="add", is_signal=True, due_at=AT + timedelta(days=9)),
    EntityRequest(
        id="4", operation=None, parent="victims-parent", lock_set=(ENTITY, EntityId.of("counter", "b")), position=0
    ),
)

TRACE_CONTEXT = {
    "TraceParent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "TraceState": "vendor=1",
    "Id": "00-0af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01",
    "SpanId": "c7ad6b7169203331",
    "ActivityStartTime": "2026-01-05T10:00:00.1234567+00:00",
}

EVENTS: tuple[HistoryEvent, ...] = (
    OrchestratorStarted(timestamp=AT),
    ExecutionStarted(timestamp=AT, orchestration_instance=VICTIM, name="FanOut", input='"{}"', generation=0),
    ExecutionStarted(
        timestamp=AT,
        orchestration_instance=VICTIM,
        parent_instance=PARENT,
        name="FanOut",
        input='"{}"',
        tags={"a": "b"},
        scheduled_start_time=AT,
        parent_trace_context=TRACE_CONTEXT,
    ),
    TaskScheduled(timestamp=AT, event_id=0, name="Chunk", input='["1"]', tags={"a": "b"}),
    TimerCreated(timestamp=AT, event_id=1, fire_at=AT),
    SubOrchestrationInstanceCreated(timestamp=AT, event_id=2, name="FanOut", instance_id="victims-child", input='"1"'),
    EventSent(timestamp=AT, event_id=3, instance_id=ENTITY.instance_id, name="op", input=request_to_text(REQUESTS[1])),
    OrchestratorCompleted(timestamp=AT),
    TaskCompleted(timestamp=AT, task_scheduled_id=0, result='"x"'),
    TaskFailed(timestamp=AT, task_scheduled_id=0, reason="r", details="d", failure_details=FAILURE),
    SubOrchestrationInstanceCompleted(timestamp=AT, task_scheduled_id=2, result='"x"'),
    SubOrchestrationInstanceFailed(timestamp=AT, task_scheduled_id=2, reason="r", failure_details=FAILURE),
    TimerFired(timestamp=AT, timer_id=1, fire_at=AT),
    EventRaised(timestamp=AT, name="Go", input='"x"'),
    ExecutionSuspended(timestamp=AT, reason="r"),
    ExecutionResumed(timestamp=AT, reason="r"),
    ExecutionTerminated(timestamp=AT, input="r"),
    ExecutionRewound(timestamp=AT, reason="r", parent_execution_id="p1", instance_id="victim"),
    GenericEvent(timestamp=AT, data="r"),
    HistoryState(timestamp=AT, state={"a": 1}),
    ContinueAsNew(timestamp=AT, orchestration_status=RuntimeStatus.CONTINUED_AS_NEW, result='"x"'),
    ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.FAILED, result="r", failure_details=FAILURE),
)
HISTORY = EVENTS[:1] + EVENTS[1:2] + EVENTS[3:9]


def message_documents() -> list[dict[str, Any]]:
    """Envelopes of all kinds of messages, those to entities and a stand-in for a blob among them."""
    entity = OrchestrationInstance(instance_id=ENTITY.instance_id, execution_id=None)
    release = EventRaised(timestamp=AT, name="release", input='{"parent":"victims-parent","id":"4"}')
    due = EventRaised(timestamp=AT, name="op@2026-01-05T10:00:00Z", input=request_to_text(REQUESTS[2]))
    asked = [EventRaised(timestamp=AT, name="op", input=request_to_text(request)) for request in REQUESTS]
    messages = [TaskMessage(event=event, target=VICTIM, sender=VICTIM, episode=1) for event in EVENTS]
    messages += [TaskMessage(event=event, target=entity, sender=VICTIM) for event in (*asked, due, release)]
    texts = [envelope_to_text(each, activity_id="3c5f0a7e", sequence_number=1) for each in messages]
    return [json.loads(text) for text in (*texts, wrapper_to_text("victim/message-x.json.gz"))]


def history_rows() -> list[dict[str, Any]]:
    return [
        {"PartitionKey": "victim", "RowKey": row_key(index), **row_of_event(event, EXECUTION_ID)}
        for index, event in enumerate(EVENTS)
    ]


def instance_rows() -> list[dict[str, Any]]:
    start = EVENTS[1]
    assert isinstance(start, ExecutionStarted)
    update = InstanceUpdate(
        execution_id=EXECUTION_ID,
        last_updated_at=AT,
        custom_status='"busy"',
        started=start,
        runtime_status=RuntimeStatus.COMPLETED,
        output='"x"',
        completed_at=AT,
    )
    done = update_row("victim", update, input_text='"1"', output_text='"x"', hub_name="Hub")
    pending = pending_row(start, input_text='"1"', hub_name="Hub", now=AT)
    return [dict(pending), dict(done), {**done, "InputBlobName": "victim/x.json.gz"}]


def lease_rows() -> list[dict[str, Any]]:
    return [
        {"PartitionKey": "", "RowKey": "hub-control-00", "IsDraining": False},
        {
            "PartitionKey": "", "RowKey": "hub-control-01", "IsDraining": True, "CurrentOwner": "a", "NextOwner": "b",
            "OwnedSince": AT, "LastRenewal": AT, "ExpiresAt": AT,
        },
    ]  # fmt: skip


def entity_documents() -> list[dict[str, Any]]:
    """The stored state of an entity that is locked, has waiting requests, and others ahead of their predecessors."""
    queue = [json.loads(request_to_text(request)) for request in REQUESTS]
    sender = {"Last": "2026-01-05T10:00:00Z", "ExecutionId": "p1", "Buffered": {"2026-01-05T10:00:00.1Z": queue[1]}}
    sorter = {"ReceivedFromInstance": {"victims-parent": sender}, "ReceiveHorizon": "2026-01-05T09:00:00Z"}
    return [
        {"exists": True, "state": '{"value":1}', "sorter": {}},
        {
            "exists": True,
            "state": "1",
            "queue": queue,
            "lockedBy": "victims-parent",
            "granted": {"4": 0},
            "sorter": sorter,
        },
    ]
