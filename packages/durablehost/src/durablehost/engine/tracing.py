"""The seam for traces: the engine names spans and reports finished ones; `durablehost.traces` exports them.

Without a tracer, the context of a caller is passed on as it is, so that spans of the app still belong to its trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, cast

from durablehost.app.invocation import Invocation
from durablehost.core.history import ExecutionStarted, HistoryEvent
from durablehost.core.spans import Place, Span, creation_name, creation_span
from durablehost.core.trace_context import TraceContext, begin_span, own_context, read_context
from durablehost.types import JsonObject


class Tracer(Protocol):
    """Gives spans their ids, and takes finished ones. No method waits, and none raises an error."""

    @property
    def is_on(self) -> bool:
        """False: spans need not be computed, because nothing is done with them."""

    def begin(self, parent: TraceContext | None, name: str) -> TraceContext | None:
        """The context of a new span below `parent`, or at the root of a new trace; `parent` itself if traces are off.

        `name` is that of the span: whether a trace is recorded may depend on it.
        """

    def record(self, spans: Iterable[Span]) -> None:
        """Takes finished spans; each is to be reported once."""


class _NoTracer:
    is_on = False

    def begin(self, parent: TraceContext | None, name: str) -> TraceContext | None:
        return parent

    def record(self, spans: Iterable[Span]) -> None:
        """Does nothing."""


NO_TRACES: Tracer = _NoTracer()


@dataclass(frozen=True, kw_only=True)
class OpenSpan:
    """A span that has begun; `context` is that of the work within it."""

    context: TraceContext
    parent: TraceContext | None
    started_at: datetime

    def until(self, ended_at: datetime) -> Place:
        return Place(context=self.context, parent=self.parent, started_at=self.started_at, ended_at=ended_at)


def open_span(tracer: Tracer, parent: TraceContext | None, name: str, now: datetime) -> OpenSpan | None:
    """Begins a span, of a new trace if there is no parent; None if traces are off and the caller has none."""
    context = tracer.begin(parent, name)
    return None if context is None else OpenSpan(context=context, parent=parent, started_at=now)


def open_below(tracer: Tracer, stored: JsonObject | None, name: str, now: datetime) -> OpenSpan | None:
    """Begins a span below the context that is stored with a request; None if none is."""
    parent = read_context(stored)
    return None if parent is None else open_span(tracer, parent, name, now)


def context_of(span: OpenSpan | None) -> TraceContext | None:
    return None if span is None else span.context


def within(invocation: Invocation, context: TraceContext | None) -> Invocation:
    """The invocation as work within this span, which its worker process makes the current one."""
    if context is None:
        return invocation
    return replace(invocation, trace_parent=context.trace_parent, trace_state=context.state or "")


def open_start(
    events: Sequence[HistoryEvent], tracer: Tracer, now: datetime
) -> tuple[list[HistoryEvent], tuple[Span, ...]]:
    """Gives the start among these arrived events a span of its own, if traces are on.

    Also returns the span of its creation if the client, such as a command, has traced none. A child whose parent is not
    traced is not traced either.
    """
    opened = list(events)
    spans: tuple[Span, ...] = ()
    position = next((i for i, event in enumerate(events) if isinstance(event, ExecutionStarted)), None)
    if position is not None and tracer.is_on:
        started = cast(ExecutionStarted, events[position])
        opened[position], spans = _with_own_span(started, tracer, now)
    return opened, spans


def _with_own_span(
    started: ExecutionStarted, tracer: Tracer, now: datetime
) -> tuple[ExecutionStarted, tuple[Span, ...]]:
    caller = read_context(started.parent_trace_context)
    if own_context(started) or (caller is None and started.parent_instance):
        return started, ()
    if caller is not None:
        return begin_span(started, caller, now), ()
    created = open_span(tracer, None, creation_name(started), started.timestamp)
    if created is None:
        return started, ()
    return begin_span(started, created.context, now), (creation_span(started, created.until(now)),)
