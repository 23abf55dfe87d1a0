"""What is said to entities and what they answer: requests, releases of locks and responses, with their JSON.

Mirrors RequestMessage, ReleaseMessage and ResponseMessage of the durable extension. Members keep the order of the
original: other hosts look for `id` behind no more than `op`, `signal` and `input`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devhost.core.event_check import described, is_int32
from devhost.core.history_json import format_time, parse_time
from devhost.core.ids import EntityId, storable_id_problem
from devhost.core.json_text import compact
from devhost.core.ticks import NO_TIME, ticks_from_text, ticks_to_text
from devhost.errors import PoisonMessage
from devhost.types import JsonValue

OPERATION_EVENT = "op"
RELEASE_EVENT = "release"
LOCK_GRANTED = "Lock Acquisition Completed"

_SCHEDULED_PREFIX = f"{OPERATION_EVENT}@"
# The type of every failure that user code of the SDKs for other languages than .NET reports.
_FAILURE_TYPE = "Error"
# The namespace in which the original makes the ids of requests.
_ID_NAMESPACE = bytes.fromhex("9e9529595e334daf827f2fa12937b875")


@dataclass(frozen=True, kw_only=True)
class Request:
    """An operation that an entity is asked for, or, with a `lock_set`, a lock on several entities one after another.

    `input` is the JSON text that the operation gets. A request has no `parent` where a client sent it. `timestamp` and
    `predecessor` are ticks by which requests of one sender are put in order, `NO_TIME` where they take no part.
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

    @property
    def is_lock(self) -> bool:
        return bool(self.lock_set)


@dataclass(frozen=True, kw_only=True)
class Release:
    """The end of a critical section of `parent`."""

    parent: str | None


def request_id(instance_id: str, execution_id: str, task_id: int) -> str:
    """The id under which an orchestration asks. A UUID of version 5, always the same for the same task.

    The original takes the time in place of the execution: a turn that is repeated after a crash asks anew there.
    """
    name = f"{instance_id}_{execution_id}_{task_id}".encode()
    digest = bytearray(hashlib.sha1(_ID_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def scheduled_name(at: datetime) -> str:
    """The name of the event that brings a request not before this time."""
    return f"{_SCHEDULED_PREFIX}{format_time(at)}"


def scheduled_time(event_name: str) -> datetime | None:
    """The time in the name of an event, None for one that is to come at once."""
    if not event_name.startswith(_SCHEDULED_PREFIX):
        return None
    try:
        return parse_time(event_name[len(_SCHEDULED_PREFIX) :])
    except ValueError:
        return None


def is_request(event_name: str) -> bool:
    return event_name == OPERATION_EVENT or event_name.startswith(_SCHEDULED_PREFIX)


def request_to_json(request: Request) -> dict[str, JsonValue]:
    """Defaults are left out, but for the times."""
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
    return out


def request_from_json(document: Any) -> Request:
    """Unknown members are ignored.

    Raises:
        PoisonMessage: the document is not a request.
    """
    try:
        due = document.get("due")
        return Request(
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
        )
    except Exception as error:
        # A text may hold anything; whatever it breaks, it is the text that is wrong.
        raise PoisonMessage(f"not a request to an entity: {error!r}") from error


def request_to_text(request: Request) -> str:
    return compact(request_to_json(request))


def request_from_text(text: str | None) -> Request:
    """Raises `PoisonMessage` where the text is not a request."""
    return request_from_json(_document(text))


def release_from_text(text: str | None) -> Release:
    """Raises `PoisonMessage` where the text is not a release."""
    try:
        return Release(parent=_text_or_none(_document(text).get("parent")))
    except ValueError as error:
        raise PoisonMessage(f"not a release of a lock: {error}") from error


def response_text(result: str, *, is_error: bool = False) -> str:
    """A response; `result` is JSON text, for an error that of its message."""
    return compact({"result": result, "exceptionType": _FAILURE_TYPE} if is_error else {"result": result})


def sent_request(text: str | None) -> Request | None:
    """A request as the history of its sender records it; None where that is something else that was sent."""
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
    """A text; numbers and booleans become one, as Json.NET reads them."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return compact(value)
    raise ValueError(f"{described(value)} is not a text")


def _id_or_none(value: Any) -> str | None:
    """The id of an instance, which something is to be sent to, or of an execution."""
    text = _text_or_none(value)
    if text and (problem := storable_id_problem(text)):
        raise ValueError(f"the id {problem}")
    return text


def _entity(document: Any) -> EntityId:
    entity = EntityId.of(_text(document["name"]), _text(document["key"]))
    if problem := storable_id_problem(entity.instance_id):
        raise ValueError(f"the entity id {problem}")
    return entity


def _position(value: Any) -> int:
    if not is_int32(value) or value < 0:
        raise ValueError(f"the position is {described(value)}, not a whole number")
    return int(value)
