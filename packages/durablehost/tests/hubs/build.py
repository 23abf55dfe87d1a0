"""Builders of messages, episodes and checkpoints for tests."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timezone

from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    TaskCompleted,
    TaskScheduled,
    TimerFired,
)
from durablehost.core.lineage import derived_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceQuery, OrchestrationWorkItem

AT = datetime(2026, 1, 5, 10, 0, 0, 120000, tzinfo=timezone.utc)


def now() -> datetime:
    return datetime.now(timezone.utc)


def new_execution_id() -> str:
    return uuid.uuid4().hex


def start(
    instance_id: str,
    *,
    execution_id: str | None = None,
    name: str = "ProcessOrder",
    input_text: str | None = None,
    generation: int | None = None,
    at: datetime | None = None,
    scheduled_at: datetime | None = None,
) -> TaskMessage:
    target = OrchestrationInstance(instance_id=instance_id, execution_id=execution_id or new_execution_id())
    event = ExecutionStarted(
        timestamp=at or now(),
        orchestration_instance=target,
        name=name,
        input=input_text,
        generation=generation,
        scheduled_start_time=scheduled_at,
    )
    return TaskMessage(event=event, target=target)


def child_start(
    instance_id: str, parent_id: str, parent_execution_id: str, task_id: int, *, name: str = "ProcessOrder"
) -> TaskMessage:
    """The start of a child as its parent sends it: its execution id is derived from the parent's and the task id."""
    parent = OrchestrationInstance(instance_id=parent_id, execution_id=parent_execution_id)
    message = start(instance_id, execution_id=derived_execution_id(parent_execution_id, str(task_id)), name=name)
    assert isinstance(message.event, ExecutionStarted)
    event = replace(
        message.event,
        parent_instance=ParentInstance(name="Parent", orchestration_instance=parent, task_schedule_id=task_id),
    )
    return replace(message, event=event, sender=parent)


def event_raised(instance_id: str, name: str, *, input_text: str | None = None) -> TaskMessage:
    return TaskMessage(
        event=EventRaised(timestamp=now(), name=name, input=input_text),
        target=OrchestrationInstance(instance_id=instance_id, execution_id=None),
    )


def task_scheduled(item: OrchestrationWorkItem, task_id: int, *, input_text: str | None = None) -> TaskMessage:
    target = target_of(item)
    return TaskMessage(
        event=TaskScheduled(timestamp=now(), event_id=task_id, name="ReserveStock", input=input_text),
        target=target,
        sender=target,
        episode=1,
    )


def task_completed(instance_id: str, execution_id: str | None, task_id: int, result: str | None = None) -> TaskMessage:
    target = OrchestrationInstance(instance_id=instance_id, execution_id=execution_id)
    return TaskMessage(
        event=TaskCompleted(timestamp=now(), task_scheduled_id=task_id, result=result), target=target, sender=target
    )


def timer_fired(item: OrchestrationWorkItem, timer_id: int, fire_at: datetime) -> TaskMessage:
    target = target_of(item)
    return TaskMessage(
        event=TimerFired(timestamp=now(), timer_id=timer_id, fire_at=fire_at), target=target, sender=target
    )


def target_of(item: OrchestrationWorkItem) -> OrchestrationInstance:
    return OrchestrationInstance(instance_id=item.instance_id, execution_id=item.execution_id)


def episode(item: OrchestrationWorkItem, *more: HistoryEvent) -> tuple[HistoryEvent, ...]:
    """The new events of an episode that records all messages of the item."""
    return (
        OrchestratorStarted(timestamp=now()),
        *(received.message.event for received in item.messages),
        *more,
        OrchestratorCompleted(timestamp=now()),
    )


def checkpoint(
    item: OrchestrationWorkItem,
    *more: HistoryEvent,
    outbox: tuple[TaskMessage, ...] = (),
    custom_status: str | None = None,
    output: str | None = None,
    runtime_status: RuntimeStatus | None = None,
) -> Checkpoint:
    """A checkpoint that records all messages of the item; an output or a terminal status ends the execution."""
    events = [received.message.event for received in item.messages]
    started = next((event for event in events if isinstance(event, ExecutionStarted)), None)
    if output is not None:
        runtime_status = runtime_status or RuntimeStatus.COMPLETED
    if runtime_status and runtime_status.is_finished:
        more = (*more, ExecutionCompleted(timestamp=now(), orchestration_status=runtime_status, result=output))
    return Checkpoint(
        new_events=episode(item, *more),
        outbox=outbox,
        update=InstanceUpdate(
            execution_id=item.execution_id or "",
            last_updated_at=now(),
            custom_status=custom_status,
            started=started,
            runtime_status=runtime_status,
            output=output,
            completed_at=now() if runtime_status and runtime_status.is_finished else None,
        ),
    )


EVERYTHING = InstanceQuery()
