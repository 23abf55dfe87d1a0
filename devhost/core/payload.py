"""What user code is handed and how its values are wrapped for storage: the shim protocol of the durable extension.

Mirrors OrchestrationTriggerAttributeBindingProvider and OutOfProcOrchestrationShim. Python values are JSON text already
when they reach a host, so several stored payloads are JSON text within JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from devhost.core.history import ExecutionStarted, HistoryEvent
from devhost.core.history_json import event_to_json
from devhost.core.json_text import compact, parse_or_text
from devhost.types import JsonValue

# Longer timers are split by the SDK into pieces of the second length: a queue message cannot wait for more than 7 days.
_MAXIMUM_SHORT_TIMER = "6.00:00:00"
_LONG_TIMER_INTERVAL = "3.00:00:00"

_EVENTS_PER_PIECE = 32
_LARGE_PIECE = 1024 * 1024

_encode = json.JSONEncoder().encode


def orchestrator_payload(started: ExecutionStarted, history: Sequence[HistoryEvent]) -> Iterator[str]:
    """The `context` of an orchestrator function, in pieces: a history may be hundreds of megabytes.

    `history` ends with the events of the present episode.
    """
    parent = started.parent_instance
    rest = _encode(
        {
            "input": _text_of(started.input),
            "instanceId": started.orchestration_instance.instance_id,
            "isReplaying": started.is_played,
            "parentInstanceId": parent.orchestration_instance.instance_id if parent else None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": _LONG_TIMER_INTERVAL,
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
    """What an activity returned, as its completion stores it: compact JSON, and nothing at all for `null`."""
    value = parse_or_text(text)
    try:
        return None if value is None else compact(value)
    except RecursionError:
        return text  # nested as deep as can be read, and deeper than can be written


def _text_of(stored: str | None) -> str | None:
    """The stored input as the SDK reads it: it expects JSON text, so what is not a JSON string is passed on as text."""
    if stored is None or stored.startswith(("{", "[")):
        return stored
    return _as_text(parse_or_text(stored))


def _as_text(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return compact(value)
