"""Spans as finished plain values: what a trace shows of instances, activities and entities.

Names, kinds and attributes mirror TraceHelper and Schema of DurableTask.Core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from durablehost.core.entity_messages import EntityRequest
from durablehost.core.history import ExecutionStarted, TaskScheduled
from durablehost.core.history_json import format_time
from durablehost.core.ids import EntityId
from durablehost.core.trace_context import TraceContext

Attributes = Mapping[str, str | int]


class SpanKind(Enum):
    """The role of a span: `SERVER` and `CONSUMER` do the work that `CLIENT` and `PRODUCER` have asked for."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


@dataclass(frozen=True, kw_only=True)
class SpanEvent:
    """A moment inside a span."""

    name: str
    at: datetime
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and when a span was. `parent` is the context of the span above it; None: it is the root of its trace."""

    context: TraceContext
    parent: TraceContext | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class Span:
    """A finished span.

    `error` is the text of a failure. Without it, `is_ok` is True only for spans that the original marks as successful.
    """

    name: str
    kind: SpanKind
    place: Place
    attributes: Attributes
    error: str | None = None
    is_ok: bool = False
    events: tuple[SpanEvent, ...] = ()


def creation_name(started: ExecutionStarted) -> str:
    return versioned_name("create_orchestration", started.name, started.version)


def creation_span(started: ExecutionStarted, place: Place, error: str | None = None) -> Span:
    """The span of starting an instance."""
    instance = started.orchestration_instance
    attributes = {
        **task_attributes("orchestration", started.name, instance.instance_id, version=started.version),
        "durabletask.task.execution_id": instance.execution_id or "",
    }
    return Span(name=creation_name(started), kind=SpanKind.PRODUCER, place=place, attributes=attributes, error=error)


def event_name(name: str) -> str:
    return f"orchestration_event:{name}"


def event_span(name: str, target_id: str, place: Place) -> Span:
    """The span of a client that raises an event."""
    attributes = {
        "durabletask.type": "event",
        "durabletask.task.name": name,
        "durabletask.event.target_instance_id": target_id,
    }
    return Span(name=event_name(name), kind=SpanKind.PRODUCER, place=place, attributes=attributes)


def activity_name(request: TaskScheduled) -> str:
    return versioned_name("activity", request.name, request.version)


def activity_span(request: TaskScheduled, instance_id: str, kind: SpanKind, place: Place, error: str | None) -> Span:
    """The span of an activity: of one run (`SERVER`), or of waiting for its result (`CLIENT`)."""
    attributes = task_attributes(
        "activity", request.name, instance_id, version=request.version, task_id=request.event_id
    )
    return Span(name=activity_name(request), kind=kind, place=place, attributes=attributes, error=error)


def operation_span(request: EntityRequest, entity: EntityId, place: Place, error: str | None) -> Span:
    """The span of one operation that an entity has run."""
    attributes = {**_request_attributes(request), "durabletask.task.instance_id": entity.instance_id}
    if error is not None:
        attributes["durabletask.entity.error_message"] = error
    kind = SpanKind.CONSUMER if request.is_signal else SpanKind.SERVER
    return Span(
        name=request_name(request, entity),
        kind=kind,
        place=place,
        attributes=attributes,
        error=error,
        is_ok=error is None,
    )


def request_span(request: EntityRequest, entity_id: str, place: Place) -> Span:
    """The span of sending a signal to an entity, or of waiting for the result of a call."""
    attributes = {**_request_attributes(request), "durabletask.event.target_instance_id": entity_id}
    if request.due_at is not None:
        attributes["durabletask.task.scheduled_time"] = format_time(request.due_at)
    kind = SpanKind.PRODUCER if request.is_signal else SpanKind.CLIENT
    name = request_name(request, EntityId.of_instance(entity_id))
    return Span(name=name, kind=kind, place=place, attributes=attributes)


def versioned_name(kind: str, name: str, version: str | None) -> str:
    return f"{kind}:{name}@({version})" if version else f"{kind}:{name}"


def task_attributes(
    kind: str, name: str, instance_id: str, *, version: str | None = None, task_id: int | None = None
) -> dict[str, str | int]:
    """The attributes that the spans of all tasks share."""
    attributes: dict[str, str | int] = {
        "durabletask.type": kind,
        "durabletask.task.name": name,
        "durabletask.task.instance_id": instance_id,
    }
    if version:
        attributes["durabletask.task.version"] = version
    if task_id is not None:
        attributes["durabletask.task.task_id"] = task_id
    return attributes


def request_name(request: EntityRequest, entity: EntityId) -> str:
    return f"entity:{entity.name}:{request.operation}"


def _request_attributes(request: EntityRequest) -> dict[str, str | int]:
    return {
        "durabletask.type": "entity",
        "durabletask.task.operation": "signal_entity" if request.is_signal else "call_entity",
    }
