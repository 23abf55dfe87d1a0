"""The messages to and from entities: requests, releases of locks and responses, with their JSON.

Mirrors RequestMessage, ReleaseMessage and ResponseMessage of the durable extension. Members keep the order of the
original: other hosts expect nothing but `op`, `signal` and `input` before `id`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from durablehost.core.event_check import described, is_int32, is_shallow
from durablehost.core.history_json import TYPE, format_time, parse_time
from durablehost.core.ids import EntityId, storable_id_problem
from durablehost.core.json_text import compact
from durablehost.core.ticks import NO_TIME, ticks_from_text, ticks_to_round_trip_text, ticks_to_text
from durablehost.errors import PoisonMessage
from durablehost.types import JsonObject, JsonValue

OPERATION_EVENT = "op"
RELEASE_EVENT = "release"
LOCK_GRANTED = "Lock Acquisition Completed"

_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_SCHEDULED_PREFIX = f"{OPERATION_EVENT}@"
# To a real host, an event that is neither a request nor a release means that it is to process what waits.
_REMINDER_PREFIX = "continue@"
# The failure type that the SDKs for languages other than .NET report.
_FAILURE_TYPE = "Error"
# The namespace in which the original makes the ids of requests.
_ID_NAMESPACE = uuid.UUID("9e952959-5e33-4daf-827f-2fa12937b875")


@dataclass(frozen=True, kw_only=True)
class EntityRequest:
    """A request for an operation or, with a `lock_set`, for a lock on several entities, one after another.

    `input` is the JSON text that the operation gets. `parent` is None if a client sent the request. `timestamp` and
    `predecessor` are the ticks by which the requests of one sender are ordered, `NO_TIME` if this one is not ordered.
    `parent_trace_context` is set once the request has arrived: it comes with the event.
    """

    id: str
    operation: str | None
    is_signal: bool = False
    input: str | None = None
    parent: str | None = None
    parent_execution: str | None = None
    due_at: datetime | None = None
    timestamp: int = NO_TIME
    predecessor: int = NO_TIME
    lock_set: tuple[EntityId, ...] = ()
    position: int = 0
    parent_trace_context: JsonObject | None = None

    @property
    def is_lock(self) -> bool:
        return bool(self.lock_set)


@dataclass(frozen=True, kw_only=True)
class Release:
    """The end of a critical section of `parent`; `id` is that of its lock request, if the sender knows it."""

    parent: str | None
    id: str | None = None


def request_id(instance_id: str, at: int, number: int) -> str:
    """The id of an orchestration's request. Real hosts make it again at each replay.

    `at` is the time, in ticks, of the episode that sends it; `number` counts the requests of the execution, from 0.
    """
    return str(uuid.uuid5(_ID_NAMESPACE, f"{instance_id}_{ticks_to_round_trip_text(at)}_{number}"))


def scheduled_name(at: datetime) -> str:
    """The name of an event that delivers a request not before this time."""
    return f"{_SCHEDULED_PREFIX}{format_time(at)}"


def reminder_name(at: datetime) -> str:
    """The name of an event that reminds an entity, not before this time, of the requests that wait for others."""
    return f"{_REMINDER_PREFIX}{format_time(at)}"


def is_reminder(event_name: str) -> bool:
    return event_name.startswith(_REMINDER_PREFIX)


def scheduled_time(event_name: str) -> datetime | None:
    """The due time in the name of an event; None: at once."""
    if not event_name.startswith((_SCHEDULED_PREFIX, _REMINDER_PREFIX)):
        return None
    try:
        return parse_time(event_name.partition("@")[2])
    except ValueError:
        return None


def is_request(event_name: str) -> bool:
    return event_name == OPERATION_EVENT or event_name.startswith(_SCHEDULED_PREFIX)


def request_to_json(request: EntityRequest) -> dict[str, JsonValue]:
    """Defaults are left out, except the times."""
    out: dict[str, JsonValue] = {"op": request.operation}
    if request.is_signal:
        out["signal"] = True
    if request.input is not None:
        out["input"] = request.input
    out["id"] = request.id
    if request.parent is not None:
        out["parent"] = request.parent
    if request.parent_execution is not None:
        out["parentExecution"] = request.parent_execution
    if request.due_at is not None:
        out["due"] = format_time(request.due_at)
    out["Timestamp"] = ticks_to_text(request.timestamp)
    out["Predecessor"] = ticks_to_text(request.predecessor)
    if request.lock_set:
        out["lockset"] = [{"name": entity.name, "key": entity.key} for entity in request.lock_set]
    if request.position:
        out["pos"] = request.position
    if request.parent_trace_context is not None:
        out["parentTraceContext"] = request.parent_trace_context
    return out


def request_from_json(document: Any) -> EntityRequest:
    """Unknown members are ignored.

    Raises:
        PoisonMessage: the document is not a request.
    """
    try:
        due = document.get("due")
        return EntityRequest(
            id=_text(document["id"]),
            operation=_text_or_none(document.get("op")),
            is_signal=bool(document.get("signal")),
            input=_text_or_none(document.get("input")),
            parent=_id_or_none(document.get("parent")),
            parent_execution=_id_or_none(document.get("parentExecution")),
            due_at=parse_time(due) if due else None,
            timestamp=ticks_from_text(document.get("Timestamp")),
            predecessor=ticks_from_text(document.get("Predecessor")),
            lock_set=tuple(map(_entity, document.get("lockset") or ())),
            position=_position(document.get("pos") or 0),
            parent_trace_context=_trace_context(document.get("parentTraceContext")),
        )
    except Exception as error:
        # A text may contain anything: whatever fails here, the text is at fault.
        raise PoisonMessage(f"not a request to an entity: {error!r}") from error


def request_to_text(request: EntityRequest) -> str:
    """The input of an event. Real hosts give that of an orchestration a type, and a time of which nothing depends."""
    document = request_to_json(request)
    if request.parent is not None:
        document = {TYPE: _type_of("RequestMessage"), **document, "requestTime": _offset_text(request.timestamp)}
    return compact(document)


def request_from_text(text: str | None) -> EntityRequest:
    """Raises `PoisonMessage` if the text is not a request."""
    return request_from_json(_document(text))


def release_from_text(text: str | None) -> Release:
    """Raises `PoisonMessage` if the text is not a release."""
    try:
        document = _document(text)
        return Release(parent=_text_or_none(document.get("parent")), id=_text_or_none(document.get("id")))
    except ValueError as error:
        raise PoisonMessage(f"not a release of a lock: {error}") from error


def response_text(result: str, *, is_error: bool = False) -> str:
    """A response; `result` is JSON text: of the value, or of the error message."""
    response = {TYPE: _type_of("ResponseMessage"), "result": result}
    return compact({**response, "exceptionType": _FAILURE_TYPE} if is_error else response)


def _type_of(message: str) -> str:
    return f"{_EXTENSION}.{message}, {_EXTENSION}"


def _offset_text(ticks: int) -> str:
    """As Json.NET writes a time with its offset from UTC."""
    return f"{ticks_to_text(ticks).rstrip('Z')}+00:00"


def sent_request(text: str | None) -> EntityRequest | None:
    """Reads a request from the history of its sender; None if something else was sent."""
    try:
        return request_from_text(text)
    except PoisonMessage:
        return None


def _document(text: str | None) -> Mapping[str, Any]:
    try:
        document = json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise PoisonMessage(f"not JSON: {error!r}") from error
    if not isinstance(document, dict):
        raise PoisonMessage("not a JSON object")
    return document


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    """A text; numbers and booleans are converted, as Json.NET does."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return compact(value)
    raise ValueError(f"{described(value)} is not a text")


def _id_or_none(value: Any) -> str | None:
    """The id of an execution, or of an instance to which something will be sent."""
    text = _text_or_none(value)
    if text and (problem := storable_id_problem(text)):
        raise ValueError(f"the id {problem}")
    return text


def _entity(document: Any) -> EntityId:
    entity = EntityId.of(_text(document["name"]), _text(document["key"]))
    if problem := storable_id_problem(entity.instance_id):
        raise ValueError(f"the entity id {problem}")
    return entity


def _trace_context(value: Any) -> JsonObject | None:
    """The context as it is; a value that is none is left out, because no operation may fail for it."""
    return value if isinstance(value, dict) and is_shallow(value) else None


def _position(value: Any) -> int:
    if not is_int32(value) or value < 0:
        raise ValueError(f"the position is {described(value)}, not a whole number")
    return int(value)
