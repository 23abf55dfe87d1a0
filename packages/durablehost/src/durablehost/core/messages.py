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
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import is_entity_id
from durablehost.core.ticks import EARLIEST_TIME


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """One event addressed to one instance.

    `target.execution_id` is None for events of clients, which are for whichever execution is current. `sender` is None
    for clients. `episode` counts the sender's episodes; results of activities copy it from their request.
    `request_time` identifies a request for an activity: it is the time of the event that records the request. The
    result copies it; it is None in both if a real host has sent the request or the result.
    """

    event: HistoryEvent
    target: OrchestrationInstance
    sender: OrchestrationInstance | None = None
    episode: int | None = None
    request_time: datetime | None = None

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


def answers(message: TaskMessage, request: HistoryEvent) -> bool:
    """Whether a result is that of the task which this event of the history records under its task id.

    The same id may have been given to other work by an episode that was lost in a crash after it had sent its requests.
    """
    event = message.event
    if isinstance(event, TimerFired):
        return isinstance(request, TimerCreated) and _stored(event.fire_at) == _stored(request.fire_at)
    if isinstance(event, (TaskCompleted, TaskFailed)):
        return isinstance(request, TaskScheduled) and message.request_time in (None, request.timestamp)
    return isinstance(request, SubOrchestrationInstanceCreated)


def _stored(at: datetime) -> datetime:
    """The time as a history that was stored has it."""
    return max(at, EARLIEST_TIME)
