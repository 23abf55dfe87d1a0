"""Task messages: history events on their way to an instance.

Mirrors DurableTask.Core.TaskMessage, with the fields of DurableTask.AzureStorage.MessageData that name the sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durablehost.core.entity_messages import scheduled_time
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from durablehost.core.ids import is_entity_id


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """One event addressed to one instance.

    `target.execution_id` is None for events of clients, which are for whichever execution is current. `sender` is None
    for clients. `episode` counts the sender's episodes; results of activities copy it from their request.
    """

    event: HistoryEvent
    target: OrchestrationInstance
    sender: OrchestrationInstance | None = None
    episode: int | None = None

    @property
    def is_activity_request(self) -> bool:
        """True for messages to the work-item queue; all others go to a control queue."""
        return isinstance(self.event, TaskScheduled)

    @property
    def due_at(self) -> datetime | None:
        """The earliest time of delivery; None: at once.

        Durable timers, and signals to entities that are not due yet, are stored as delayed messages.
        """
        if isinstance(self.event, TimerFired):
            return self.event.fire_at
        if isinstance(self.event, ExecutionStarted):
            return self.event.scheduled_start_time
        if isinstance(self.event, EventRaised) and is_entity_id(self.target.instance_id):
            return scheduled_time(self.event.name)
        return None

    @property
    def is_from_entity(self) -> bool:
        return self.sender is not None and is_entity_id(self.sender.instance_id)


def completed_task_id(event: HistoryEvent) -> int | None:
    """The task id that this event completes, or None if it completes none."""
    if isinstance(
        event, (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
    ):
        return event.task_scheduled_id
    if isinstance(event, TimerFired):
        return event.timer_id
    return None
