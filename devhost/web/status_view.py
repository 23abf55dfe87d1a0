"""What the management API shows of an instance: its record, and its history in the form made for people.

Mirrors HttpApiHandler.GetStatusResponsePayload and DurableClient.ConvertToDurableOrchestrationStatus (the rewriting of
the history). Members keep the order of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from devhost.core.history import (
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
from devhost.core.history_json import event_to_json, format_time
from devhost.core.json_text import compact
from devhost.core.messages import answered_task_id
from devhost.engine.ports import InstanceRecord
from devhost.web.stored import NULL, json_array, json_object, shown_json

_SCHEDULING = (TaskScheduled, SubOrchestrationInstanceCreated)
_COMPLETING = (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
_WITH_RESULT = (TaskCompleted, SubOrchestrationInstanceCompleted, ExecutionCompleted)
_HIDDEN = (OrchestratorStarted, OrchestratorCompleted)
_ALWAYS_REMOVED = ("EventId", "IsPlayed")
_STARTED_REMOVED = (
    "OrchestrationInstance", "ParentInstance", "Name", "Version", "Tags", "Correlation", "ParentTraceContext",
    "ScheduledStartTime", "Generation",
)  # fmt: skip
_SCHEDULING_REMOVED = ("Version", "Tags", "ParentTraceContext", "ClientSpanId")


@dataclass(frozen=True, kw_only=True)
class HistoryOptions:
    """How much of the payloads a history shows."""

    with_input: bool
    with_output: bool


async def status_json(record: InstanceRecord, *, with_input: bool, history: str | None = None) -> str:
    """The status of an instance as JSON text; `history` is the JSON text of `historyEvents`.

    What of a record cannot be read is told in the custom status, the one member that may hold anything.
    """
    members = {
        "name": compact(record.name),
        "instanceId": compact(record.instance_id),
        "runtimeStatus": compact(record.runtime_status.value),
        "input": await shown_json(record.input) if with_input else NULL,
        "customStatus": await _custom_status(record),
        "output": await shown_json(record.output),
        "createdTime": compact(_whole_seconds(record.created_at)),
        "lastUpdatedTime": compact(_whole_seconds(record.last_updated_at)),
    }
    if history is not None:
        members["historyEvents"] = history
    return json_object(members)


async def _custom_status(record: InstanceRecord) -> str:
    shown = await shown_json(record.custom_status)
    if record.problem is None:
        return shown
    return json_object({"unreadable": compact(record.problem), "customStatus": shown})


def unreadable_history_json(problem: str) -> str:
    """What stands for a history that cannot be read: one entry that says so."""
    return json_array([compact({"EventType": "Unreadable", "Reason": problem})])


async def history_json(events: Sequence[HistoryEvent], options: HistoryOptions) -> str:
    """The history as JSON text: an entry per fact, a request and its answer in one."""
    scheduled = {event.event_id: event for event in events if isinstance(event, _SCHEDULING)}
    answered = {answered_task_id(event) for event in events if isinstance(event, _COMPLETING)}
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
    if isinstance(event, ExecutionStarted):
        _remove(entry, _STARTED_REMOVED)
        entry["FunctionName"] = compact(event.name)
    elif isinstance(event, _SCHEDULING):
        _remove(entry, _SCHEDULING_REMOVED)
    elif isinstance(event, _COMPLETING):
        _remove(entry, ("TaskScheduledId",))
        entry.update(_request_of(scheduled.get(event.task_scheduled_id), options))
    elif isinstance(event, ExecutionCompleted):
        entry["OrchestrationStatus"] = compact(event.orchestration_status.value)
    _remove(entry, ("TimerId",))
    return entry


async def _show_payloads(event: HistoryEvent, entry: dict[str, str], options: HistoryOptions) -> None:
    """Inputs are shown as the text that is stored, results as the JSON they are."""
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
    """What an answer shows of the request it belongs to."""
    if request is None:
        return {}
    shown = {"ScheduledTime": compact(format_time(request.timestamp)), "FunctionName": compact(request.name)}
    return {**shown, "Input": compact(request.input)} if options.with_input else shown


def _remove(entry: dict[str, str], names: Sequence[str]) -> None:
    for name in names:
        entry.pop(name, None)


def _whole_seconds(at: datetime) -> str:
    return format_time(at.astimezone(timezone.utc).replace(microsecond=0))
