"""Checks history events that were read: every member has its type, every number and id is in its range.

Queues and tables may contain anything. An event that passes cannot break the code that uses it; one that fails is
reported as an unreadable message or row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from durablehost.core.history import EVENT_TYPES, HistoryEvent, OrchestrationInstance, ParentInstance
from durablehost.core.ids import storable_id_problem
from durablehost.core.status import RuntimeStatus

# Json.NET reads nothing that is nested deeper.
MAX_DEPTH = 64

_MAX_INT32 = 2**31 - 1
_JSON_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def check_event(event: HistoryEvent) -> None:
    """Raises `ValueError`, naming the member, if a member has the wrong type or is out of range."""
    for name, (is_met, wanted) in _RULES[type(event)].items():
        value = getattr(event, name)
        if not is_met(value):
            raise ValueError(f"{_on_the_wire(name)} is {described(value)}, not {wanted}")


def _on_the_wire(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def check_instance(instance: OrchestrationInstance) -> None:
    """Raises `ValueError` if the instance id or the execution id cannot be stored."""
    for name, value in (("instance id", instance.instance_id), ("execution id", instance.execution_id)):
        if value is None and name == "execution id":
            continue
        if not isinstance(value, str):
            raise ValueError(f"the {name} is {described(value)}, not a text")
        if value and (problem := storable_id_problem(value)):
            raise ValueError(f"the {name} {problem}")
    if not instance.instance_id:
        raise ValueError("the instance id is empty")


def described(value: Any) -> str:
    """The kind of a JSON value, and the value itself if it is short."""
    if value is None:
        return "null"
    kind = _JSON_NAMES.get(type(value), f"a {type(value).__name__}")
    shown = ascii(value) if isinstance(value, (str, bool, float)) or (isinstance(value, int) and value < 10**30) else ""
    return f"{kind} ({shown})" if 0 < len(shown) <= 60 else kind


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_int32(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_MAX_INT32 - 1 <= value <= _MAX_INT32


def is_shallow(value: Any, depth: int = MAX_DEPTH) -> bool:
    """True if a JSON value is nested no deeper than this."""
    if isinstance(value, Mapping):
        return depth > 0 and all(is_shallow(each, depth - 1) for each in value.values())
    if isinstance(value, (list, tuple)):
        return depth > 0 and all(is_shallow(each, depth - 1) for each in value)
    return True


def _is_a(wanted: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, wanted)


_Rule = tuple[Callable[[Any], bool], str]

# By the annotation of the member.
_BY_ANNOTATION: dict[str, _Rule] = {
    "str": (is_text, "a text"),
    "int": (is_int32, "a whole number of 32 bits"),
    "bool": (_is_a(bool), "a boolean"),
    "datetime": (_is_a(datetime), "a time"),
    "RuntimeStatus": (_is_a(RuntimeStatus), "a status"),
    "OrchestrationInstance": (_is_a(OrchestrationInstance), "an instance"),
    "ParentInstance": (_is_a(ParentInstance), "a parent"),
    "JsonObject": (
        lambda value: isinstance(value, Mapping) and is_shallow(value),
        f"an object nested no deeper than {MAX_DEPTH}",
    ),
    "JsonValue": (is_shallow, f"JSON nested no deeper than {MAX_DEPTH}"),
}


def _rule(annotation: str) -> _Rule:
    kind, _, optional = annotation.partition(" | ")
    is_met, wanted = _BY_ANNOTATION[kind]
    return (lambda value: value is None or is_met(value), f"{wanted} or null") if optional else (is_met, wanted)


_RULES: dict[type[HistoryEvent], dict[str, _Rule]] = {
    event_type: {field.name: _rule(str(field.type)) for field in fields(event_type)} for event_type in EVENT_TYPES
}
