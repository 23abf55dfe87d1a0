"""The history table: one partition per instance, one row per event, and a sentinel row that guards the partition.

Rule of this file: no event row is written without the sentinel in the same transaction, under the ETag that was read
with the history. Whoever lost the instance to another host finds out here, and only here. Mirrors the history half of
DurableTask.AzureStorage.AzureTableTrackingStore.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from devhost.clock import Clock
from devhost.core.history import ExecutionCompleted, GenericEvent, HistoryEvent
from devhost.core.rewind import RewindPlan
from devhost.errors import StaleCheckpoint
from devhost.storage.history_rows import (
    LARGE_COLUMNS,
    Column,
    event_of_row,
    is_large,
    rewound_reason,
    row_of_event,
    utf16_units,
)
from devhost.storage.names import SENTINEL_ROW_KEY, escape_key, history_blob, row_key
from devhost.storage.odata import quoted
from devhost.storage.payloads import PayloadStore
from devhost.storage.services import Conflict, Missing, translated

MAX_EVENTS_PER_TRANSACTION = 99
MAX_TRANSACTION_BYTES = 3 * 1024 * 1024
MAX_OPERATIONS_PER_TRANSACTION = 100

_ROW_OVERHEAD_BYTES = 1024

Row = dict[str, Column]
Operation = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class History:
    """What is stored of one execution; `sentinel_etag` is None for an instance that never had a checkpoint.

    `row_etags` are those of the events; only a history that was read has them.
    """

    execution_id: str | None
    events: tuple[HistoryEvent, ...]
    sentinel_etag: str | None
    row_etags: tuple[str, ...] = ()


class HistoryTable:
    """The histories of one hub."""

    def __init__(self, table: TableClient, payloads: PayloadStore, clock: Clock) -> None:
        self._table = table
        self._payloads = payloads
        self._clock = clock

    async def load(self, instance_id: str, execution_id: str | None = None) -> History:
        """The history of the current execution, without the rows that an older, longer one has left behind.

        Where `execution_id` is given and is not the current one there are no events; the sentinel's ETag is told in
        any case, because a new execution has to overwrite it.
        """
        condition = f"PartitionKey eq {quoted(escape_key(instance_id))}"
        if execution_id:
            condition += f" and (RowKey eq '{SENTINEL_ROW_KEY}' or ExecutionId eq {quoted(execution_id)})"
        rows = await self._query(condition)
        sentinel = rows.pop() if rows and rows[-1]["RowKey"] == SENTINEL_ROW_KEY else None
        current = (sentinel or (rows[0] if rows else {})).get("ExecutionId")
        etag = sentinel.metadata["etag"] if sentinel else None
        if execution_id and current and execution_id != current:
            return History(execution_id=current, events=(), sentinel_etag=etag)
        own = list(_until_debris(rows, current))
        events = tuple([event_of_row(await self._with_payloads(row)) for row in own])
        row_etags = tuple(row.metadata["etag"] for row in own)
        return History(execution_id=current, events=events, sentinel_etag=etag, row_etags=row_etags)

    async def _query(self, condition: str) -> list[Any]:
        try:
            with translated():
                return [row async for row in self._table.query_entities(condition)]
        except Missing:
            return []  # no table yet, so nothing in it

    async def _with_payloads(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        blobs = {column: row[f"{column}BlobName"] for column in LARGE_COLUMNS if f"{column}BlobName" in row}
        if not blobs:
            return row
        return {**row, **{column: await self._payloads.download(name) for column, name in blobs.items()}}

    async def append(
        self,
        instance_id: str,
        execution_id: str,
        events: Sequence[HistoryEvent],
        *,
        first_index: int,
        sentinel_etag: str | None,
    ) -> tuple[str, Mapping[str, str]]:
        """Stores events from an index on, over whatever is there, and returns the sentinel's new ETag.

        Also returns the blobs of payloads that were too large for a row: blob names by payload. A crash leaves some
        first part of the events, in whole transactions.

        Raises:
            StaleCheckpoint: the sentinel is not what it was; nothing of this transaction or a later one was written.
        """
        partition_key = escape_key(instance_id)
        blobs: dict[str, str] = {}
        rows = []
        for index, event in enumerate(events, first_index):
            row = {"PartitionKey": partition_key, "RowKey": row_key(index), **row_of_event(event, execution_id)}
            rows.append(await self._offload(row, blobs))
        parts = list(transactions(rows))
        etag = sentinel_etag
        for number, part in enumerate(parts, 1):
            sentinel = self._sentinel(partition_key, execution_id, is_last=number == len(parts))
            etag = await self._write(part, sentinel, etag)
        return etag or "", blobs

    async def _offload(self, row: Row, blobs: dict[str, str]) -> Row:
        for column in LARGE_COLUMNS:
            value = row.get(column)
            if isinstance(value, str) and is_large(value):
                if value not in blobs:
                    blobs[value] = await self._upload(row, column, value)
                row[column] = ""
                row[f"{column}BlobName"] = blobs[value]
        return row

    async def _upload(self, row: Row, column: str, value: str) -> str:
        random_hex = uuid.uuid4().hex[:8]
        name = history_blob(str(row["PartitionKey"]), str(row["RowKey"]), str(row["EventType"]), random_hex, column)
        await self._payloads.upload(name, value)
        return name

    def _sentinel(self, partition_key: str, execution_id: str, *, is_last: bool) -> Row:
        sentinel: Row = {
            "PartitionKey": partition_key,
            "RowKey": SENTINEL_ROW_KEY,
            "ExecutionId": execution_id,
            "IsCheckpointComplete": is_last,
        }
        if is_last:
            sentinel["CheckpointCompletedTimestamp"] = self._clock.now()
        return sentinel

    async def _write(self, rows: Sequence[Row], sentinel: Row, etag: str | None) -> str:
        return await self._submit([("upsert", row, {"mode": UpdateMode.REPLACE}) for row in rows], sentinel, etag)

    async def _submit(self, on_rows: Sequence[Operation], sentinel: Row, etag: str | None) -> str:
        operations = [*on_rows, _sentinel_operation(sentinel, etag)]
        try:
            with translated():
                answers = await self._table.submit_transaction(operations)
        except (Conflict, Missing) as error:
            raise StaleCheckpoint(
                f"Another host has advanced instance '{sentinel['PartitionKey']}' since its history was read."
            ) from error
        return str(answers[-1]["etag"])

    async def rewind(self, instance_id: str, history: History, plan: RewindPlan) -> None:
        """Turns events into what takes their place, and marks the children that are waited for again.

        The rows keep their other columns: a merge is as good as a replacement and needs no payload. The end of the
        execution is the last to go, so a crash leaves a history that has still ended in failure.

        Raises:
            StaleCheckpoint: the history is not what was read; nothing of this transaction or a later one was written.
        """
        partition_key = escape_key(instance_id)
        kept = [child.index for child in plan.children]
        order = sorted([*plan.replaced, *kept], key=lambda i: (isinstance(history.events[i], ExecutionCompleted), -i))
        operations: list[Operation] = [
            _merge_operation(
                {"PartitionKey": partition_key, "RowKey": row_key(index)}
                | _rewound_columns(history.events[index], plan.replaced.get(index)),
                history.row_etags[index],
            )
            for index in order
        ]
        etag = history.sentinel_etag
        sentinel: Row = {
            "PartitionKey": partition_key,
            "RowKey": SENTINEL_ROW_KEY,
            "ExecutionId": history.execution_id or "",
        }
        for start in range(0, len(operations), MAX_EVENTS_PER_TRANSACTION):
            etag = await self._submit(operations[start : start + MAX_EVENTS_PER_TRANSACTION], sentinel, etag)

    async def delete(self, instance_id: str) -> None:
        """Deletes every row of an instance, of all its executions."""
        partition_key = escape_key(instance_id)
        try:
            with translated():
                rows = self._table.query_entities(f"PartitionKey eq {quoted(partition_key)}", select=["RowKey"])
                keys = [str(row["RowKey"]) async for row in rows]
        except Missing:
            return
        for start in range(0, len(keys), MAX_OPERATIONS_PER_TRANSACTION):
            await self._delete_rows(partition_key, keys[start : start + MAX_OPERATIONS_PER_TRANSACTION])

    async def _delete_rows(self, partition_key: str, keys: Sequence[str]) -> None:
        operations: list[Operation] = [
            (
                "delete",
                {"PartitionKey": partition_key, "RowKey": key},
                {"match_condition": MatchConditions.Unconditionally},
            )
            for key in keys
        ]
        with translated():
            await self._table.submit_transaction(operations)


def _until_debris(rows: Sequence[Any], execution_id: str | None) -> Iterator[Any]:
    for row in rows:
        if row.get("ExecutionId") != execution_id:
            return
        yield row


def transactions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in as many transactions as the service's limits ask for, the sentinel not counted."""
    pending: list[Row] = []
    size = 0
    for row in rows:
        row_size = _estimated_bytes(row)
        if pending and (len(pending) == MAX_EVENTS_PER_TRANSACTION or size + row_size > MAX_TRANSACTION_BYTES):
            yield pending
            pending, size = [], 0
        pending.append(row)
        size += row_size
    if pending:
        yield pending


def _estimated_bytes(row: Row) -> int:
    texts = (row.get(column) for column in LARGE_COLUMNS)
    return _ROW_OVERHEAD_BYTES + sum(_text_bytes(text) for text in texts if isinstance(text, str))


def _text_bytes(text: str) -> int:
    # What is stored, or what is sent: the SDK escapes all that is not ASCII, to up to six bytes per unit.
    return max(2 * utf16_units(text), len(json.dumps(text)))


def _sentinel_operation(sentinel: Row, etag: str | None) -> Operation:
    if etag is None:
        return ("create", sentinel)
    return _merge_operation(sentinel, etag)


def _merge_operation(row: Row, etag: str) -> Operation:
    return (
        "update",
        row,
        {"mode": UpdateMode.MERGE, "etag": etag, "match_condition": MatchConditions.IfNotModified},
    )


def _rewound_columns(event: HistoryEvent, instead: GenericEvent | None) -> Row:
    columns: Row = {"Reason": rewound_reason(event)}
    if instead is not None:
        columns |= {"EventType": instead.type_name, "EventId": instead.event_id}
    return columns
