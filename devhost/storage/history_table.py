"""The history table: one partition per instance, one row per event, and a sentinel row that guards the partition.

Rule of this file: no event row is written without the sentinel in the same transaction, under the ETag that was read
with the history. Whoever lost the instance to another host finds out here, and only here. Mirrors the history half of
DurableTask.AzureStorage.AzureTableTrackingStore.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.data.tables.aio import TableClient

from devhost.clock import Clock
from devhost.core.history import ExecutionCompleted, ExecutionStarted, GenericEvent, HistoryEvent
from devhost.core.lineage import is_overtaken
from devhost.core.rewind import RewindPlan
from devhost.errors import StaleCheckpoint, StorageUnavailable, UnreadableState
from devhost.storage.entity_table import (
    MAX_OPERATIONS_PER_TRANSACTION,
    EntityTable,
    Operation,
    Row,
    StoredRow,
    Write,
)
from devhost.storage.history_rows import (
    LARGE_COLUMNS,
    event_of_row,
    is_large,
    rewound_reason,
    row_of_event,
    utf16_units,
)
from devhost.storage.names import SENTINEL_ROW_KEY, escape_key, history_blob, row_key
from devhost.storage.odata import quoted
from devhost.storage.payloads import PayloadStore
from devhost.storage.refusal import Conflict, Gone, Missing
from devhost.storage.services import translated

MAX_EVENTS_PER_TRANSACTION = MAX_OPERATIONS_PER_TRANSACTION - 1  # the sentinel is one of them
MAX_TRANSACTION_BYTES = 3 * 1024 * 1024

_ROW_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class History:
    """What is stored of one execution; `sentinel_etag` is None for an instance that never had a checkpoint.

    `row_etags` are those of the events; only a history that was read has them. `replaces` is the stored execution that
    a start is about to replace.
    """

    execution_id: str | None
    events: tuple[HistoryEvent, ...]
    sentinel_etag: str | None
    row_etags: tuple[str, ...] = ()
    replaces: str | None = None


class HistoryTable:
    """The histories of one hub. `client` is the official one to the same table, for what is done once an instance."""

    def __init__(self, table: EntityTable, client: TableClient, payloads: PayloadStore, clock: Clock) -> None:
        self._table = table
        self._client = client
        self._payloads = payloads
        self._clock = clock

    async def load(self, instance_id: str) -> History:
        """The history of the current execution, without the rows that an older, longer one has left behind.

        Raises:
            UnreadableState: a row is missing, or it or its payload cannot be read.
        """
        try:
            return await self._history(instance_id)
        except (StorageUnavailable, UnreadableState):
            raise
        except Exception as error:
            # Rows may hold anything; whatever they break, it is they that are wrong.
            raise UnreadableState(f"The history of instance '{instance_id}' cannot be read: {error}") from error

    async def _history(self, instance_id: str) -> History:
        rows, sentinel = await self._rows(instance_id)
        first = sentinel or (rows[0] if rows else None)
        current = _execution_id(instance_id, first) if first else None
        own = [row for row in rows if _execution_id(instance_id, row) == current]
        _check_complete(instance_id, own)
        events = tuple([event_of_row(await self._with_payloads(row.columns)) for row in own])
        return History(
            execution_id=current,
            events=events,
            sentinel_etag=sentinel.etag if sentinel else None,
            row_etags=tuple(row.etag for row in own),
        )

    async def load_for(self, instance_id: str, start: ExecutionStarted) -> History:
        """What a start finds: nothing but the sentinel's ETag, or the history of an execution that has overtaken it.

        Raises:
            UnreadableState: a row of such a history is missing, or cannot be read.
        """
        first_rows = f" and (RowKey eq '{SENTINEL_ROW_KEY}' or RowKey le '{row_key(1)}')"
        rows, sentinel = await self._rows(instance_id, first_rows)
        first = sentinel or (rows[0] if rows else None)
        current = _execution_id_or_none(first) if first else None
        own = [row for row in rows if _execution_id_or_none(row) == current]
        wanted = start.orchestration_instance.execution_id
        if current == wanted or any(is_overtaken(start, each) for each in _starts(own)):
            return await self.load(instance_id)
        etag = sentinel.etag if sentinel else None
        return History(execution_id=wanted, events=(), sentinel_etag=etag, replaces=current)

    async def _rows(self, instance_id: str, condition: str = "") -> tuple[list[StoredRow], StoredRow | None]:
        """The events of an instance, and its sentinel."""
        rows = await self._query(f"PartitionKey eq {quoted(escape_key(instance_id))}{condition}")
        sentinel = rows.pop() if rows and rows[-1].columns["RowKey"] == SENTINEL_ROW_KEY else None
        return rows, sentinel

    async def find_start(self, instance_id: str, execution_id: str | None) -> ExecutionStarted | None:
        """The start of an execution, its input aside, if it can still be read in a history that is damaged."""
        condition = f"PartitionKey eq {quoted(escape_key(instance_id))} and EventType eq 'ExecutionStarted'"
        rows = await self._query(condition)
        return next(_starts(row for row in rows if _execution_id_or_none(row) == execution_id), None)

    async def _query(self, condition: str) -> list[StoredRow]:
        try:
            return await self._table.query(condition)
        except Missing:
            return []  # no table yet, so nothing in it

    async def _with_payloads(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        blobs = {column: row[f"{column}BlobName"] for column in LARGE_COLUMNS if f"{column}BlobName" in row}
        if not blobs:
            return row
        return {**row, **{column: await self._payloads.download(str(name)) for column, name in blobs.items()}}

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
        """Inserts rows, or replaces those that an earlier attempt or execution has left.

        What an insert costs grows slowly with the rows that a history has, what a replacement costs does not
        (docs/performance.md); a row that is in the way is rare.
        """
        try:
            return await self._submit([Operation(Write.INSERT, row) for row in rows], sentinel, etag)
        except Gone:
            raise
        except (Conflict, Missing):
            pass  # a row is there, or the sentinel is not what it was or gone: the next answer tells
        try:
            return await self._submit([Operation(Write.REPLACE, row) for row in rows], sentinel, etag)
        except (Conflict, Missing) as error:
            raise _stale(sentinel) from error

    async def _submit(self, on_rows: Sequence[Operation], sentinel: Row, etag: str | None) -> str:
        """Writes rows and the sentinel, which is as it was read with them; returns its new ETag."""
        guard = Operation(Write.INSERT if etag is None else Write.MERGE, sentinel, etag)
        return (await self._table.write_together([*on_rows, guard]))[-1]

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
            Operation(
                Write.MERGE,
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
            try:
                etag = await self._submit(operations[start : start + MAX_EVENTS_PER_TRANSACTION], sentinel, etag)
            except (Conflict, Missing) as error:
                raise _stale(sentinel) from error

    async def delete(self, instance_id: str) -> None:
        """Deletes every row of an instance, of all its executions."""
        partition_key = escape_key(instance_id)
        try:
            with translated():
                rows = self._client.query_entities(f"PartitionKey eq {quoted(partition_key)}", select=["RowKey"])
                keys = [str(row["RowKey"]) async for row in rows]
        except Missing:
            return
        for start in range(0, len(keys), MAX_OPERATIONS_PER_TRANSACTION):
            await self._delete_rows(partition_key, keys[start : start + MAX_OPERATIONS_PER_TRANSACTION])

    async def _delete_rows(self, partition_key: str, keys: Sequence[str]) -> None:
        operations = [
            (
                "delete",
                {"PartitionKey": partition_key, "RowKey": key},
                {"match_condition": MatchConditions.Unconditionally},
            )
            for key in keys
        ]
        with translated():
            await self._client.submit_transaction(operations)


def _execution_id_or_none(row: StoredRow) -> str | None:
    value = row.columns.get("ExecutionId")
    return value if isinstance(value, str) else None


def _execution_id(instance_id: str, row: StoredRow) -> str:
    value = _execution_id_or_none(row)
    if value is None:
        # Taken for a row of another execution it would be left out in silence, and written over.
        raise UnreadableState(
            f"The history of instance '{instance_id}' has a row {row.columns['RowKey']} without an execution id."
        )
    return value


def _starts(rows: Iterable[StoredRow]) -> Iterator[ExecutionStarted]:
    """The starts among rows, with payloads or without; a row that cannot be read is none."""
    for row in rows:
        with suppress(UnreadableState):
            event = event_of_row(row.columns)
            if isinstance(event, ExecutionStarted):
                yield event


def _check_complete(instance_id: str, rows: Sequence[StoredRow]) -> None:
    # With fewer rows than there were, the next event would be written over the last one.
    for index, row in enumerate(rows):
        if row.columns["RowKey"] != row_key(index):
            raise UnreadableState(f"The history of instance '{instance_id}' lacks its row {row_key(index)}.")


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
    # What is stored, or what is sent: there all that is not ASCII is escaped, to up to six bytes per unit.
    return max(2 * utf16_units(text), len(json.dumps(text)))


def _stale(sentinel: Row) -> StaleCheckpoint:
    return StaleCheckpoint(
        f"Another host has advanced instance '{sentinel['PartitionKey']}' since its history was read."
    )


def _rewound_columns(event: HistoryEvent, instead: GenericEvent | None) -> Row:
    columns: Row = {"Reason": rewound_reason(event)}
    if instead is not None:
        columns |= {"EventType": instead.type_name, "EventId": instead.event_id}
    return columns
