"""History events as rows of the history table, keys and large payloads aside.

Pure. Rows differ from messages: enums by name, times as Edm.DateTime, nested objects as JSON text without `$type`, and
`_Timestamp`, because the service keeps `Timestamp` for itself. Mirrors DurableTask.AzureStorage.TableEntityConverter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from devhost.core.event_check import check_event
from devhost.core.history import (
    EVENT_TYPES,
    UNNUMBERED,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from devhost.core.history_json import own_members, pascal_case, value_from_json, value_to_json
from devhost.core.json_text import compact
from devhost.core.status import RuntimeStatus
from devhost.errors import UnreadableState
from devhost.storage.entity_table import Column

LARGE_COLUMNS = ("Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags")
MAX_COLUMN_UTF16_UNITS = 30 * 1024

_EVENT_TYPE_BY_NAME = {event_type.__name__: event_type for event_type in EVENT_TYPES}
_JSON_MEMBERS = frozenset(
    {"orchestration_instance", "parent_instance", "tags", "parent_trace_context", "failure_details", "state"}
)


def rewound_reason(event: HistoryEvent) -> str:
    """What a row says that a rewind has changed."""
    return f"Rewound: {event.type_name}"


# Rewound rows of these types keep the number of a task that is to be scheduled again. Other hosts leave numbers in rows
# of other types as well, where they mean nothing.
_REASONS_WITH_NUMBER = frozenset(
    f"Rewound: {event_type.__name__}" for event_type in (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated)
)


def utf16_units(text: str) -> int:
    """The length of a text as the table service counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_large(text: str) -> bool:
    """True where a text does not fit a column and goes to a blob."""
    # Short texts are the rule: no need to count what cannot reach the limit even in pairs.
    return len(text) * 2 > MAX_COLUMN_UTF16_UNITS and utf16_units(text) > MAX_COLUMN_UTF16_UNITS


def row_of_event(event: HistoryEvent, execution_id: str) -> dict[str, Column]:
    """The columns of an event; what is None has none."""
    row: dict[str, Column] = {
        "EventId": event.event_id,
        "IsPlayed": event.is_played,
        "_Timestamp": event.timestamp,
        "EventType": event.type_name,
        "ExecutionId": execution_id,
    }
    for name in own_members(type(event)):
        column = _column(name, getattr(event, name))
        if column is not None:
            row[pascal_case(name)] = column
    return row


def _column(name: str, value: Any) -> Column | None:
    if name in _JSON_MEMBERS:
        return compact(value_to_json(name, value))  # null is the text `null`, as newer hosts write it
    if isinstance(value, RuntimeStatus):
        return value.value
    return value  # type: ignore[no-any-return]


def event_of_row(row: Mapping[str, Any]) -> HistoryEvent:
    """The event that is stored in a row, with columns this host does not know left out.

    Raises:
        UnreadableState: it is not a history row.
    """
    try:
        event_type = _EVENT_TYPE_BY_NAME[row["EventType"]]
        members = {
            name: _member(name, row[column]) for name in own_members(event_type) if (column := pascal_case(name)) in row
        }
        event = event_type(
            timestamp=plain_time(row["_Timestamp"]),
            event_id=_event_id(event_type, row),
            is_played=row.get("IsPlayed", False),
            **members,
        )
        check_event(event)
        return event
    except Exception as error:
        # A row may hold anything; whatever it breaks, it is the row that is wrong.
        raise UnreadableState(
            f"History row {row.get('PartitionKey')}/{row.get('RowKey')} is unreadable: {error!r}"
        ) from error


def _event_id(event_type: type[HistoryEvent], row: Mapping[str, Any]) -> Any:
    if event_type is GenericEvent and row.get("Reason") not in _REASONS_WITH_NUMBER:
        return UNNUMBERED
    return row.get("EventId", 0)


def _member(name: str, value: Any) -> Any:
    if name in _JSON_MEMBERS:
        return value_from_json(name, json.loads(value))
    if name == "orchestration_status":
        return RuntimeStatus(value)
    if isinstance(value, datetime):
        return plain_time(value)
    return value


def plain_time(value: datetime) -> datetime:
    """A time without the SDK's own datetime class, which keeps the stored text beside it."""
    utc = value.astimezone(timezone.utc)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, timezone.utc)
