"""Numbers the work of an orchestrator as the SDK numbers it, by walking through its history event by event.

The SDK counts tasks from 0 in the order in which it schedules them. Its list of actions omits the tasks of retries: a
timer for each failure and, when that fires, the work again. The SDK numbers these while it processes the event, before
user code resumes, so numbering the list alone is wrong as soon as retries run beside anything else. The history shows
when each number was assigned.

Mirrors what TaskOrchestrationContext and RetryInterceptor of DurableTask.Core do while they replay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Union

from durablehost.core.actions import (
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
from durablehost.core.history import (
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
from durablehost.core.messages import completed_task_id
from durablehost.errors import NonDeterminismError

Recorded = Union[TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent]  # noqa: UP007


@dataclass(frozen=True, kw_only=True)
class Task:
    """Work that has, or is about to get, a task id.

    `attempt` counts from 1. `retry_of` is set on the timer that waits before an attempt is repeated, or before its last
    failure is reported; it is the work that the timer delays, and `failed_id` the id of the attempt that has failed.
    """

    action: Work
    attempt: int = 1
    retry_of: Task | None = None
    failed_id: int | None = None

    @property
    def retry(self) -> RetryOptions | None:
        return self.action.retry if isinstance(self.action, (CallActivity, CallSubOrchestrator)) else None


@dataclass(frozen=True, kw_only=True)
class RetryState:
    """The attempt of an open task that retry options repeat, counted from 1, and how many there are at the most.

    For the timer before an attempt, it is the attempt that has failed, and `failed_id` is its id.
    """

    attempt: int
    most: float
    failed_id: int | None = None


class Replay:
    """One walk through a history, compared with the work that the orchestrator's latest run listed.

    `open` maps the ids of tasks that are scheduled and have no result yet to the tasks. Calls of entities are not among
    them, because an execution can end without their results.
    """

    def __init__(self, work: Sequence[Work]) -> None:
        self.open: dict[int, Task] = {}
        self.next_id = 0
        self._rescheduled: dict[int, Task] = {}
        self._unnumbered = deque(work)
        self._retries: deque[Task] = deque()

    def follow(self, events: Sequence[HistoryEvent]) -> None:
        """Follows recorded events.

        Raises:
            NonDeterminismError: the history records other work than the orchestrator now lists at that place.
        """
        for event in events:
            if isinstance(event, (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent)):
                self._match(event)
            elif isinstance(event, GenericEvent):
                self._pass_gap(event)
            else:
                self._complete(event)

    def retries_first(self, events: Sequence[HistoryEvent]) -> tuple[HistoryEvent, ...]:
        """Orders arrived events so that new work can be numbered: those that make the SDK schedule a retry come first.

        They do not resume user code, so their numbers come before those of all that user code schedules in this
        episode.
        """
        return tuple(sorted(events, key=lambda event: self._retry_after(event) is None))

    def retries(self) -> dict[int, RetryState]:
        """The open tasks whose retry options have repeated them, and the timers before further attempts, by id."""
        return {
            task_id: RetryState(attempt=task.attempt, most=task.retry.max_attempts, failed_id=task.failed_id)
            for task_id, task in self.open.items()
            if task.retry is not None and (task.attempt > 1 or task.retry_of is not None)
        }

    def number_new_work(self) -> Iterator[tuple[int, Task]]:
        """Assigns ids to the work that no event records yet, in the order in which the SDK numbers it.

        Work that a rewind has undone keeps its id.
        """
        for task_id in sorted(self._rescheduled):
            yield self._open(task_id, self._rescheduled.pop(task_id))
        while self._retries:
            yield self._number(self._retries.popleft())
        while self._unnumbered:
            yield self._number(Task(action=self._unnumbered.popleft()))

    def _pass_gap(self, event: GenericEvent) -> None:
        """Consumes the id of a task whose record a rewind has undone, because the SDK still counts it."""
        waiting = self._retries or self._unnumbered
        if event.event_id != self.next_id or not waiting:
            return
        task = self._retries.popleft() if self._retries else Task(action=self._unnumbered.popleft())
        self._rescheduled[self.next_id] = task
        self.next_id += 1

    def _match(self, event: Recorded) -> None:
        requested = self._rescheduled.get(event.event_id)
        if requested is not None and _records(event, requested):
            self._open(event.event_id, self._rescheduled.pop(event.event_id))
            return
        if self._retries and _records(event, self._retries[0]):
            task = self._retries.popleft()
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

    def _complete(self, event: HistoryEvent) -> None:
        retry = self._retry_after(event)
        task_id = completed_task_id(event)
        if task_id is not None:
            self.open.pop(task_id, None)
        if retry is not None:
            self._retries.append(retry)

    def _retry_after(self, event: HistoryEvent) -> Task | None:
        """The retry, or the timer before it, that the SDK schedules when it processes this event."""
        task_id = completed_task_id(event)
        task = None if task_id is None else self.open.get(task_id)
        if task is None:
            return None
        if isinstance(event, (TaskFailed, SubOrchestrationInstanceFailed)) and task.retry is not None:
            return Task(action=task.action, attempt=task.attempt, retry_of=task, failed_id=task_id)
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
    """The name of the activity for this work; HTTP calls have a built-in one."""
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
