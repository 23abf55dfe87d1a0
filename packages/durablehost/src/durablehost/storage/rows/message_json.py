"""Task messages as the text of queue messages.

Pure. Mirrors DurableTask.AzureStorage.MessageData as Json.NET writes it: `$type` comes first in every object but the
sender, and the members are in the order of a real host. The text is ASCII without characters that XML escapes, so its
length is the one that the queue service counts.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from durablehost.core.event_check import described, is_int32
from durablehost.core.history import ExecutionStarted, OrchestrationInstance, TaskScheduled
from durablehost.core.history_json import (
    TYPE,
    event_from_json,
    event_to_json,
    format_time,
    instance_from_json,
    instance_to_json,
    parse_time,
    reason_of,
)
from durablehost.core.messages import TaskMessage
from durablehost.errors import PoisonMessage
from durablehost.types import JsonValue

MAX_QUEUE_TEXT_BYTES = 45 * 1024

_ENVELOPE_TYPE = "DurableTask.AzureStorage.MessageData"
_TEXT_TYPE = "[System.String, System.Private.CoreLib]"
_TAGS_TYPE = f"System.Collections.Generic.Dictionary`2[{_TEXT_TYPE},{_TEXT_TYPE}]"
_NO_ACTIVITY_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message with its sequence number: the process of the sender counts its messages."""

    message: TaskMessage
    sequence_number: int


@dataclass(frozen=True)
class OffloadedEnvelope:
    """A reference to an envelope in a blob, by its name in the container of large messages."""

    blob_name: str


def envelope_to_text(message: TaskMessage, *, activity_id: str, sequence_number: int) -> str:
    envelope: dict[str, JsonValue] = {
        TYPE: _ENVELOPE_TYPE,
        "ActivityId": activity_id,
        "TaskMessage": _task_message_to_json(message),
        "CompressedBlobName": None,
        "SequenceNumber": sequence_number,
    }
    if message.episode is not None:
        envelope["Episode"] = message.episode
    if message.request_time is not None:
        # Only durablehost knows this member: other hosts skip it.
        envelope["RequestTime"] = format_time(message.request_time)
    sender = message.sender
    envelope["Sender"] = {
        "InstanceId": sender.instance_id if sender else "",
        "ExecutionId": (sender.execution_id or "") if sender else "",
    }
    envelope["SerializableTraceContext"] = None
    return _to_text(envelope)


def wrapper_to_text(blob_name: str) -> str:
    """The text of a queue message that refers to an envelope in a blob."""
    return _to_text(
        {
            TYPE: _ENVELOPE_TYPE,
            "ActivityId": _NO_ACTIVITY_ID,
            "TaskMessage": None,
            "CompressedBlobName": blob_name,
            "SequenceNumber": 0,
            "Sender": None,
            "SerializableTraceContext": None,
        }
    )


def envelope_from_text(text: str) -> Envelope | OffloadedEnvelope:
    """Reads a queue message of this host or a real one, in plain or Base64 text.

    Raises:
        PoisonMessage: the text is not a message.
    """
    try:
        envelope = json.loads(_decoded(text))
        if blob_name := envelope.get("CompressedBlobName"):
            return OffloadedEnvelope(_checked_blob_name(blob_name))
        return Envelope(message=_message_from_json(envelope), sequence_number=_sequence_number(envelope))
    except PoisonMessage:
        raise
    except Exception as error:
        # A queue may contain anything, so every error is an error of the text.
        raise PoisonMessage(f"not a task message: {reason_of(error)}") from error


def is_request_envelope(text: str) -> bool:
    """Whether a text is an envelope of a task message, which may be unreadable itself."""
    try:
        return isinstance(json.loads(_decoded(text))["TaskMessage"], Mapping)
    except Exception:
        return False


def task_of_request(text: str) -> tuple[OrchestrationInstance, int] | None:
    """The instance and task id in an otherwise unreadable activity request, if they can be read."""
    try:
        task_message = json.loads(_decoded(text))["TaskMessage"]
        target = instance_from_json(task_message["OrchestrationInstance"])
        task_id = task_message["Event"]["EventId"]
    except Exception:
        return None
    return (target, task_id) if is_int32(task_id) and task_id >= 0 else None


def _checked_blob_name(name: Any) -> str:
    if not isinstance(name, str):
        raise PoisonMessage(f"CompressedBlobName is {described(name)}, not a text")
    name.encode("utf-8")
    return name


def _to_text(envelope: JsonValue) -> str:
    text = json.dumps(envelope, separators=(",", ":"))
    # `translate` would need seconds for a large text that contains one of these.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _decoded(text: str) -> str:
    if text.lstrip().startswith("{"):
        return text
    try:
        return base64.b64decode(text, validate=True).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise PoisonMessage(f"neither JSON nor Base64 of it: {error}") from error


def _task_message_to_json(message: TaskMessage) -> dict[str, JsonValue]:
    return {
        TYPE: "DurableTask.Core.TaskMessage",
        "Event": event_to_json(message.event, with_types=True),
        "SequenceNumber": 0,
        "OrchestrationInstance": instance_to_json(message.target, with_types=True),
        "OrchestrationExecutionContext": _context_to_json(message),
    }


def _context_to_json(message: TaskMessage) -> JsonValue:
    event = message.event
    is_child_start = isinstance(event, ExecutionStarted) and event.parent_instance is not None
    if not (is_child_start or isinstance(event, TaskScheduled)):
        return None
    tags = event.tags if isinstance(event, ExecutionStarted) else None
    return {
        TYPE: "DurableTask.Core.OrchestrationExecutionContext",
        "OrchestrationTags": {TYPE: _TAGS_TYPE, **(tags or {})},
    }


def _message_from_json(envelope: Mapping[str, Any]) -> TaskMessage:
    task_message = envelope["TaskMessage"]
    event = event_from_json(task_message["Event"])
    target = instance_from_json(task_message["OrchestrationInstance"])
    return TaskMessage(
        event=event,
        target=target,
        sender=_sender_from_json(envelope.get("Sender")),
        episode=_number_or_none(envelope, "Episode"),
        request_time=_time_or_none(envelope, "RequestTime"),
    )


def _number_or_none(envelope: Mapping[str, Any], name: str) -> int | None:
    value = envelope.get(name)
    if value is None or is_int32(value):
        return value
    raise PoisonMessage(f"{name} is {described(value)}, not a whole number")


def _time_or_none(envelope: Mapping[str, Any], name: str) -> datetime | None:
    value = envelope.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        return parse_time(value)
    raise PoisonMessage(f"{name} is {described(value)}, not a time")


def _sequence_number(envelope: Mapping[str, Any]) -> int:
    value = envelope.get("SequenceNumber") or 0
    if not isinstance(value, int):
        raise PoisonMessage(f"SequenceNumber is {described(value)}, not a whole number")
    return value


def _sender_from_json(sender: Mapping[str, Any] | None) -> OrchestrationInstance | None:
    if not sender or not sender.get("InstanceId"):
        return None
    return instance_from_json({**sender, "ExecutionId": sender.get("ExecutionId") or None})
