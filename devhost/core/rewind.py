"""What becomes of a failed history when its instance is rewound: which rows a replay no longer sees.

The rule of this file: what a replay still sees is a true beginning of the history, up to the first failure that is to
be undone, and behind it nothing but results of work scheduled before. Whatever the orchestrator decided after that
failure it decides again, so no number is ever given twice and no result meets work it was not made for.

Differs from AzureTableTrackingStore.RewindHistoryAsync, which undoes failures only and leaves what followed from them:
there the timers of retries stay behind and answer other tasks. For work without retries both come to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

from devhost.core.history import (
    UNNUMBERED,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    GenericEvent,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from devhost.core.messages import answered_task_id

_Failure = (TaskFailed, SubOrchestrationInstanceFailed)
_Success = (TaskCompleted, SubOrchestrationInstanceCompleted)
_Work = (TaskScheduled, SubOrchestrationInstanceCreated)
_Request = Union[TaskScheduled, SubOrchestrationInstanceCreated]  # noqa: UP007


@dataclass(frozen=True, kw_only=True)
class AwaitedChild:
    """A sub-orchestration without an answer; `index` is that of the event that records it."""

    index: int
    instance_id: str
    task_id: int


@dataclass(frozen=True, kw_only=True)
class RewindPlan:
    """The events that take the place of others, by index, and the children that are then waited for.

    `problem` says why the instance cannot be rewound; then nothing is to be changed.
    """

    replaced: Mapping[int, GenericEvent] = field(default_factory=dict)
    children: tuple[AwaitedChild, ...] = ()
    problem: str | None = None

    def starting_anew(self, child: AwaitedChild, created: HistoryEvent) -> RewindPlan:
        """The plan where this child has nothing to be rewound: it is started again under its task id."""
        return replace(
            self,
            replaced={**self.replaced, child.index: _undone(created, child.task_id)},
            children=tuple(each for each in self.children if each != child),
        )


def plan_rewind(history: Sequence[HistoryEvent]) -> RewindPlan:
    """How a history that has ended in failure is rewound. Applied in part and planned again, it stays sound."""
    cut = _first_undone(history)
    if problem := _problem(history, cut):
        return RewindPlan(problem=problem)
    before = frozenset(e.event_id for e in history[:cut] if isinstance(e, (*_Work, TimerCreated)))
    stays = {index for index, event in enumerate(history) if _answer_stays(event, index < cut, before)}
    answered = frozenset(answered_task_id(history[index]) for index in stays)
    replaced = {}
    for index, event in enumerate(history):
        number = _number_left(event, index < cut, answered)
        if number is not None or (answered_task_id(event) is not None and index not in stays):
            replaced[index] = _undone(event, UNNUMBERED if number is None else number)
    children = tuple(child for child in awaited_children(history[:cut], answered) if child.index not in replaced)
    return RewindPlan(replaced=replaced, children=children)


def awaited_children(
    history: Sequence[HistoryEvent], answered: frozenset[int | None] | None = None
) -> tuple[AwaitedChild, ...]:
    """The children that a history waits for, by its own answers or by those given."""
    known = frozenset(map(answered_task_id, history)) if answered is None else answered
    return tuple(
        AwaitedChild(index=index, instance_id=event.instance_id, task_id=event.event_id)
        for index, event in enumerate(history)
        if isinstance(event, SubOrchestrationInstanceCreated) and event.event_id not in known
    )


def rewound_count(history: Sequence[HistoryEvent]) -> int:
    """How many events rewinds have undone so far; it tells one request for a task id from a later one for the same."""
    return sum(isinstance(event, GenericEvent) and event.data is None for event in history)


def _answer_stays(event: HistoryEvent, is_before: bool, scheduled_before: frozenset[int]) -> bool:
    """Failures and timers behind the cut make the SDK schedule work by itself; they come again in an episode."""
    task_id = answered_task_id(event)
    return task_id in scheduled_before and (is_before or isinstance(event, _Success))


def _number_left(event: HistoryEvent, is_before: bool, answered: frozenset[int | None]) -> int | None:
    """The event id of what takes the place of this event, or None where it stays.

    Before the cut the SDK still takes the number of what has to be scheduled again; behind it, it has not been taken.
    """
    if isinstance(event, ExecutionCompleted):
        return UNNUMBERED
    if isinstance(event, GenericEvent):
        return UNNUMBERED if not is_before and event.event_id != UNNUMBERED else None
    if not isinstance(event, (*_Work, TimerCreated, EventSent)):
        return None
    if not is_before:
        return UNNUMBERED
    if isinstance(event, EventSent):
        # A request to an entity is not sent twice: its effect may be there already.
        return None
    is_open = event.event_id not in answered and not isinstance(event, SubOrchestrationInstanceCreated)
    return event.event_id if is_open else None


def _undone(event: HistoryEvent, event_id: int) -> GenericEvent:
    return GenericEvent(timestamp=event.timestamp, event_id=event_id, is_played=event.is_played)


def _problem(history: Sequence[HistoryEvent], cut: int) -> str | None:
    """The SDK hands an external event that comes before its wait to every later wait of that name."""
    raised = [event.name.lower() for event in history if isinstance(event, EventRaised)]
    for event in history[cut:]:
        if isinstance(event, EventRaised) and raised.count(event.name.lower()) > 1:
            return (
                f"several external events named '{event.name}' were raised, one of them after the first failure: "
                "run again, the orchestrator could not tell them apart. Use restart instead."
            )
    return None


def _first_undone(history: Sequence[HistoryEvent]) -> int:
    """The index of the first failure to undo; where nothing has failed but the orchestrator itself, its end.

    Undone is the first attempt of what failed for good. What a later attempt has made good stays, unless there is
    nothing else that could have been the cause.
    """
    scheduled = {event.event_id: index for index, event in enumerate(history) if isinstance(event, _Work)}
    failures = [
        index
        for index, event in enumerate(history)
        if isinstance(event, _Failure) and event.task_scheduled_id in scheduled
    ]
    end = next((index for index, event in enumerate(history) if isinstance(event, ExecutionCompleted)), len(history))
    if not failures:
        return end
    next_attempt = _next_attempts(history, failures, scheduled)
    failed_at = {_failed_id(history[index]): index for index in reversed(failures)}
    attempt_before = {later: earlier for earlier, later in next_attempt.items()}
    final = [task_id for task_id in failed_at if task_id not in next_attempt]
    first = [failed_at[_first_attempt(task_id, attempt_before)] for task_id in final]
    return min(first, default=failures[0])


def _first_attempt(task_id: int, attempt_before: Mapping[int, int]) -> int:
    while task_id in attempt_before:
        task_id = attempt_before[task_id]
    return task_id


def _next_attempts(
    history: Sequence[HistoryEvent], failures: Sequence[int], scheduled: Mapping[int, int]
) -> dict[int, int]:
    """Which failed task was tried again as which: a timer was set when it failed, and when that fired, the same work.

    Told by order and name only. A pair that is wrong costs repeated work at most; what is repeated is always a true
    beginning. The timer behind the last attempt is due at once, which tells it from one that waits for another.
    """
    episodes = _episodes(history)
    fired = {event.timer_id: index for index, event in enumerate(history) if isinstance(event, TimerFired)}
    claimed: set[int] = set()
    found = {}
    for failure, timer in _failures_with_timers(history, failures, episodes):
        fired_at = fired.get(timer.event_id)
        if fired_at is None or timer.fire_at <= timer.timestamp:
            continue
        task_id = _failed_id(history[failure])
        for index in range(fired_at + 1, len(history)):
            event = history[index]
            if episodes[index] != episodes[fired_at]:
                break
            if isinstance(event, _Work) and index not in claimed and _is_same(event, history[scheduled[task_id]]):
                claimed.add(index)
                found[task_id] = event.event_id
                break
    return found


def _failures_with_timers(
    history: Sequence[HistoryEvent], failures: Sequence[int], episodes: Sequence[int]
) -> list[tuple[int, TimerCreated]]:
    """Within an episode the timers of retries stand first, in the order of the failures."""
    timers: dict[int, list[TimerCreated]] = {}
    for index, event in enumerate(history):
        if isinstance(event, TimerCreated):
            timers.setdefault(episodes[index], []).append(event)
    return [(failure, waiting.pop(0)) for failure in failures if (waiting := timers.get(episodes[failure]))]


def _episodes(history: Sequence[HistoryEvent]) -> list[int]:
    numbers = []
    number = 0
    for event in history:
        number += isinstance(event, OrchestratorStarted)
        numbers.append(number)
    return numbers


def _is_same(event: _Request, other: HistoryEvent) -> bool:
    return type(event) is type(other) and isinstance(other, _Work) and event.name.lower() == other.name.lower()


def _failed_id(event: HistoryEvent) -> int:
    assert isinstance(event, _Failure)
    return event.task_scheduled_id
