"""Folds a history into the state of its execution, and decides which arriving messages the execution accepts.

Mirrors OrchestrationRuntimeState and the admission rules of AzureStorageOrchestrationService: duplicates are dropped by
task id and execution id, results that come before their request is in the history wait, and a finished execution
accepts nothing. Unlike there, the result of another request under the same task id is dropped. A message that names no
execution is for the current one; one that names another execution never affects those that arrive with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from durablehost.core.checkpoint import InstanceUpdate
from durablehost.core.entity_messages import sent_request
from durablehost.core.history import (
    MARKS,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    Mark,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.lineage import descends
from durablehost.core.messages import TaskMessage, answers, completed_task_id
from durablehost.core.status import RuntimeStatus

# After so many deliveries, with delays of 2, 4, 8 ... 600 seconds, a result without a request has waited for over half
# an hour: longer than it can take until its request is in the history.
MAX_EARLY_DELIVERIES = 12
MAX_DELIVERIES_TO_NOTHING = 5

_Event = TypeVar("_Event", bound=HistoryEvent)
_MarkKey = tuple[str, datetime, "str | None"]
RaisedKey = tuple[str, datetime, "str | None"]


@dataclass(frozen=True, kw_only=True)
class OrchestrationState:
    """The fold of a history. `status` is Pending if nothing has started.

    `scheduled` are the events that record tasks, by task id. `request_ids` are those of requests to entities; an
    entity's result is an event that has such an id for its name. `raised_names` are the names of all events.
    `open_since` is the time of an episode whose end is missing, because a crash cut it short, and `open_raised` are its
    external events. `has_suspended_events`: the history has events that arrived while the instance was suspended, and
    the function has not been run over them. Real hosts record such events. `marks` are the suspensions and
    resumptions, as `_mark_key` identifies them.
    """

    started: ExecutionStarted | None
    status: RuntimeStatus
    scheduled: Mapping[int, HistoryEvent]
    completed_ids: frozenset[int]
    request_ids: frozenset[str]
    raised_names: frozenset[str]
    open_since: datetime | None
    open_raised: frozenset[RaisedKey]
    has_suspended_events: bool
    marks: frozenset[_MarkKey]

    @property
    def is_episode_open(self) -> bool:
        return self.open_since is not None

    @property
    def execution_id(self) -> str | None:
        return self.started.orchestration_instance.execution_id if self.started else None


def fold(history: Sequence[HistoryEvent]) -> OrchestrationState:
    started = _last(history, ExecutionStarted)
    status = _status(history, started)
    is_open = status is RuntimeStatus.RUNNING and not isinstance(history[-1], OrchestratorCompleted)
    opened = _last_episode(history) if is_open else ()
    return OrchestrationState(
        started=started,
        status=status,
        scheduled={e.event_id: e for e in history if _schedules(e)},
        completed_ids=frozenset(i for i in map(completed_task_id, history) if i is not None),
        request_ids=frozenset(_request_ids(history)),
        raised_names=frozenset(e.name for e in history if isinstance(e, EventRaised)),
        open_since=opened[0].timestamp if opened else None,
        open_raised=frozenset(raised_key(e) for e in opened if isinstance(e, EventRaised)),
        has_suspended_events=status is RuntimeStatus.SUSPENDED and _has_events_since_suspension(history),
        marks=frozenset(_mark_key(e) for e in history if isinstance(e, MARKS)),
    )


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What becomes of arriving messages, by position; those named nowhere are dropped.

    `delivered`, which includes results of entity calls, go to the orchestrator together; external events in `raised`
    one by one when they are awaited; `marks` suspend and resume. `deferred` are delivered again later. `unclaimed` name
    no execution, and the one in the history has ended or is missing: they may be for one that has not started yet.
    """

    delivered: tuple[int, ...] = ()
    raised: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()
    deferred: tuple[int, ...] = ()
    unclaimed: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.delivered or self.raised or self.marks)

    @property
    def kept_count(self) -> int:
        """How many messages are not dropped."""
        return sum(map(len, (self.delivered, self.raised, self.marks, self.deferred, self.unclaimed)))


def admit(state: OrchestrationState, messages: Iterable[tuple[TaskMessage, int]]) -> Admission:
    """Decides what becomes of messages, each given with its number of deliveries.

    The start comes first whatever its position: a queue does not guarantee an order.
    """
    arrived = list(messages)
    starts = [i for i, (message, _) in enumerate(arrived) if isinstance(message.event, ExecutionStarted)]
    start = state.started or (arrived[starts[0]][0].event if starts else None)
    assert start is None or isinstance(start, ExecutionStarted)
    execution_id = start.orchestration_instance.execution_id if start else None
    is_open = start is not None and not state.status.is_finished
    requested: set[int | str] = {*state.scheduled, *state.request_ids}
    completed: set[int | str] = {*state.completed_ids, *state.raised_names}
    delivered: list[int] = [] if state.started else starts[:1]
    raised: list[int] = []
    marks: list[int] = []
    deferred: list[int] = []
    unclaimed: list[int] = []
    for position, (message, dequeue_count) in enumerate(arrived):
        event = message.event
        target = message.target.execution_id
        task = _completed_by(message, state)
        if isinstance(event, ExecutionStarted):
            continue
        if target is not None and target != execution_id:
            if _may_be_early(message, execution_id, dequeue_count):
                deferred.append(position)
        elif not is_open:
            if target is None:
                unclaimed.append(position)
        elif isinstance(event, EventRaised) and task is None:
            if raised_key(event) not in state.open_raised:
                raised.append(position)
        elif isinstance(event, MARKS):
            # A suspension that is delivered again must not undo the resumption that was recorded after it.
            if _mark_key(event) not in state.marks:
                marks.append(position)
        elif task is None:
            delivered.append(position)
        elif task not in requested:
            # In a suspended instance it may take long until an episode records the request.
            if dequeue_count < MAX_EARLY_DELIVERIES or state.status is RuntimeStatus.SUSPENDED:
                deferred.append(position)
        elif task not in completed and (isinstance(task, str) or answers(message, state.scheduled[task])):
            completed.add(task)
            delivered.append(position)
    return Admission(
        delivered=tuple(delivered),
        raised=tuple(raised),
        marks=tuple(marks),
        deferred=tuple(deferred),
        unclaimed=tuple(unclaimed),
    )


def restated(state: OrchestrationState, history: Sequence[HistoryEvent]) -> InstanceUpdate:
    """The record of an instance that has started, as its history alone defines it."""
    assert state.started is not None
    completed = _last(history, ExecutionCompleted)
    return InstanceUpdate(
        execution_id=state.execution_id or "",
        last_updated_at=history[-1].timestamp,
        started=state.started,
        runtime_status=state.status,
        output=completed.result if completed else None,
        completed_at=completed.timestamp if completed else None,
    )


def _may_be_early(message: TaskMessage, execution_id: str | None, dequeue_count: int) -> bool:
    """True for a result or event for an execution whose first checkpoint may not have reached the history yet."""
    is_result_or_event = completed_task_id(message.event) is not None or isinstance(message.event, EventRaised)
    return (
        is_result_or_event
        and dequeue_count <= MAX_DELIVERIES_TO_NOTHING
        and not descends(execution_id, message.target.execution_id)
    )


def _completed_by(message: TaskMessage, state: OrchestrationState) -> int | str | None:
    """The id of the task, or of the request to an entity, whose result this is; None if it is no result."""
    event = message.event
    if isinstance(event, EventRaised):
        return event.name if message.is_from_entity or event.name in state.request_ids else None
    return completed_task_id(event)


def _status(history: Sequence[HistoryEvent], started: ExecutionStarted | None) -> RuntimeStatus:
    completed = _last(history, ExecutionCompleted)
    if completed is not None:
        return completed.orchestration_status
    if started is None:
        return RuntimeStatus.PENDING
    mark = next((e for e in reversed(history) if isinstance(e, MARKS)), None)
    return RuntimeStatus.SUSPENDED if isinstance(mark, ExecutionSuspended) else RuntimeStatus.RUNNING


def _mark_key(mark: Mark) -> _MarkKey:
    return mark.type_name, mark.timestamp, mark.reason


def episodes_of(history: Sequence[HistoryEvent]) -> list[list[HistoryEvent]]:
    """The events of each episode; none is empty."""
    episodes: list[list[HistoryEvent]] = []
    for event in history:
        if isinstance(event, OrchestratorStarted) or not episodes:
            episodes.append([])
        episodes[-1].append(event)
    return episodes


def raised_key(event: EventRaised) -> RaisedKey:
    """Identifies an external event that is delivered again while its first delivery is in an open episode."""
    return event.name, event.timestamp, event.input


def _last_episode(history: Sequence[HistoryEvent]) -> Sequence[HistoryEvent]:
    start = max((i for i, event in enumerate(history) if isinstance(event, OrchestratorStarted)), default=0)
    return history[start:]


def _has_events_since_suspension(history: Sequence[HistoryEvent]) -> bool:
    for event in reversed(history):
        if isinstance(event, ExecutionSuspended):
            return False
        if isinstance(event, EventRaised) or completed_task_id(event) is not None:
            return True
    return False


def _schedules(event: HistoryEvent) -> bool:
    return isinstance(event, (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent))


def _request_ids(history: Sequence[HistoryEvent]) -> Iterator[str]:
    for event in history:
        if isinstance(event, EventSent) and (request := sent_request(event.input)) and not request.is_signal:
            yield request.id


def _last(history: Sequence[HistoryEvent], event_type: type[_Event]) -> _Event | None:
    return next((event for event in reversed(history) if isinstance(event, event_type)), None)
