"""Shows an instance in the management API: its record, and its history in the form made for people.

Mirrors HttpApiHandler.GetStatusResponsePayload and DurableClient.ConvertToDurableOrchestrationStatus (the rewriting of
the history). Members keep the order of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from durablehost.core.history_json import event_to_json, format_time
from durablehost.core.json_text import compact
from durablehost.core.messages import completed_task_id
from durablehost.engine.ports import InstanceRecord
from durablehost.web.stored import NULL, json_array, json_object, shown_json

_SCHEDULING = (TaskScheduled, SubOrchestrationInstanceCreated)
_COMPLETING = (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
_WITH_RESULT = (TaskCompleted, SubOrchestrationInstanceCompleted, ExecutionCompleted)
_HIDDEN = (OrchestratorStarted, OrchestratorCompleted)
_ABSENT_IF_NULL = ("version", "parentInstanceId")
_ALWAYS_REMOVED = ("EventId", "IsPlayed")
_REMOVED = {
    ExecutionStarted: ("OrchestrationInstance", "ParentInstance", "Name", "Version", "Tags"),
    TaskScheduled: ("Version",),
    SubOrchestrationInstanceCreated: ("Version",),
}


@dataclass(frozen=True, kw_only=True)
class HistoryOptions:
    """Which payloads a history shows."""

    with_input: bool
    with_output: bool


async def status_json(record: InstanceRecord, *, with_input: bool, history: str | None = None) -> str:
    """The status of an instance as JSON text; `history` is the JSON text of `historyEvents`.

    A part of the record that cannot be read is reported in the custom status, the one member that may be any JSON.
    """
    members = {
        "name": compact(record.name),
        "version": compact(record.version or None),
        "instanceId": compact(record.instance_id),
        "parentInstanceId": compact(record.parent_id),
        "runtimeStatus": compact(record.runtime_status.value),
        "input": await shown_json(record.input) if with_input else NULL,
        "customStatus": await _custom_status(record),
        "output": await shown_json(record.output),
        "createdTime": compact(_whole_seconds(record.created_at)),
        "lastUpdatedTime": compact(_whole_seconds(record.last_updated_at)),
    }
    if history is not None:
        members["historyEvents"] = history
    return json_object({name: text for name, text in members.items() if text != NULL or name not in _ABSENT_IF_NULL})


async def _custom_status(record: InstanceRecord) -> str:
    shown = await shown_json(record.custom_status)
    if record.problem is None:
        return shown
    return json_object({"unreadable": compact(record.problem), "customStatus": shown})


def unreadable_history_json(problem: str) -> str:
    """Stands for a history that cannot be read: one entry that says so."""
    return json_array([compact({"EventType": "Unreadable", "Reason": problem})])


async def history_json(events: Sequence[HistoryEvent], options: HistoryOptions) -> str:
    """The history as JSON text; a request and its result are one entry."""
    scheduled = {event.event_id: event for event in events if isinstance(event, _SCHEDULING)}
    answered = {completed_task_id(event) for event in events if isinstance(event, _COMPLETING)}
    return json_array(
        [
            json_object(await _entry(event, scheduled, options))
            for event in events
            if not isinstance(event, _HIDDEN) and not (isinstance(event, _SCHEDULING) and event.event_id in answered)
        ]
    )


async def _entry(
    event: HistoryEvent,
    scheduled: dict[int, TaskScheduled | SubOrchestrationInstanceCreated],
    options: HistoryOptions,
) -> dict[str, str]:
    entry = {name: compact(value) for name, value in event_to_json(event).items() if name not in _ALWAYS_REMOVED}
    entry["EventType"] = compact(event.type_name)
    await _show_payloads(event, entry, options)
    _remove(entry, _REMOVED.get(type(event), ()))
    if isinstance(event, ExecutionStarted):
        timestamp = entry.pop("Timestamp")
        entry |= {"GenerateNewTrace": "false", "Timestamp": timestamp, "FunctionName": compact(event.name)}
    elif isinstance(event, _COMPLETING):
        _remove(entry, ("TaskScheduledId",))
        entry.update(_request_of(scheduled.get(event.task_scheduled_id), options))
    elif isinstance(event, ExecutionCompleted):
        entry["OrchestrationStatus"] = compact(event.orchestration_status.value)
    _remove(entry, ("TimerId",))
    return entry


async def _show_payloads(event: HistoryEvent, entry: dict[str, str], options: HistoryOptions) -> None:
    """Shows inputs as their stored text, results as JSON."""
    if not options.with_input:
        _remove(entry, ("Input",))
    if isinstance(event, _WITH_RESULT):
        if options.with_output:
            entry["Result"] = await shown_json(event.result)
        else:
            del entry["Result"]


def _request_of(
    request: TaskScheduled | SubOrchestrationInstanceCreated | None, options: HistoryOptions
) -> dict[str, str]:
    """What the entry of a result shows of its request."""
    if request is None:
        return {}
    shown = {"ScheduledTime": compact(format_time(request.timestamp)), "FunctionName": compact(request.name)}
    if isinstance(request, SubOrchestrationInstanceCreated):
        shown["InstanceId"] = compact(request.instance_id)
    return {**shown, "Input": compact(request.input)} if options.with_input else shown


def _remove(entry: dict[str, str], names: Sequence[str]) -> None:
    for name in names:
        entry.pop(name, None)


def _whole_seconds(at: datetime) -> str:
    return format_time(at.astimezone(timezone.utc).replace(microsecond=0))
