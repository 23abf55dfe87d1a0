"""The input of user code, and the form in which its values are stored: the shim protocol of the durable extension.

Mirrors OrchestrationTriggerAttributeBindingProvider and OutOfProcOrchestrationShim. Python values are already JSON text
when they reach a host, so several stored payloads are JSON text within JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta

from durablehost.core.history import ExecutionStarted, HistoryEvent
from durablehost.core.history_json import event_to_json
from durablehost.core.json_text import compact, parse, parse_or_text
from durablehost.types import JsonValue

# The SDK splits longer timers into pieces of the second length: a message cannot be delayed for more than 7 days.
_MAXIMUM_SHORT_TIMER = "6.00:00:00"
LONG_TIMER_INTERVAL = timedelta(days=3)

_KINDS = {list: "a list", bool: "a boolean", int: "a number", float: "a number"}
_LONGEST_EXAMPLE = 60
_EVENTS_PER_PIECE = 32
_LARGE_PIECE = 1024 * 1024

_encode = json.JSONEncoder().encode


def orchestrator_payload(started: ExecutionStarted, history: Sequence[HistoryEvent]) -> Iterator[str]:
    """The `context` of an orchestrator function, in pieces: a history may be hundreds of megabytes.

    `history` ends with the events of the current episode.
    """
    parent = started.parent_instance
    rest = _encode(
        {
            "input": _given_input(started.input),
            "instanceId": started.orchestration_instance.instance_id,
            "isReplaying": started.is_played,
            "parentInstanceId": parent.orchestration_instance.instance_id if parent else None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": f"{LONG_TIMER_INTERVAL.days}.00:00:00",
            "maximumShortTimerDuration": _MAXIMUM_SHORT_TIMER,
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        }
    )
    lead = '{"history": ['
    position, count = 0, _EVENTS_PER_PIECE
    while position < len(history):
        piece = _encode([event_to_json(event) for event in history[position : position + count]])
        yield lead + piece[1:-1]
        lead = ", "
        position += count
        if len(piece) > _LARGE_PIECE:
            count = 1
    yield ("" if history else lead) + "], " + rest[1:]


def wrap_activity_input(text: str | None) -> str:
    """The action's `input` as a work item stores it: an array with exactly one element."""
    return compact([text])


def wrap_http_request(request: str) -> str:
    """The request of `call_http` as a work item stores it: an array with the object itself, not with its text."""
    return f"[{request}]"


def activity_argument(stored: str | None) -> str:
    """The JSON text that an activity function gets for the stored input of its request."""
    value = parse_or_text(stored)
    if isinstance(value, list) and len(value) == 1:
        return _as_text(value[0]) or "null"
    return stored or "null"


def wrap_child_input(text: str | None) -> str | None:
    """The action's `input` as the start of a sub-orchestration stores it: a JSON string."""
    return None if text is None else compact(text)


def normalize_result(text: str | None) -> str | None:
    """The return value of an activity, as its completion stores it: compact JSON, None for `null`."""
    value = parse_or_text(text)
    try:
        return None if value is None else compact(value)
    except RecursionError:
        return text  # nested too deep to be written, though not to be read


def input_problem(stored: str) -> str | None:
    """Why the SDK's `get_input()` will fail on the input of an instance, and what to send; None if it will not."""
    value = parse_or_text(stored)
    if value is None or isinstance(value, dict) or (isinstance(value, str) and _is_json(value)):
        return None
    example = f", such as {compact(stored)}" if len(stored) <= _LONGEST_EXAMPLE else ""
    kind = "text that is not JSON" if isinstance(value, str) else _KINDS[type(value)]
    return f"get_input() fails on {kind}, here as in Azure. Send an object, or JSON text in a JSON string{example}"


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except (ValueError, RecursionError):
        return False
    return True


def _given_input(stored: str | None) -> JsonValue:
    """The stored input as the SDK gets it: an object as its text, another value as it is.

    The SDK parses it, so it accepts a JSON string that contains JSON, and fails on other values. The members of a list
    are left out: they change nothing, and may be nested too deeply to be written.
    """
    if stored is None or stored.lstrip().startswith("{"):
        return stored
    value = parse_or_text(stored)
    return [] if isinstance(value, list) else value


def _as_text(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return compact(value)
