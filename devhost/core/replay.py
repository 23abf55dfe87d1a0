"""Numbers the work of an orchestrator as the SDK numbers it, by walking through its history event by event.

The SDK counts tasks from 0 in the order in which they become scheduled. Its list of actions does not show the work that
it schedules by itself: for every failure of work with retries a timer, and when that fires, the work again. It takes
those numbers at the moment it processes the event, before user code goes on. A numbering taken from the list alone is
therefore wrong as soon as retries run beside anything else; the history tells which numbers were taken when.

Mirrors what TaskOrchestrationContext and RetryInterceptor of DurableTask.Core do while they replay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Union

from devhost.core.actions import (
    HTTP_ACTIVITY,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    CreateTimer,
    RetryOptions,
    SignalEntity,
    Work,
)
from devhost.core.history import (
    EventSent,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from devhost.core.messages import answered_task_id
from devhost.errors import NonDeterminismError

Recorded = Union[TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent]  # noqa: UP007


@dataclass(frozen=True, kw_only=True)
class Task:
    """Work that has, or is about to get, a task id.

    `attempt` counts from 1. `retry_of` is set on the timer that waits before an attempt is repeated, or before its last
    failure is reported, and holds the work it waits for.
    """

    action: Work
    attempt: int = 1
    retry_of: Task | None = None

    @property
    def retry(self) -> RetryOptions | None:
        return self.action.retry if isinstance(self.action, (CallActivity, CallSubOrchestrator)) else None


class Replay:
    """One walk through a history, against the work that the orchestrator's latest run listed.

    `open` maps the ids of scheduled and unanswered tasks to what they are; requests to entities are not among them,
    because no execution waits for their answers to end.
    """

    def __init__(self, work: Sequence[Work]) -> None:
        self.open: dict[int, Task] = {}
        self.next_id = 0
        self._requested_again: dict[int, Task] = {}
        self._unnumbered = deque(work)
        self._called_for: deque[Task] = deque()

    def follow(self, events: Sequence[HistoryEvent]) -> None:
        """Walks on through recorded events.

        Raises:
            NonDeterminismError: the history records other work than the orchestrator now lists at that place.
        """
        for event in events:
            if isinstance(event, (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent)):
                self._meet(event)
            elif isinstance(event, GenericEvent):
                self._pass_gap(event)
            else:
                self._answer(event)

    def retries_first(self, events: Sequence[HistoryEvent]) -> tuple[HistoryEvent, ...]:
        """The order in which arrived events can be numbered: those first that make the SDK schedule work by itself.

        None of them resumes user code, so their numbers then come before all that user code schedules in this episode.
        """
        return tuple(sorted(events, key=lambda event: self._repeats(event) is None))

    def number_new_work(self) -> Iterator[tuple[int, Task]]:
        """Gives ids to the work that no event records yet, in the order in which the SDK numbers it.

        What a rewind has undone keeps the id it had.
        """
        for task_id in sorted(self._requested_again):
            yield self._open(task_id, self._requested_again.pop(task_id))
        while self._called_for:
            yield self._number(self._called_for.popleft())
        while self._unnumbered:
            yield self._number(Task(action=self._unnumbered.popleft()))

    def _pass_gap(self, event: GenericEvent) -> None:
        """Where a rewind has undone the record of a task the SDK still takes its number, at this point."""
        waiting = self._called_for or self._unnumbered
        if event.event_id != self.next_id or not waiting:
            return
        task = self._called_for.popleft() if self._called_for else Task(action=self._unnumbered.popleft())
        self._requested_again[self.next_id] = task
        self.next_id += 1

    def _meet(self, event: Recorded) -> None:
        requested = self._requested_again.get(event.event_id)
        if requested is not None and _records(event, requested):
            self._open(event.event_id, self._requested_again.pop(event.event_id))
            return
        if self._called_for and _records(event, self._called_for[0]):
            task = self._called_for.popleft()
        elif self._unnumbered and _records(event, Task(action=self._unnumbered[0])):
            task = Task(action=self._unnumbered.popleft())
        else:
            raise NonDeterminismError(_mismatch(event, self._unnumbered[0] if self._unnumbered else None))
        self.next_id = event.event_id
        self._number(task)

    def _number(self, task: Task) -> tuple[int, Task]:
        task_id = self.next_id
        self.next_id += 1
        return self._open(task_id, task)

    def _open(self, task_id: int, task: Task) -> tuple[int, Task]:
        is_canceled = isinstance(task.action, CreateTimer) and task.action.is_canceled
        if not is_canceled and not isinstance(task.action, (CallEntity, SignalEntity)):
            self.open[task_id] = task
        return task_id, task

    def _answer(self, event: HistoryEvent) -> None:
        repeated = self._repeats(event)
        task_id = answered_task_id(event)
        if task_id is not None:
            self.open.pop(task_id, None)
        if repeated is not None:
            self._called_for.append(repeated)

    def _repeats(self, event: HistoryEvent) -> Task | None:
        """The work that the SDK schedules by itself when it meets this event."""
        task_id = answered_task_id(event)
        task = None if task_id is None else self.open.get(task_id)
        if task is None:
            return None
        if isinstance(event, (TaskFailed, SubOrchestrationInstanceFailed)) and task.retry is not None:
            return Task(action=task.action, attempt=task.attempt, retry_of=task)
        if isinstance(event, TimerFired) and task.retry_of is not None:
            assert task.retry is not None
            if task.attempt < task.retry.max_attempts:
                return replace(task.retry_of, attempt=task.attempt + 1)
        return None


def _records(event: HistoryEvent, task: Task) -> bool:
    action = task.action
    if task.retry_of is not None or isinstance(action, CreateTimer):
        return isinstance(event, TimerCreated)
    if isinstance(action, CallSubOrchestrator):
        return isinstance(event, SubOrchestrationInstanceCreated) and event.name.lower() == action.name.lower()
    if isinstance(action, (CallEntity, SignalEntity)):
        return isinstance(event, EventSent) and event.instance_id == action.instance_id
    return isinstance(event, TaskScheduled) and event.name.lower() == activity_name(action).lower()


def activity_name(action: CallActivity | CallHttp) -> str:
    """The activity that does this work; HTTP calls are done by one that every host has."""
    return HTTP_ACTIVITY if isinstance(action, CallHttp) else action.name


def _mismatch(event: Recorded, action: Work | None) -> str:
    return (
        f"Non-Deterministic workflow detected: the history has {_recorded(event)} as task {event.event_id}, but the "
        f"orchestrator now asks for {_describe(action)} there. Was its code changed while the instance was running?"
    )


def _recorded(event: Recorded) -> str:
    if isinstance(event, TimerCreated):
        return "a timer"
    name = event.instance_id if isinstance(event, EventSent) else event.name
    return f"{event.type_name} of '{name}'"


def _describe(action: Work | None) -> str:
    if action is None:
        return "nothing more"
    if isinstance(action, CreateTimer):
        return "a timer"
    if isinstance(action, CallSubOrchestrator):
        return f"the sub-orchestration '{action.name}'"
    if isinstance(action, (CallEntity, SignalEntity)):
        return f"the operation '{action.operation}' of the entity '{action.instance_id}'"
    return f"the activity '{activity_name(action)}'"
