"""The spans of an orchestration, by its history.

An episode ends the spans of the tasks whose results it has received, and that of the execution it has ended. They are
computed when the episode is stored, so an episode that is repeated after a crash ends each of them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from durablehost.core.entity_messages import sent_request
from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.history_json import format_time
from durablehost.core.messages import completed_task_id
from durablehost.core.rewind import rewound_count
from durablehost.core.spans import (
    Place,
    Span,
    SpanEvent,
    SpanKind,
    activity_span,
    request_span,
    task_attributes,
    versioned_name,
)
from durablehost.core.status import RuntimeStatus
from durablehost.core.trace_context import TraceContext, own_context, own_start, read_context, task_span_id

# The SDKs of OpenTelemetry keep no more events of a span.
MOST_EVENTS = 128


def spans_of_episode(
    started: ExecutionStarted, history: Sequence[HistoryEvent], new_events: Sequence[HistoryEvent]
) -> tuple[Span, ...]:
    """The spans that end with `new_events`; `history` is all before them. Empty if the orchestration has no span.

    If a crash has cut short an episode, its first events are in `history` already. Their spans are among these.
    """
    rewinds = rewound_count(history)
    own = own_context(started, rewinds)
    if own is None:
        return ()
    spans = _ExecutionSpans(started, own, rewinds, (*history, *new_events))
    return tuple(spans.ended_since(_end_of_whole_episodes(history)))


class _ExecutionSpans:
    """The spans of one execution; `events` are all its events so far."""

    def __init__(
        self, started: ExecutionStarted, own: TraceContext, rewinds: int, events: Sequence[HistoryEvent]
    ) -> None:
        self._started = started
        self._own = own
        self._rewinds = rewinds
        self._events = events
        self._instance_id = started.orchestration_instance.instance_id
        scheduling = (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated)
        self._scheduled = {event.event_id: event for event in events if isinstance(event, scheduling)}
        sent = (event for event in events if isinstance(event, EventSent))
        self._requests = {request.id: (event, request) for event in sent if (request := sent_request(event.input))}

    def ended_since(self, first: int) -> Iterator[Span]:
        """The spans that end with the events from this position on."""
        at = self._started.timestamp
        for event in self._events[first:]:
            if isinstance(event, OrchestratorStarted):
                at = event.timestamp
            elif isinstance(event, ExecutionCompleted):
                yield self._execution(event, max(at, event.timestamp))
            # A task ends for its orchestrator when it receives the result.
            elif span := self._task(event, max(at, event.timestamp)):
                yield span

    def _task(self, event: HistoryEvent, at: datetime) -> Span | None:
        if isinstance(event, (EventSent, EventRaised)):
            return self._request(event, at)
        task_id = completed_task_id(event)
        scheduled = None if task_id is None else self._scheduled.get(task_id)
        error = event.reason if isinstance(event, (TaskFailed, SubOrchestrationInstanceFailed)) else None
        if isinstance(scheduled, TaskScheduled):
            return self._activity(scheduled, at, error)
        if isinstance(scheduled, SubOrchestrationInstanceCreated):
            return self._child(scheduled, at, error)
        return self._timer(scheduled, at) if isinstance(scheduled, TimerCreated) else None

    def _request(self, event: EventSent | EventRaised, at: datetime) -> Span | None:
        """A signal ends when it is sent, a call when its result arrives. Locks have no span."""
        if isinstance(event, EventRaised):
            sent, request = self._requests.get(event.name, (None, None))
        else:
            request = sent_request(event.input)
            sent = event if request is not None and request.is_signal else None
        if sent is None or request is None or request.is_lock:
            return None
        span_id = task_span_id(self._started, sent.event_id, self._rewinds)
        place = self._place(span_id, sent, sent.timestamp if request.is_signal else at)
        return request_span(request, sent.instance_id, place)

    def _activity(self, scheduled: TaskScheduled, at: datetime, error: str | None) -> Span | None:
        context = read_context(scheduled.parent_trace_context)
        if context is None:
            return None
        place = self._place(context.span_id, scheduled, at)
        return activity_span(scheduled, self._instance_id, SpanKind.CLIENT, place, error)

    def _child(self, created: SubOrchestrationInstanceCreated, at: datetime, error: str | None) -> Span | None:
        if created.client_span_id is None:
            return None
        name = versioned_name("orchestration", created.name, created.version)
        attributes = task_attributes("orchestration", created.name, self._instance_id, version=created.version)
        place = self._place(created.client_span_id, created, at)
        return Span(name=name, kind=SpanKind.CLIENT, place=place, attributes=attributes, error=error)

    def _timer(self, created: TimerCreated, at: datetime) -> Span:
        attributes = task_attributes("timer", self._started.name, self._instance_id, task_id=created.event_id)
        attributes["durabletask.fire_at"] = format_time(created.fire_at)
        place = self._place(task_span_id(self._started, created.event_id, self._rewinds), created, at)
        name = f"orchestration:{self._started.name}:timer"
        return Span(name=name, kind=SpanKind.INTERNAL, place=place, attributes=attributes)

    def _execution(self, completed: ExecutionCompleted, at: datetime) -> Span:
        started, status = self._started, completed.orchestration_status
        attributes = task_attributes("orchestration", started.name, self._instance_id, version=started.version)
        attributes["durabletask.task.status"] = status.value
        is_ok = status is RuntimeStatus.COMPLETED
        error = completed.result if status is RuntimeStatus.FAILED else None
        return Span(
            name=versioned_name("orchestration", started.name, started.version),
            kind=SpanKind.SERVER,
            place=Place(
                context=self._own,
                parent=read_context(started.parent_trace_context),
                started_at=self._began_at(),
                ended_at=at,
            ),
            attributes=attributes,
            error=None if is_ok else error or status.value,
            is_ok=is_ok,
            events=self._moments(),
        )

    def _place(self, span_id: str, scheduled: HistoryEvent, at: datetime) -> Place:
        """Below the span of the orchestration, from the time when the work was scheduled."""
        return Place(
            context=self._own.with_span(span_id), parent=self._own, started_at=scheduled.timestamp, ended_at=at
        )

    def _began_at(self) -> datetime:
        """The time of the last rewind, or of the beginning if there was none."""
        rewinds = [event for event in self._events if isinstance(event, GenericEvent) and event.data is not None]
        return rewinds[-1].timestamp if self._rewinds and rewinds else own_start(self._started)

    def _moments(self) -> tuple[SpanEvent, ...]:
        """The episodes and the external events, the last of them if there are many."""
        moments = []
        for event in self._events:
            if isinstance(event, OrchestratorStarted):
                moments.append(SpanEvent(name="episode", at=event.timestamp))
            elif isinstance(event, EventRaised) and event.name not in self._requests:
                attributes = {"durabletask.event.name": event.name}
                moments.append(SpanEvent(name="event_raised", at=event.timestamp, attributes=attributes))
        return tuple(moments[-MOST_EVENTS:])


def _end_of_whole_episodes(history: Sequence[HistoryEvent]) -> int:
    """The position after the last episode that was stored as a whole."""
    for position in range(len(history), 0, -1):
        if isinstance(history[position - 1], OrchestratorCompleted):
            return position
    return 0
