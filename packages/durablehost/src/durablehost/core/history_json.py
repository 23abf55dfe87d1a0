"""History events as JSON: with type names in queue messages, without them in the histories that the SDK reads.

Mirrors the JSON that Json.NET makes of DurableTask.Core.History. Members are spelled in PascalCase and follow the order
of the dataclass; `EventType` comes before an event's own members (after the few that are public fields in the
original), the members shared by all events come last. A new member of an event needs an entry here only if it is not
plain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from durablehost.core.event_check import check_event, check_instance, described, is_int32
from durablehost.core.history import (
    EVENT_TYPES,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
)
from durablehost.core.status import RuntimeStatus
from durablehost.errors import PoisonMessage
from durablehost.types import JsonObject, JsonValue

TYPE = "$type"

_EVENT_TYPE_BY_NUMBER = {event_type.type_number: event_type for event_type in EVENT_TYPES}
_SHARED = tuple(field.name for field in fields(HistoryEvent))
_OWN_MEMBERS = {
    event_type.type_number: tuple(field.name for field in fields(event_type) if field.name not in _SHARED)
    for event_type in EVENT_TYPES
}
_REQUIRED_MEMBERS = {
    event_type.type_number: frozenset(
        field.name for field in fields(event_type) if field.default is field.default_factory is MISSING
    )
    for event_type in EVENT_TYPES
}
_PASCAL = {
    name: "".join(part.capitalize() for part in name.split("_"))
    for members in (_SHARED, *_OWN_MEMBERS.values())
    for name in members
}
_PUBLIC_FIELDS: dict[type[HistoryEvent], tuple[str, ...]] = {
    ExecutionStarted: ("orchestration_instance",),
    GenericEvent: ("data",),
}
_OBJECT_TYPES = {
    "failure_details": "DurableTask.Core.FailureDetails",
    "parent_trace_context": "DurableTask.Core.Tracing.DistributedTraceContext",
}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)?", re.ASCII)

_FIRST_MOMENT = datetime.min.replace(tzinfo=timezone.utc)
_LAST_MOMENT = datetime.max.replace(tzinfo=timezone.utc)

# The year 1 may lack its zeros: on Linux, Python's `strftime` writes `datetime.min` as 1-01-01T00:00:00.
_MOMENT = re.compile(
    r"(\d{1,4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(?:(Z)|([+ -])(\d\d):?(\d\d))?",
    re.ASCII | re.IGNORECASE,
)


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC with `Z`; trailing zeros of the fraction, and the dot, are left out."""
    text = at.astimezone(timezone.utc).isoformat()[: -len("+00:00")]
    return f"{text.rstrip('0') if at.microsecond else text}Z"


def parse_time(text: str) -> datetime:
    """The reverse of `format_time`. A seventh digit, which .NET writes and Python cannot hold, is cut off.

    Raises:
        ValueError: the text is not such a time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a time in UTC, such as 2026-01-05T10:00:00.12Z")
    whole, fraction = match.groups()
    return datetime.fromisoformat(f"{whole}+00:00").replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))


def parse_moment(text: str) -> datetime | None:
    """A time as people write it, in UTC unless it has an offset; None if the text is no time.

    A blank in place of the offset's sign is a `+` that was not URL-encoded. A time that its offset moves out of the
    years 1 to 9999 becomes the first or the last moment of these.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), microsecond,
            tzinfo=timezone.utc,
        )  # fmt: skip
    except ValueError:
        return None
    try:
        return local + offset if sign == "-" else local - offset
    except OverflowError:
        return _LAST_MOMENT if sign == "-" else _FIRST_MOMENT


def own_members(event_type: type[HistoryEvent]) -> tuple[str, ...]:
    """The members that only this type has, in order."""
    return _OWN_MEMBERS[event_type.type_number]


def pascal_case(name: str) -> str:
    """`task_scheduled_id` as the wire spells it: `TaskScheduledId`."""
    return _PASCAL[name]


def event_to_json(event: HistoryEvent, *, with_types: bool = False) -> dict[str, JsonValue]:
    """The event as a JSON object; `with_types` begins every object with the `$type` that a queue message needs."""
    event_type = type(event)
    public = _PUBLIC_FIELDS.get(event_type, ())
    out: dict[str, JsonValue] = {}
    if with_types:
        out[TYPE] = f"DurableTask.Core.History.{event.type_name.removesuffix('Event')}Event"
    for name in public:
        out[_PASCAL[name]] = value_to_json(name, getattr(event, name), with_types=with_types)
    out["EventType"] = event.type_number
    for name in own_members(event_type):
        if name not in public:
            out[_PASCAL[name]] = value_to_json(name, getattr(event, name), with_types=with_types)
    out["EventId"] = event.event_id
    out["IsPlayed"] = event.is_played
    out["Timestamp"] = format_time(event.timestamp)
    return out


def event_from_json(document: JsonValue) -> HistoryEvent:
    """Reads both forms; type names and unknown members are ignored.

    Raises:
        PoisonMessage: the document is not a history event.
    """
    try:
        obj = _object(document)
        event_type = _event_type(obj["EventType"])
        members = {
            name: value_from_json(name, obj[_PASCAL[name]])
            for name in own_members(event_type)
            if _PASCAL[name] in obj or name in _REQUIRED_MEMBERS[event_type.type_number]
        }
        event = event_type(
            timestamp=_time(obj["Timestamp"]),
            event_id=obj.get("EventId", 0),  # Json.NET leaves a missing one at 0
            is_played=obj.get("IsPlayed", False),
            **members,
        )
        check_event(event)
        return event
    except Exception as error:
        # A text may contain anything: whatever fails here, the text is at fault.
        raise PoisonMessage(f"not a history event: {reason_of(error)}") from error


def _object(document: JsonValue) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise ValueError(f"it is {described(document)}, not an object")
    return document


def _event_type(number: Any) -> type[HistoryEvent]:
    if not is_int32(number) or number not in _EVENT_TYPE_BY_NUMBER:
        raise ValueError(f"EventType is {described(number)}, not that of a known event")
    return _EVENT_TYPE_BY_NUMBER[number]


def _time(text: Any) -> datetime:
    if not isinstance(text, str):
        raise ValueError(f"a time is {described(text)}, not a text")
    return parse_time(text)


def reason_of(error: Exception) -> str:
    """The text of an error that was raised while a document was read."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    return str(error) if isinstance(error, ValueError) else repr(error)


def instance_to_json(instance: OrchestrationInstance, *, with_types: bool = False) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {TYPE: "DurableTask.Core.OrchestrationInstance"} if with_types else {}
    return {**out, "InstanceId": instance.instance_id, "ExecutionId": instance.execution_id}


def instance_from_json(obj: Mapping[str, Any]) -> OrchestrationInstance:
    """Raises `ValueError` or `KeyError` if the object does not name a storable instance."""
    if not isinstance(obj, Mapping):
        raise ValueError(f"the instance is {described(obj)}, not an object")
    instance = OrchestrationInstance(instance_id=obj["InstanceId"], execution_id=obj.get("ExecutionId"))
    check_instance(instance)
    return instance


def value_to_json(name: str, value: Any, *, with_types: bool = False) -> JsonValue:
    """One member of an event, by its Python name."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, RuntimeStatus):
        return value.number
    if isinstance(value, OrchestrationInstance):
        return instance_to_json(value, with_types=with_types)
    if isinstance(value, ParentInstance):
        return _parent_to_json(value, with_types=with_types)
    if with_types and name in _OBJECT_TYPES and isinstance(value, Mapping):
        return {TYPE: _OBJECT_TYPES[name], **value}
    return cast(JsonValue, value)


def value_from_json(name: str, value: Any) -> Any:
    """The reverse of `value_to_json`."""
    if value is None:
        return None
    read = _READERS.get(name)
    return read(value) if read else value


def _parent_to_json(parent: ParentInstance, *, with_types: bool) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {TYPE: "DurableTask.Core.ParentInstance"} if with_types else {}
    return {
        **out,
        "Name": parent.name,
        "OrchestrationInstance": instance_to_json(parent.orchestration_instance, with_types=with_types),
        "TaskScheduleId": parent.task_schedule_id,
        "Version": parent.version,
    }


def _parent_from_json(obj: Mapping[str, Any]) -> ParentInstance:
    name, task_schedule_id, version = obj.get("Name"), obj["TaskScheduleId"], obj.get("Version")
    if not is_int32(task_schedule_id):
        raise ValueError(f"the parent's TaskScheduleId is {described(task_schedule_id)}, not a whole number of 32 bits")
    for text in (name, version):
        if not isinstance(text, (str, type(None))):
            raise ValueError(f"the parent's name or version is {described(text)}, not a text or null")
    return ParentInstance(
        name=name,
        orchestration_instance=instance_from_json(obj["OrchestrationInstance"]),
        task_schedule_id=task_schedule_id,
        version=version,
    )


def _without_types(value: JsonValue) -> JsonValue:
    if isinstance(value, Mapping):
        return {key: _without_types(member) for key, member in value.items() if key != TYPE}
    return value


def _object_without_types(value: JsonObject) -> JsonObject:
    return cast(JsonObject, _without_types(value))


_READERS: dict[str, Callable[[Any], Any]] = {
    "orchestration_instance": instance_from_json,
    "parent_instance": _parent_from_json,
    "orchestration_status": RuntimeStatus.of_number,
    "fire_at": _time,
    "scheduled_start_time": _time,
    "tags": _object_without_types,
    "parent_trace_context": _object_without_types,
    "failure_details": _without_types,
}
