"""Values that the tests of the core share."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from durablehost.core.actions import CallActivity, OrchestratorResult, RetryOptions
from durablehost.core.history import (
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from durablehost.core.messages import TaskMessage

AT = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)
LATER = AT + timedelta(seconds=5)
ME = OrchestrationInstance(instance_id="me", execution_id="e1")
PARENT = ParentInstance(
    name="Parent",
    orchestration_instance=OrchestrationInstance(instance_id="parent", execution_id="p1"),
    task_schedule_id=7,
    version="",
)
RETRY = RetryOptions(first_interval_seconds=5, max_attempts=3)


def started(**members: object) -> ExecutionStarted:
    return ExecutionStarted(**{"timestamp": AT, "orchestration_instance": ME, "name": "Orch", **members})  # type: ignore[arg-type]


def scheduled(task_id: int, name: str = "A") -> TaskScheduled:
    return TaskScheduled(timestamp=AT, event_id=task_id, name=name)


def completed(task_id: int, result: str | None = "1") -> TaskCompleted:
    return TaskCompleted(timestamp=LATER, task_scheduled_id=task_id, result=result)


def failure(task_id: int) -> TaskFailed:
    return TaskFailed(timestamp=LATER, task_scheduled_id=task_id, reason="r", details="d")


def first_episode(*work: HistoryEvent, start: ExecutionStarted | None = None) -> tuple[HistoryEvent, ...]:
    return (OrchestratorStarted(timestamp=AT), start or started(), *work, OrchestratorCompleted(timestamp=AT))


def to_me(event: HistoryEvent, execution_id: str | None = "e1") -> TaskMessage:
    return TaskMessage(event=event, target=OrchestrationInstance(instance_id="me", execution_id=execution_id))


def waits(*names: str, retry: RetryOptions | None = None) -> OrchestratorResult:
    return OrchestratorResult(
        is_done=False, actions=tuple(CallActivity(name=name, input="1", retry=retry) for name in names)
    )
