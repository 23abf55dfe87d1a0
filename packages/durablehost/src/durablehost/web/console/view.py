"""Shows instances and histories as the console needs them: compact JSON, long texts cut.

Pure. A text is `{"text": its beginning, "length": of the whole}`, because a page with 5,000 activities must not load
their results. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from durablehost.core.history import (
    ContinueAsNew,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.history_json import format_time
from durablehost.core.json_text import compact
from durablehost.core.progress import progress_of
from durablehost.engine.ports import InstanceRecord
from durablehost.types import JsonValue

# In characters: in lists and histories, and where one text is shown alone.
SHORT = 200
LONG = 100_000
# Where the results of an instance are shown: those of 10,000 chunks are 2,000,000.
WHOLE = 4_000_000

_KINDS: Mapping[type[HistoryEvent], str] = {
    ExecutionStarted: "started",
    TaskScheduled: "activity",
    SubOrchestrationInstanceCreated: "sub-orchestration",
    TimerCreated: "timer",
    EventRaised: "event",
    EventSent: "sent event",
    ExecutionSuspended: "suspended",
    ExecutionResumed: "resumed",
    ExecutionTerminated: "terminated",
    ExecutionRewound: "rewound",
    ContinueAsNew: "continued as new",
    ExecutionCompleted: "ended",
}
_REQUESTS = (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated)
_RESULTS = (TaskCompleted, SubOrchestrationInstanceCompleted)
_FAILURES = (TaskFailed, SubOrchestrationInstanceFailed)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a history: a request with its result, or a single event."""

    event: HistoryEvent
    end: HistoryEvent | None = None


def entries_of(events: Sequence[HistoryEvent]) -> list[Entry]:
    """The lines of a history in the order of their first events; a line keeps its place while the history grows."""
    ends: dict[int, HistoryEvent] = {}
    for event in events:
        if isinstance(event, (*_RESULTS, *_FAILURES)):
            ends.setdefault(event.task_scheduled_id, event)
        elif isinstance(event, TimerFired):
            ends.setdefault(event.timer_id, event)
    return [Entry(event=event, end=_end_of(event, ends)) for event in events if type(event) in _KINDS]


def _end_of(event: HistoryEvent, ends: Mapping[int, HistoryEvent]) -> HistoryEvent | None:
    return ends.get(event.event_id) if isinstance(event, _REQUESTS) else None


def history_pieces(entries: Iterable[Entry], starts: Mapping[int, datetime]) -> Iterator[str]:
    """The JSON text of the lines, piece by piece; `starts`: when activities began to run, by task id."""
    yield '{"entries":['
    separator = ""
    for entry in entries:
        yield separator + compact(show_entry(entry, starts.get(entry.event.event_id), most=SHORT))
        separator = ","
    yield "]}"


def result_pieces(entries: Iterable[Entry], most: int) -> Iterator[str]:
    """The JSON text of the whole results of completed tasks, piece by piece, up to `most` characters in all.

    `left` counts the results that have no room.
    """
    yield '{"results":['
    separator, room, left = "", most, 0
    for entry in entries:
        result = entry.end.result if isinstance(entry.end, _RESULTS) else None
        if result is None:
            continue
        if len(result) > room:
            left += 1
            continue
        room -= len(result)
        yield separator + compact(result)
        separator = ","
    yield f'],"left":{left}}}'


def show_entry(entry: Entry, began: datetime | None, *, most: int) -> JsonValue:
    """A line; its texts are cut after `most` characters."""
    event, end = entry.event, entry.end
    shown: dict[str, JsonValue] = {
        "kind": _KINDS[type(event)],
        "name": getattr(event, "name", None),
        "at": format_time(event.timestamp),
    }
    if isinstance(event, _REQUESTS):
        shown["task"] = event.event_id
    if isinstance(event, TaskScheduled) and began is not None and _is_between(event, began, end):
        shown["began"] = format_time(began)
    if isinstance(event, TimerCreated):
        shown["fireAt"] = format_time(event.fire_at)
    if isinstance(event, (SubOrchestrationInstanceCreated, EventSent)):
        shown["instanceId"] = event.instance_id
    if isinstance(event, ExecutionCompleted):
        shown["status"] = event.orchestration_status.value
    if end is not None:
        shown["ended"] = format_time(_ended_at(end))
        shown["failed"] = isinstance(end, _FAILURES)
    texts = {
        "input": getattr(event, "input", None) or getattr(event, "reason", None),
        "result": getattr(end, "result", None) or getattr(event, "result", None),
        "error": getattr(end, "reason", None),
        "details": getattr(end, "details", None),
    }
    shown.update({name: text_of(text, most) for name, text in texts.items() if text})
    return shown


def _ended_at(end: HistoryEvent) -> datetime:
    """When a request ended. The event of a timer is written when the timer is set."""
    return max(end.timestamp, end.fire_at) if isinstance(end, TimerFired) else end.timestamp


def _is_between(request: TaskScheduled, began: datetime, end: HistoryEvent | None) -> bool:
    """Whether this can be the start of this request: task ids are used again by the next execution."""
    return request.timestamp <= began and (end is None or began <= end.timestamp)


def show_row(record: InstanceRecord) -> dict[str, JsonValue]:
    """An instance without its payloads, as a list shows it."""
    progress = progress_of(record.custom_status)
    return {
        "id": record.instance_id,
        "execution": record.execution_id,
        "name": record.name,
        "status": record.runtime_status.value,
        "created": format_time(record.created_at),
        "updated": format_time(record.last_updated_at),
        "completed": format_time(record.completed_at) if record.completed_at else None,
        "customStatus": text_of(record.custom_status, SHORT),
        "progress": asdict(progress) if progress else None,
        "parentId": record.parent_id,
        "version": record.version or None,
        "problem": record.problem,
    }


def show_instance(record: InstanceRecord) -> dict[str, JsonValue]:
    """An instance with its payloads."""
    return {
        **show_row(record),
        "customStatus": text_of(record.custom_status, LONG),
        "input": text_of(record.input, LONG),
        "output": text_of(record.output, LONG),
    }


def text_of(text: str | None, most: int) -> JsonValue:
    return None if text is None else {"text": text[:most], "length": len(text)}
