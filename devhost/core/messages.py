"""Task messages: history events on their way to an instance.

Mirrors DurableTask.Core.TaskMessage, with the fields of DurableTask.AzureStorage.MessageData that tell who sent it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devhost.core.entity_messages import scheduled_time
from devhost.core.history import (
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
from devhost.core.ids import is_entity_id


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """One event addressed to one instance.

    `target.execution_id` is None where any current execution may take it (events that clients send). `sender` is None
    for clients. `episode` counts the sender's episodes; replies of activities copy it from their request.
    """

    event: HistoryEvent
    target: OrchestrationInstance
    sender: OrchestrationInstance | None = None
    episode: int | None = None

    @property
    def is_activity_request(self) -> bool:
        """True for what goes to the work-item queue; everything else goes to a control queue."""
        return isinstance(self.event, TaskScheduled)

    @property
    def due_at(self) -> datetime | None:
        """When the message may be delivered at the earliest; None: at once.

        A delayed message is how a durable timer is stored, and a signal to an entity that is sent ahead of its time.
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


def answered_task_id(event: HistoryEvent) -> int | None:
    """The task id that this event completes, or None where it completes none."""
    if isinstance(
        event, (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
    ):
        return event.task_scheduled_id
    if isinstance(event, TimerFired):
        return event.timer_id
    return None
