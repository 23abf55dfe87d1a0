"""What a history says about its execution, folded event by event, and which arriving messages it still wants.

Mirrors OrchestrationRuntimeState and the admission rules of AzureStorageOrchestrationService: duplicates are dropped by
task id and execution id, replies that come before their request is in the history wait, and a finished execution takes
nothing any more. A message that names no execution belongs to the current one; one that names another execution is
judged by itself and never decides about those that arrive with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from devhost.core.entity_messages import sent_request
from devhost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    OrchestratorCompleted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from devhost.core.lineage import descends
from devhost.core.messages import TaskMessage, answered_task_id
from devhost.core.status import RuntimeStatus

# Delivered so often, with delays of 2, 4, 8 ... 600 seconds, a reply to nothing has waited for over half an hour:
# longer than any request can still be on its way into the history.
MAX_EARLY_DELIVERIES = 12
MAX_DELIVERIES_TO_NOTHING = 5

_Event = TypeVar("_Event", bound=HistoryEvent)
_MarkKey = tuple[str, datetime, "str | None"]


@dataclass(frozen=True, kw_only=True)
class OrchestrationState:
    """The fold of a history. `status` is Pending while nothing has started.

    `request_ids` are those of requests to entities; an entity's answer is an event with such an id for its name.
    `raised_names` are the names of all events. `has_suspended_events`: the history has events that arrived while the
    instance was suspended, and the function has not been run over them. Real hosts record such events. `marks` are the
    suspensions and resumptions, as `_mark_key` tells them apart.
    """

    started: ExecutionStarted | None
    status: RuntimeStatus
    scheduled_ids: frozenset[int]
    answered_ids: frozenset[int]
    request_ids: frozenset[str]
    raised_names: frozenset[str]
    is_episode_open: bool
    has_suspended_events: bool
    marks: frozenset[_MarkKey]

    @property
    def execution_id(self) -> str | None:
        return self.started.orchestration_instance.execution_id if self.started else None


def fold(history: Sequence[HistoryEvent]) -> OrchestrationState:
    """Walks through a history once. An episode is open when its end is missing: a crash cut the write of its rows."""
    started = _last(history, ExecutionStarted)
    status = _status(history, started)
    return OrchestrationState(
        started=started,
        status=status,
        scheduled_ids=frozenset(e.event_id for e in history if _schedules(e)),
        answered_ids=frozenset(i for i in map(answered_task_id, history) if i is not None),
        request_ids=frozenset(_request_ids(history)),
        raised_names=frozenset(e.name for e in history if isinstance(e, EventRaised)),
        is_episode_open=status is RuntimeStatus.RUNNING and not isinstance(history[-1], OrchestratorCompleted),
        has_suspended_events=status is RuntimeStatus.SUSPENDED and _has_events_since_suspension(history),
        marks=frozenset(_mark_key(e) for e in history if isinstance(e, (ExecutionSuspended, ExecutionResumed))),
    )


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What becomes of arriving messages, by position; those named nowhere are dropped.

    `delivered`, answers of entities among them, go to the orchestrator together, external events in `raised` one by one
    when they are awaited, `marks` suspend and resume. `deferred` come again later. `unclaimed` name no execution, and
    the history has none that could take them: they are for one whose start is still on its way, if there is such a one.
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
    """Sorts messages, each with its number of deliveries, by what the current execution still wants of them.

    The start comes first whatever its position: a queue does not promise an order.
    """
    arrived = list(messages)
    starts = [i for i, (message, _) in enumerate(arrived) if isinstance(message.event, ExecutionStarted)]
    start = state.started or (arrived[starts[0]][0].event if starts else None)
    assert start is None or isinstance(start, ExecutionStarted)
    execution_id = start.orchestration_instance.execution_id if start else None
    is_open = start is not None and not state.status.is_terminal
    asked: set[int | str] = {*state.scheduled_ids, *state.request_ids}
    answered: set[int | str] = {*state.answered_ids, *state.raised_names}
    delivered: list[int] = [] if state.started else starts[:1]
    raised: list[int] = []
    marks: list[int] = []
    deferred: list[int] = []
    unclaimed: list[int] = []
    for position, (message, dequeue_count) in enumerate(arrived):
        event = message.event
        target = message.target.execution_id
        answer_to = _answer_to(message, state)
        if isinstance(event, ExecutionStarted):
            continue
        if target is not None and target != execution_id:
            if _may_be_early(message, execution_id, dequeue_count):
                deferred.append(position)
        elif not is_open:
            if target is None:
                unclaimed.append(position)
        elif isinstance(event, EventRaised) and answer_to is None:
            raised.append(position)
        elif isinstance(event, (ExecutionSuspended, ExecutionResumed)):
            # Delivered once more, a suspension would undo the resumption that was recorded after it.
            if _mark_key(event) not in state.marks:
                marks.append(position)
        elif answer_to is None:
            delivered.append(position)
        elif answer_to not in asked:
            # While the instance is suspended, the turn that would record the request again may be long in coming.
            if dequeue_count < MAX_EARLY_DELIVERIES or state.status is RuntimeStatus.SUSPENDED:
                deferred.append(position)
        elif answer_to not in answered:
            answered.add(answer_to)
            delivered.append(position)
    return Admission(
        delivered=tuple(delivered),
        raised=tuple(raised),
        marks=tuple(marks),
        deferred=tuple(deferred),
        unclaimed=tuple(unclaimed),
    )


def _may_be_early(message: TaskMessage, execution_id: str | None, dequeue_count: int) -> bool:
    """True for a reply to an execution that the history may not know yet: one whose first checkpoint is on its way."""
    is_reply = answered_task_id(message.event) is not None or isinstance(message.event, EventRaised)
    return (
        is_reply
        and dequeue_count <= MAX_DELIVERIES_TO_NOTHING
        and not descends(execution_id, message.target.execution_id)
    )


def _answer_to(message: TaskMessage, state: OrchestrationState) -> int | str | None:
    """The task id, or the id of the request to an entity, that this message answers; None where it answers nothing."""
    event = message.event
    if isinstance(event, EventRaised):
        return event.name if message.is_from_entity or event.name in state.request_ids else None
    return answered_task_id(event)


def _status(history: Sequence[HistoryEvent], started: ExecutionStarted | None) -> RuntimeStatus:
    completed = _last(history, ExecutionCompleted)
    if completed is not None:
        return completed.orchestration_status
    if started is None:
        return RuntimeStatus.PENDING
    mark = next((e for e in reversed(history) if isinstance(e, (ExecutionSuspended, ExecutionResumed))), None)
    return RuntimeStatus.SUSPENDED if isinstance(mark, ExecutionSuspended) else RuntimeStatus.RUNNING


def _mark_key(mark: ExecutionSuspended | ExecutionResumed) -> _MarkKey:
    return mark.type_name, mark.timestamp, mark.reason


def _has_events_since_suspension(history: Sequence[HistoryEvent]) -> bool:
    for event in reversed(history):
        if isinstance(event, ExecutionSuspended):
            return False
        if isinstance(event, EventRaised) or answered_task_id(event) is not None:
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
