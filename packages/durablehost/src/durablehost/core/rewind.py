"""Plans which events of a failed history a rewind hides from replay.

The rule of this file: a replay still sees the history up to the first failure that is undone and, after it, only
results of work that was scheduled before. The orchestrator decides everything after that failure again, so no task id
is assigned twice and no result reaches other work than its own.

Differs from AzureTableTrackingStore.RewindHistoryAsync, which undoes failures only and keeps their consequences: there
the timers of retries remain and complete other tasks. For work without retries the outcome is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

from durablehost.core.history import (
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
from durablehost.core.messages import completed_task_id

_Failure = (TaskFailed, SubOrchestrationInstanceFailed)
_Success = (TaskCompleted, SubOrchestrationInstanceCompleted)
_Work = (TaskScheduled, SubOrchestrationInstanceCreated)
_Request = Union[TaskScheduled, SubOrchestrationInstanceCreated]  # noqa: UP007


@dataclass(frozen=True, kw_only=True)
class AwaitedChild:
    """A sub-orchestration without a result; `index` is that of the event that records it."""

    index: int
    instance_id: str
    task_id: int


@dataclass(frozen=True, kw_only=True)
class RewindPlan:
    """The events that replace others, by index, and the children that the rewound history awaits.

    `problem` is the reason why the instance cannot be rewound; then nothing is changed.
    """

    replaced: Mapping[int, GenericEvent] = field(default_factory=dict)
    children: tuple[AwaitedChild, ...] = ()
    problem: str | None = None

    def starting_anew(self, child: AwaitedChild, created: HistoryEvent) -> RewindPlan:
        """This plan for a child that cannot be rewound: it is started again under its task id."""
        return replace(
            self,
            replaced={**self.replaced, child.index: _undone(created, child.task_id)},
            children=tuple(each for each in self.children if each != child),
        )


def plan_rewind(history: Sequence[HistoryEvent]) -> RewindPlan:
    """Plans the rewind of a failed history. After a plan was applied in part, a new one is still sound."""
    cut = _first_undone(history)
    if problem := _problem(history, cut):
        return RewindPlan(problem=problem)
    before = frozenset(e.event_id for e in history[:cut] if isinstance(e, (*_Work, TimerCreated)))
    stays = {index for index, event in enumerate(history) if _result_stays(event, index < cut, before)}
    completed = frozenset(completed_task_id(history[index]) for index in stays)
    replaced = {}
    for index, event in enumerate(history):
        number = _replacement_id(event, index < cut, completed)
        if number is not None or (completed_task_id(event) is not None and index not in stays):
            replaced[index] = _undone(event, UNNUMBERED if number is None else number)
    children = tuple(child for child in awaited_children(history[:cut], completed) if child.index not in replaced)
    return RewindPlan(replaced=replaced, children=children)


def awaited_children(
    history: Sequence[HistoryEvent], completed: frozenset[int | None] | None = None
) -> tuple[AwaitedChild, ...]:
    """The children that a history awaits, by its own results or, if given, by the `completed` task ids."""
    known = frozenset(map(completed_task_id, history)) if completed is None else completed
    return tuple(
        AwaitedChild(index=index, instance_id=event.instance_id, task_id=event.event_id)
        for index, event in enumerate(history)
        if isinstance(event, SubOrchestrationInstanceCreated) and event.event_id not in known
    )


def rewound_count(history: Sequence[HistoryEvent]) -> int:
    """The number of events that rewinds have undone; it distinguishes repeated requests for one task id."""
    return sum(isinstance(event, GenericEvent) and event.data is None for event in history)


def _result_stays(event: HistoryEvent, is_before: bool, scheduled_before: frozenset[int]) -> bool:
    """True if a result stays. Failures and timers after the cut do not: they make the SDK schedule work of its own."""
    task_id = completed_task_id(event)
    return task_id in scheduled_before and (is_before or isinstance(event, _Success))


def _replacement_id(event: HistoryEvent, is_before: bool, completed: frozenset[int | None]) -> int | None:
    """The event id of the replacement of this event, or None if the event stays.

    Before the cut the SDK still counts a task that has to be scheduled again; after the cut its id is free.
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
        # A request to an entity is not sent twice: it may have taken effect already.
        return None
    is_open = event.event_id not in completed and not isinstance(event, SubOrchestrationInstanceCreated)
    return event.event_id if is_open else None


def _undone(event: HistoryEvent, event_id: int) -> GenericEvent:
    return GenericEvent(timestamp=event.timestamp, event_id=event_id, is_played=event.is_played)


def _problem(history: Sequence[HistoryEvent], cut: int) -> str | None:
    """The SDK gives an external event that comes before its wait to every later wait of that name."""
    raised = [event.name.lower() for event in history if isinstance(event, EventRaised)]
    for event in history[cut:]:
        if isinstance(event, EventRaised) and raised.count(event.name.lower()) > 1:
            return (
                f"several external events named '{event.name}' were raised, one of them after the first failure: "
                "run again, the orchestrator could not tell them apart. Use restart instead."
            )
    return None


def _first_undone(history: Sequence[HistoryEvent]) -> int:
    """The index of the first failure to undo or, if only the orchestrator itself has failed, of its end.

    Work that failed for good is undone from its first attempt. Failures that a later attempt made good stay, unless no
    other failure could be the cause.
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
    """Maps failed tasks to their next attempts: a failure sets a timer, which fires and schedules the same work.

    The pairs are found by order and name only; a wrong pair costs no more than repeated work. The timer after the last
    attempt is due at once, which distinguishes it from those before another attempt.
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
    """Pairs failures with their retry timers: these come first in an episode, in the order of the failures."""
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
