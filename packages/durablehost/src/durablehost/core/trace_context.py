"""Trace contexts: the span that a piece of work belongs to, as plain values, and the form in which they are stored.

The ids of an orchestration's spans are derived from its execution id, so an episode that is repeated after a crash
names the same spans. Mirrors DistributedTraceContext of DurableTask.Core; the texts are those of W3C Trace Context.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from durablehost.core.history import ExecutionStarted
from durablehost.core.history_json import parse_moment
from durablehost.types import JsonObject

_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}", re.ASCII)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED = 1
_REWOUND = "rewound"


@dataclass(frozen=True, kw_only=True)
class TraceContext:
    """One span of one trace; ids are hexadecimal.

    `state` is the `tracestate` of the caller, which is passed on unchanged. `is_sampled` False: nobody is to record
    spans of this trace.
    """

    trace_id: str
    span_id: str
    is_sampled: bool = True
    state: str | None = None

    @property
    def trace_parent(self) -> str:
        """The value of a `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"

    def with_span(self, span_id: str) -> TraceContext:
        """Another span of the same trace."""
        return replace(self, span_id=span_id)


def parse_trace_context(trace_parent: object, trace_state: object = None) -> TraceContext | None:
    """The context that a `traceparent` and a `tracestate` name; None unless the first is valid.

    A `tracestate` that is too long, or no printable ASCII, is left out: a part of it would be wrong.
    """
    match = _PARENT.fullmatch(trace_parent) if isinstance(trace_parent, str) else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "00" and rest:
        return None
    has_state = isinstance(trace_state, str) and _STATE.fullmatch(trace_state)
    return TraceContext(
        trace_id=trace_id,
        span_id=span_id,
        is_sampled=bool(int(flags, 16) & _SAMPLED),
        state=str(trace_state) if has_state else None,
    )


def derived_span_id(execution_id: str | None, *what: object) -> str:
    """The id of a span of an execution. `what` distinguishes it from the others of that execution."""
    text = ":".join(map(str, (execution_id, *what)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def stored_context(context: TraceContext | None) -> JsonObject | None:
    """The stored form; the members that only orchestrations have are null."""
    return None if context is None else _document(context, None, None)


def read_context(stored: JsonObject | None) -> TraceContext | None:
    """The context that is stored with an event; None if there is none, or what is stored is no context."""
    return None if stored is None else parse_trace_context(stored.get("TraceParent"), stored.get("TraceState"))


def begin_span(started: ExecutionStarted, caller: TraceContext, at: datetime) -> ExecutionStarted:
    """The start of an orchestration that has a span of its own, below the span of its caller, from this time on."""
    own = caller.with_span(derived_span_id(started.orchestration_instance.execution_id))
    return replace(started, parent_trace_context=_document(caller, own, at))


def own_context(started: ExecutionStarted, rewinds: int = 0) -> TraceContext | None:
    """The context of the orchestration's own span; None if it has none.

    `rewinds` counts the events that rewinds have undone: after a rewind, another span begins.
    """
    stored = started.parent_trace_context
    if stored is None:
        return None
    caller, span_id = read_context(stored), stored.get("SpanId")
    if caller is None or not isinstance(span_id, str) or not _SPAN_ID.fullmatch(span_id):
        return None
    if rewinds:
        span_id = derived_span_id(started.orchestration_instance.execution_id, _REWOUND, rewinds)
    return caller.with_span(span_id)


def own_start(started: ExecutionStarted) -> datetime:
    """The time at which the orchestration's own span began."""
    text: Any = (started.parent_trace_context or {}).get("ActivityStartTime")
    begun_at = parse_moment(text) if isinstance(text, str) else None
    return begun_at or started.timestamp


def work_context(started: ExecutionStarted, rewinds: int = 0) -> TraceContext | None:
    """The context of what the orchestrator does: its own span or, without one, that of its caller; None: neither."""
    return own_context(started, rewinds) or read_context(started.parent_trace_context)


def task_context(started: ExecutionStarted, task_id: int, rewinds: int = 0) -> TraceContext | None:
    """The context that is sent with a task: the span of waiting for it, or what the orchestration itself was given."""
    own = own_context(started, rewinds)
    if own is None:
        return read_context(started.parent_trace_context)
    return own.with_span(task_span_id(started, task_id, rewinds))


def task_span_id(started: ExecutionStarted, task_id: int, rewinds: int = 0) -> str:
    """The id of the span of waiting for a task; one that is scheduled again after a rewind gets another."""
    repeated = (rewinds,) if rewinds else ()
    return derived_span_id(started.orchestration_instance.execution_id, task_id, *repeated)


def _document(context: TraceContext, own: TraceContext | None, at: datetime | None) -> JsonObject:
    return {
        "TraceParent": context.trace_parent,
        "TraceState": context.state,
        "Id": own.trace_parent if own else None,
        "SpanId": own.span_id if own else None,
        "ActivityStartTime": at.isoformat() if at else None,
    }
