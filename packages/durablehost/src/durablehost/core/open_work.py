"""The work that an execution has requested and not got yet, as its history alone shows it.

A history does not record waits for external events, cancelled timers and retry options. So attempts are paired by their
order: a failure sets a timer, which fires and requests the same work with the same input again, as far as inputs are
known. An orchestrator that catches an error, waits and repeats a call itself looks the same, and is counted in the same
way. The host that ran the orchestrator last knows the attempts of tasks with retry options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from durablehost.core.entity_messages import EntityRequest, sent_request
from durablehost.core.history import (
    EventRaised,
    EventSent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.messages import completed_task_id
from durablehost.core.replay import RetryState
from durablehost.core.state import episodes_of

Work = Union[TaskScheduled, SubOrchestrationInstanceCreated]  # noqa: UP007
_WORK = (TaskScheduled, SubOrchestrationInstanceCreated)
_Failure = Union[TaskFailed, SubOrchestrationInstanceFailed]  # noqa: UP007
_FAILURE = (TaskFailed, SubOrchestrationInstanceFailed)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One open attempt at an activity or a sub-orchestration; `number` counts from 1, to `most` if that is known."""

    work: Work
    number: int
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pause:
    """The timer after a failed attempt: another attempt follows it, if one is left. `failures` counts from 1.

    `most` is the number of attempts, if that is known.
    """

    work: Work
    failures: int
    error: str | None
    timer: TimerCreated
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class OpenWork:
    """The open work of one execution, in the order of its requests.

    `activity_count` and `child_count` count all work that was ever requested, with all its attempts as one. `timers`
    are those that have not fired and are no `pauses`; some may be cancelled. `requests` are calls of entities and locks
    without a response, with the instance id of the entity that was asked first.
    """

    attempts: tuple[Attempt, ...]
    pauses: tuple[Pause, ...]
    timers: tuple[TimerCreated, ...]
    requests: tuple[tuple[EventSent, EntityRequest], ...]
    activity_count: int
    child_count: int

    @property
    def is_empty(self) -> bool:
        return self.has_timers_at_most and not self.timers

    @property
    def has_timers_at_most(self) -> bool:
        """True if nothing is open but timers, all of which may be cancelled."""
        return not (self.attempts or self.pauses or self.requests)


def open_work(history: Sequence[HistoryEvent], retries: Mapping[int, RetryState] | None = None) -> OpenWork:
    """The open work of the execution that this history is of; `retries`: the tasks that retry options repeat."""
    scheduled = {event.event_id: event for event in history if isinstance(event, _WORK)}
    timers = {event.event_id: event for event in history if isinstance(event, TimerCreated)}
    completed = {task_id for task_id in map(completed_task_id, history) if task_id is not None}
    numbers, pauses = _attempts(history, scheduled)
    known = retries or {}
    numbers.update({task_id: state.attempt for task_id, state in known.items() if task_id in scheduled})
    pauses.update(_known_pauses(history, scheduled, timers, known))
    open_pauses = {timer_id: pause for timer_id, pause in pauses.items() if timer_id not in completed}
    first = [work for task_id, work in scheduled.items() if numbers[task_id] == 1]
    return OpenWork(
        attempts=tuple(
            Attempt(work=work, number=numbers[task_id], most=known[task_id].most if task_id in known else None)
            for task_id, work in scheduled.items()
            if task_id not in completed
        ),
        pauses=tuple(open_pauses.values()),
        timers=tuple(
            timer for task_id, timer in timers.items() if task_id not in completed and task_id not in open_pauses
        ),
        requests=tuple(_open_requests(history)),
        activity_count=sum(isinstance(work, TaskScheduled) for work in first),
        child_count=sum(isinstance(work, SubOrchestrationInstanceCreated) for work in first),
    )


def _attempts(
    history: Sequence[HistoryEvent], scheduled: Mapping[int, Work]
) -> tuple[dict[int, int], dict[int, Pause]]:
    """The number of the attempt that each task id stands for, and the pauses by the ids of their timers."""
    numbers = dict.fromkeys(scheduled, 1)
    pauses: dict[int, Pause] = {}
    for episode in episodes_of(history):
        requested = [event for event in episode if isinstance(event, _WORK)]
        for fired in (event for event in episode if isinstance(event, TimerFired)):
            pause = pauses.get(fired.timer_id)
            again = _next_attempt(requested, pause.work) if pause else None
            if pause is not None and again is not None:
                requested.remove(again)
                numbers[again.event_id] = pause.failures + 1
        failures = [event for event in episode if isinstance(event, _FAILURE) and event.task_scheduled_id in scheduled]
        timers = [event for event in episode if isinstance(event, TimerCreated)]
        if len(timers) < len(failures):
            # Some of the failed work is not tried again, and nothing shows which.
            continue
        # The timers of retries come first in an episode, in the order of the failures.
        for failure, timer in zip(failures, timers, strict=False):
            # The timer after the last attempt is due at once.
            if timer.fire_at > timer.timestamp:
                pauses[timer.event_id] = _pause(failure, timer, scheduled, numbers)
    return numbers, pauses


def _pause(failure: _Failure, timer: TimerCreated, scheduled: Mapping[int, Work], numbers: Mapping[int, int]) -> Pause:
    task_id = failure.task_scheduled_id
    return Pause(work=scheduled[task_id], failures=numbers[task_id], error=failure.reason, timer=timer)


def _known_pauses(
    history: Sequence[HistoryEvent],
    scheduled: Mapping[int, Work],
    timers: Mapping[int, TimerCreated],
    retries: Mapping[int, RetryState],
) -> Iterator[tuple[int, Pause]]:
    """The pauses before attempts that the retry options still allow, by the ids of their timers."""
    errors = {event.task_scheduled_id: event.reason for event in history if isinstance(event, _FAILURE)}
    for timer_id, state in retries.items():
        work = scheduled.get(state.failed_id) if state.failed_id is not None else None
        if work is not None and timer_id in timers and state.attempt < state.most:
            error, timer = errors.get(work.event_id), timers[timer_id]
            yield timer_id, Pause(work=work, failures=state.attempt, error=error, timer=timer, most=state.most)


def _next_attempt(requested: Sequence[Work], failed: Work) -> Work | None:
    """The request that repeats failed work: one with the same input, else one whose input may be the same."""
    same = [each for each in requested if type(each) is type(failed) and each.name.lower() == failed.name.lower()]
    equal = (each for each in same if each.input == failed.input)
    unknown = (each for each in same if each.input is None or failed.input is None)
    return next(equal, None) or next(unknown, None)


def _open_requests(history: Sequence[HistoryEvent]) -> Iterator[tuple[EventSent, EntityRequest]]:
    raised = {event.name for event in history if isinstance(event, EventRaised)}
    for event in history:
        request = sent_request(event.input) if isinstance(event, EventSent) else None
        if isinstance(event, EventSent) and request and not request.is_signal and request.id not in raised:
            yield event, request
