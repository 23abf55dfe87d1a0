"""Instance records as rows of the table of instances, and queries as OData filters.

Pure. A missing column is no error: older hosts write fewer. Mirrors the instance half of
DurableTask.AzureStorage.AzureTableTrackingStore and its OrchestrationInstanceStatusQueryCondition.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from durablehost.core.checkpoint import InstanceUpdate
from durablehost.core.history import ExecutionStarted
from durablehost.core.json_text import compact
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import EARLIEST_TIME
from durablehost.engine.ports import InstanceQuery, InstanceRecord
from durablehost.storage.account.names import escape_key, unescape_key
from durablehost.storage.rows.columns import Columns
from durablehost.storage.rows.odata import quoted, quoted_time
from durablehost.storage.rows.table import Column, StoredRow

_COLUMNS_WITHOUT_INPUT = (
    "PartitionKey",
    "RowKey",
    "ExecutionId",
    "Name",
    "Version",
    "Output",
    "CustomStatus",
    "RuntimeStatus",
    "CreatedTime",
    "LastUpdatedTime",
    "CompletedTime",
    "Generation",
    "ParentInstanceId",
    "ScheduledStartTime",
)
_COLUMNS_WITHOUT_PAYLOADS = tuple(name for name in _COLUMNS_WITHOUT_INPUT if name != "Output")

_LAST_CHARACTER = chr(0x10FFFF)


@dataclass(frozen=True, kw_only=True)
class StoredInstance:
    """A record with the ETag of its row; its payloads may still be references to blobs."""

    record: InstanceRecord
    etag: str
    input_blob: str | None = None


def key_of(instance_id: str) -> dict[str, Column]:
    return {"PartitionKey": escape_key(instance_id), "RowKey": ""}


def pending_row(start: ExecutionStarted, *, input_text: str | None, hub_name: str, now: datetime) -> dict[str, Column]:
    """The row that a client writes after it has sent a start."""
    row = key_of(start.orchestration_instance.instance_id)
    row |= _start_columns(start, input_text)
    row |= {"RuntimeStatus": RuntimeStatus.PENDING.value, "LastUpdatedTime": now, "TaskHubName": hub_name}
    if start.orchestration_instance.execution_id:
        row["ExecutionId"] = start.orchestration_instance.execution_id
    return row


def update_row(
    instance_id: str, update: InstanceUpdate, *, input_text: str | None, output_text: str | None, hub_name: str
) -> dict[str, Column]:
    """The columns that a checkpoint merges; `input_text` and `output_text` are stored as they are."""
    row = key_of(instance_id)
    if update.started:
        row |= _start_columns(update.started, input_text)
        row["RuntimeStatus"] = RuntimeStatus.RUNNING.value
    if update.custom_status is not None:
        row["CustomStatus"] = update.custom_status
    row |= {
        "ExecutionId": update.execution_id,
        "LastUpdatedTime": update.last_updated_at,
        "TaskHubName": hub_name,
    }
    if update.runtime_status:
        row["RuntimeStatus"] = update.runtime_status.value
    if output_text is not None:
        row["Output"] = output_text
    if update.completed_at:
        row["CompletedTime"] = update.completed_at
    return row


def _start_columns(start: ExecutionStarted, input_text: str | None) -> dict[str, Column]:
    columns: dict[str, Column] = {
        "Name": start.name,
        "CreatedTime": start.timestamp,
        "Tags": compact(start.tags),
        "ParentInstanceId": _parent_id(start),
    }
    if start.version is not None:
        columns["Version"] = start.version
    if input_text is not None:
        columns["Input"] = input_text
    if start.scheduled_start_time:
        columns["ScheduledStartTime"] = start.scheduled_start_time
    if start.generation is not None:
        columns["Generation"] = start.generation
    return columns


def _parent_id(start: ExecutionStarted) -> str:
    parent = start.parent_instance
    return parent.orchestration_instance.instance_id if parent else ""


def stored_instance(stored: StoredRow) -> StoredInstance:
    """The record in a row. Its `problem` names columns that cannot be read; the others are still used."""
    columns = Columns(stored.columns)
    record = InstanceRecord(
        instance_id=unescape_key(stored.columns["PartitionKey"]),
        execution_id=columns.text("ExecutionId"),
        name=columns.text("Name") or "",
        version=columns.text("Version"),
        runtime_status=_status(columns.text("RuntimeStatus")),
        created_at=columns.time("CreatedTime") or EARLIEST_TIME,
        last_updated_at=columns.time("LastUpdatedTime") or EARLIEST_TIME,
        completed_at=columns.time("CompletedTime"),
        input=columns.text("Input"),
        output=columns.text("Output"),
        custom_status=_set_or_none(columns.text("CustomStatus")),
        generation=columns.number("Generation") or 0,
        parent_id=columns.text("ParentInstanceId") or None,
        scheduled_start=columns.time("ScheduledStartTime"),
    )
    input_blob = columns.text("InputBlobName")
    if columns.problems:
        record = replace(record, problem="; ".join(columns.problems))
    return StoredInstance(record=record, etag=stored.etag, input_blob=input_blob)


def _status(text: str | None) -> RuntimeStatus:
    with suppress(ValueError):
        return RuntimeStatus(text)
    return RuntimeStatus.PENDING  # an unknown status must not count as finished


def _set_or_none(custom_status: str | None) -> str | None:
    return None if custom_status in (None, "", "null") else custom_status


def listed_columns(*, with_input: bool, with_payloads: bool) -> tuple[str, ...] | None:
    """The columns that a listing asks for; None: all of them."""
    if not with_payloads:
        return _COLUMNS_WITHOUT_PAYLOADS
    return None if with_input else _COLUMNS_WITHOUT_INPUT


def query_filter(query: InstanceQuery) -> str:
    """A query as an OData filter."""
    conditions = ["RowKey eq ''"]
    if query.created_from:
        conditions.append(f"CreatedTime ge {quoted_time(query.created_from)}")
    if query.created_to:
        conditions.append(f"CreatedTime le {quoted_time(query.created_to)}")
    if query.updated_from:
        conditions.append(f"LastUpdatedTime ge {quoted_time(query.updated_from)}")
    if query.name:
        conditions.append(f"Name eq {quoted(query.name)}")
    if query.statuses:
        names = sorted(status.value for status in query.statuses)
        conditions.append(" or ".join(f"RuntimeStatus eq {quoted(name)}" for name in names))
    if query.id_prefix:
        conditions.extend(_prefix_conditions(escape_key(query.id_prefix)))
    return " and ".join(f"({condition})" for condition in conditions)


def _prefix_conditions(prefix: str) -> list[str]:
    conditions = [f"PartitionKey ge {quoted(prefix)}"]
    if prefix[-1] < _LAST_CHARACTER:
        conditions.append(f"PartitionKey lt {quoted(prefix[:-1] + _next_character(prefix[-1]))}")
    return conditions


def _next_character(character: str) -> str:
    following = chr(ord(character) + 1)
    return "\ue000" if "\ud800" <= following <= "\udfff" else following
