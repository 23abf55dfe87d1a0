"""What a history says about its execution, folded event by event, and which arriving messages it still wants.

Mirrors OrchestrationRuntimeState and the admission rules of AzureStorageOrchestrationService: duplicates are dropped by
task id and execution id, replies that come before their request is in the history wait, and a finished execution takes
nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from devhost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from devhost.core.messages import TaskMessage, answered_task_id
from devhost.core.status import RuntimeStatus

# Delivered so often, with delays of 2, 4, 8 ... 600 seconds, a reply to nothing has waited for over half an hour:
# longer than any request can still be on its way into the history.
MAX_EARLY_DELIVERIES = 12
MAX_DELIVERIES_TO_NOTHING = 5

_Event = TypeVar("_Event", bound=HistoryEvent)


@dataclass(frozen=True, kw_only=True)
class OrchestrationState:
    """The fold of a history. `status` is Pending while nothing has started."""

    started: ExecutionStarted | None
    status: RuntimeStatus
    scheduled_ids: frozenset[int]
    answered_ids: frozenset[int]
    is_episode_open: bool

    @property
    def execution_id(self) -> str | None:
        return self.started.orchestration_instance.execution_id if self.started else None


def fold(history: Sequence[HistoryEvent]) -> OrchestrationState:
    """Walks through a history once. An episode is open when its end is missing: a crash cut the write of its rows."""
    completed = _last(history, ExecutionCompleted)
    started = _last(history, ExecutionStarted)
    if completed is not None:
        status = completed.orchestration_status
    else:
        status = RuntimeStatus.PENDING if started is None else RuntimeStatus.RUNNING
    return OrchestrationState(
        started=started,
        status=status,
        scheduled_ids=frozenset(e.event_id for e in history if _schedules(e)),
        answered_ids=frozenset(i for i in map(answered_task_id, history) if i is not None),
        is_episode_open=status is RuntimeStatus.RUNNING and not isinstance(history[-1], OrchestratorCompleted),
    )


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What becomes of arriving messages: delivered, or put off (by position); the rest is dropped."""

    delivered: tuple[HistoryEvent, ...] = ()
    deferred: tuple[int, ...] = ()

    @property
    def termination(self) -> ExecutionTerminated | None:
        return next((event for event in self.delivered if isinstance(event, ExecutionTerminated)), None)


def admit(state: OrchestrationState, messages: Iterable[tuple[TaskMessage, int]]) -> Admission:
    """Sorts messages, each with its number of deliveries, by what the execution still wants of them.

    The start comes first whatever its position: a queue does not promise an order.
    """
    arrived = list(messages)
    start = state.started or next((m.event for m, _ in arrived if isinstance(m.event, ExecutionStarted)), None)
    if state.status.is_terminal:
        return Admission()
    if start is None:
        return _admit_to_nothing(arrived)
    execution_id = start.orchestration_instance.execution_id
    answered = set(state.answered_ids)
    delivered: list[HistoryEvent] = [] if state.started else [start]
    deferred: list[int] = []
    for position, (message, dequeue_count) in enumerate(arrived):
        event = message.event
        if isinstance(event, ExecutionStarted) or message.target.execution_id not in (None, execution_id):
            continue
        task_id = answered_task_id(event)
        if task_id is not None:
            if task_id in answered:
                continue
            if task_id not in state.scheduled_ids:
                if dequeue_count < MAX_EARLY_DELIVERIES:
                    deferred.append(position)
                continue
            answered.add(task_id)
        delivered.append(event)
    return Admission(delivered=tuple(delivered), deferred=tuple(deferred))


def _admit_to_nothing(arrived: Sequence[tuple[TaskMessage, int]]) -> Admission:
    """No start is known, but a reply may be ahead of the checkpoint that records its request."""
    return Admission(
        deferred=tuple(
            position
            for position, (message, dequeue_count) in enumerate(arrived)
            if answered_task_id(message.event) is not None and dequeue_count <= MAX_DELIVERIES_TO_NOTHING
        )
    )


def _schedules(event: HistoryEvent) -> bool:
    return isinstance(event, (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated))


def _last(history: Sequence[HistoryEvent], event_type: type[_Event]) -> _Event | None:
    return next((event for event in reversed(history) if isinstance(event, event_type)), None)
