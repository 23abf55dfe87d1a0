"""History events as rows of the history table, without keys and large payloads.

Pure. Rows differ from messages: enums by name, times as Edm.DateTime, nested objects as JSON text without `$type`, and
`_Timestamp`, because the service keeps `Timestamp` for itself. Mirrors DurableTask.AzureStorage.TableEntityConverter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from durablehost.core.event_check import check_event
from durablehost.core.history import (
    EVENT_TYPES,
    UNNUMBERED,
    ExecutionResumed,
    ExecutionSuspended,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.history_json import own_members, pascal_case, value_from_json, value_to_json
from durablehost.core.json_text import compact
from durablehost.core.status import RuntimeStatus
from durablehost.errors import UnreadableState
from durablehost.storage.rows.table import Column

LARGE_COLUMNS = ("Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags")
MAX_COLUMN_UTF16_UNITS = 30 * 1024

_EVENT_TYPE_BY_NAME = {event_type.__name__: event_type for event_type in EVENT_TYPES}
_JSON_MEMBERS = frozenset(
    {"orchestration_instance", "parent_instance", "tags", "parent_trace_context", "failure_details", "state"}
)
_TYPES_WITH_SHOWN_REASON = frozenset({ExecutionSuspended.__name__, ExecutionResumed.__name__})


def rewound_reason(event: HistoryEvent) -> str:
    """The reason in a row that a rewind has changed."""
    return f"Rewound: {event.type_name}"


# Rewound rows of these types keep the number of a task that is to be scheduled again. In rewound rows of other types,
# numbers left by other hosts mean nothing.
_REASONS_WITH_NUMBER = frozenset(
    f"Rewound: {event_type.__name__}" for event_type in (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated)
)


def utf16_units(text: str) -> int:
    """The length of a text as the table service counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_large(text: str) -> bool:
    """Whether a text does not fit in a column and goes to a blob."""
    # Most texts are too short for the limit even if each character is a pair: these are not counted.
    return len(text) * 2 > MAX_COLUMN_UTF16_UNITS and utf16_units(text) > MAX_COLUMN_UTF16_UNITS


def blobs_of_row(row: Mapping[str, Any]) -> dict[str, str]:
    """The names of the blobs of a row's large payloads, by column."""
    return {column: str(row[f"{column}BlobName"]) for column in LARGE_COLUMNS if f"{column}BlobName" in row}


def own_blobs(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The blobs to which nothing refers any more once a new execution has replaced this row.

    The row of the instance goes on to show the reason of a suspension.
    """
    return () if row.get("EventType") in _TYPES_WITH_SHOWN_REASON else tuple(blobs_of_row(row).values())


def row_of_event(event: HistoryEvent, execution_id: str) -> dict[str, Column]:
    """The columns of an event; members that are None have no column."""
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
    """The event in a row, without the columns that this host does not know.

    Raises:
        UnreadableState: it is not a history row.
    """
    try:
        event_type = _EVENT_TYPE_BY_NAME[row["EventType"]]
        members = {
            name: _member(name, row[column]) for name in own_members(event_type) if (column := pascal_case(name)) in row
        }
        event = event_type(
            timestamp=row["_Timestamp"],
            event_id=_event_id(event_type, row),
            is_played=row.get("IsPlayed", False),
            **members,
        )
        check_event(event)
        return event
    except Exception as error:
        # A row may contain anything, so every error is an error of the row.
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
    return value
