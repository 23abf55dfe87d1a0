"""The history table: one partition per instance, one row per event, and a sentinel row that guards the partition.

Rule of this file: no event row is written without the sentinel in the same transaction, under the ETag that was read
with the history. Here, and only here, a host learns that another one has advanced the instance. Mirrors the history
half of DurableTask.AzureStorage.AzureTableTrackingStore.
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

from durablehost.clock import Clock
from durablehost.core.history import ExecutionCompleted, ExecutionStarted, GenericEvent, HistoryEvent
from durablehost.core.lineage import is_overtaken
from durablehost.core.rewind import RewindPlan
from durablehost.errors import StaleCheckpoint, StorageUnavailable, UnreadableState
from durablehost.storage.account.names import SENTINEL_ROW_KEY, escape_key, history_blob, row_key
from durablehost.storage.account.refusal import Conflict, Gone, Missing
from durablehost.storage.account.services import translated
from durablehost.storage.rows.history_rows import (
    LARGE_COLUMNS,
    blobs_of_row,
    event_of_row,
    is_large,
    own_blobs,
    rewound_reason,
    row_of_event,
    utf16_units,
)
from durablehost.storage.rows.odata import quoted
from durablehost.storage.rows.payloads import PayloadStore
from durablehost.storage.rows.table import (
    MAX_OPERATIONS_PER_TRANSACTION,
    Operation,
    Row,
    StorageTable,
    StoredRow,
    Write,
)

MAX_EVENTS_PER_TRANSACTION = MAX_OPERATIONS_PER_TRANSACTION - 1  # the sentinel is one of them
MAX_TRANSACTION_BYTES = 3 * 1024 * 1024
# How often a purge begins again because another one, or an entity, has changed the rows.
_MOST_DELETIONS = 20

_ROW_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class History:
    """The stored history of one execution; `sentinel_etag` is None for an instance that never had a checkpoint.

    `blobs` are those to which nothing refers any more once another execution has replaced this one.
    `row_etags` belong to the rows of the events; only a history that was read from the table has them. `replaces` is
    the id of the stored execution that a start is about to replace.
    """

    execution_id: str | None
    events: tuple[HistoryEvent, ...]
    sentinel_etag: str | None
    blobs: tuple[str, ...] = ()
    row_etags: tuple[str, ...] = ()
    replaces: str | None = None


@dataclass(frozen=True, kw_only=True)
class Appended:
    """What has been stored: `blob_by_payload` has the blobs of payloads too large for a row; see `History.blobs`."""

    sentinel_etag: str
    blob_by_payload: Mapping[str, str]
    own_blobs: tuple[str, ...]


class HistoryTable:
    """The histories of one hub. `client` is the official client of the same table, for deletions."""

    def __init__(self, table: StorageTable, client: TableClient, payloads: PayloadStore, clock: Clock) -> None:
        self._table = table
        self._client = client
        self._payloads = payloads
        self._clock = clock

    async def load(self, instance_id: str) -> History:
        """Reads the history of the current execution, without rows that are left of an older, longer one.

        Raises:
            UnreadableState: a row is missing, or it or its payload cannot be read.
        """
        try:
            while True:
                rows, sentinel = await self._rows(instance_id)
                try:
                    return await self._history(instance_id, rows, sentinel)
                except Missing:
                    # A blob is gone: its execution may have continued as new meanwhile.
                    _, latest = await self._rows(instance_id, f" and RowKey eq '{SENTINEL_ROW_KEY}'")
                    if latest is None or sentinel is None or latest.etag == sentinel.etag:
                        raise
        except (StorageUnavailable, UnreadableState):
            raise
        except Exception as error:
            # Rows may contain anything, so every error is an error of the history.
            raise UnreadableState(f"The history of instance '{instance_id}' cannot be read: {error}") from error

    async def _history(self, instance_id: str, rows: list[StoredRow], sentinel: StoredRow | None) -> History:
        first = sentinel or (rows[0] if rows else None)
        current = _execution_id(instance_id, first) if first else None
        own = [row for row in rows if _execution_id(instance_id, row) == current]
        _check_complete(instance_id, own)
        events = tuple([event_of_row(await self._with_payloads(row.columns)) for row in own])
        return History(
            execution_id=current,
            events=events,
            sentinel_etag=sentinel.etag if sentinel else None,
            blobs=tuple(blob for row in own for blob in own_blobs(row.columns)),
            row_etags=tuple(row.etag for row in own),
        )

    async def load_for(self, instance_id: str, start: ExecutionStarted) -> History:
        """Reads the history for a start: empty, unless the execution runs already, or one has overtaken the start.

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
        """The event rows of an instance, and its sentinel row, if there is one."""
        rows = await self._query(f"PartitionKey eq {quoted(escape_key(instance_id))}{condition}")
        sentinel = rows.pop() if rows and rows[-1].columns["RowKey"] == SENTINEL_ROW_KEY else None
        return rows, sentinel

    async def find_start(self, instance_id: str, execution_id: str | None) -> ExecutionStarted | None:
        """The start of an execution, without its input, if it can still be read from a damaged history."""
        condition = f"PartitionKey eq {quoted(escape_key(instance_id))} and EventType eq 'ExecutionStarted'"
        rows = await self._query(condition)
        return next(_starts(row for row in rows if _execution_id_or_none(row) == execution_id), None)

    async def _query(self, condition: str) -> list[StoredRow]:
        try:
            return await self._table.query(condition)
        except Missing:
            return []  # no table yet, so nothing in it

    async def _with_payloads(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        blobs = blobs_of_row(row)
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
        completes_checkpoint: bool = True,
        overwrites: bool = False,
    ) -> Appended:
        """Stores events from an index on, over existing rows; `overwrites` if there may well be such rows.

        After a crash, the first transactions are stored completely, and the others not at all.

        Raises:
            StaleCheckpoint: the sentinel has changed; nothing of this transaction or a later one was written.
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
            sentinel = self._sentinel(
                partition_key, execution_id, is_last=completes_checkpoint and number == len(parts)
            )
            etag = await self._write(part, sentinel, etag, overwrites=overwrites and number == 1)
        return Appended(
            sentinel_etag=etag or "",
            blob_by_payload=blobs,
            own_blobs=tuple(blob for row in rows for blob in own_blobs(row)),
        )

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

    async def _write(self, rows: Sequence[Row], sentinel: Row, etag: str | None, *, overwrites: bool) -> str:
        """Inserts rows; if that fails, replaces the rows that are left of an earlier attempt or execution.

        As a history grows, replacements get slower five times as fast as inserts (docs/performance.md), and existing
        rows are rare, except where one execution `overwrites` another: there, an insert would only cost a request.
        """
        if not overwrites:
            try:
                return await self._submit([Operation(Write.INSERT, row) for row in rows], sentinel, etag)
            except Gone:
                raise
            except (Conflict, Missing):
                pass  # a row exists, or the sentinel has changed or is gone: the next answer shows which
        try:
            return await self._submit([Operation(Write.REPLACE, row) for row in rows], sentinel, etag)
        except Gone:
            raise
        except (Conflict, Missing) as error:
            raise _stale(sentinel) from error

    async def _submit(self, on_rows: Sequence[Operation], sentinel: Row, etag: str | None) -> str:
        """Writes rows, and the sentinel if it still has this ETag; returns the new ETag of the sentinel."""
        guard = Operation(Write.INSERT if etag is None else Write.MERGE, sentinel, etag)
        return (await self._table.write_together([*on_rows, guard]))[-1]

    async def rewind(self, instance_id: str, history: History, plan: RewindPlan) -> None:
        """Replaces the events of a rewind plan, and marks the children that are awaited again.

        The rows keep their other columns: a merge has the effect of a replacement and needs no payload. The end of the
        execution is replaced last, so after a crash the history still ends in failure.

        Raises:
            StaleCheckpoint: the history has changed; nothing of this transaction or a later one was written.
        """
        partition_key = escape_key(instance_id)
        marked = [child.index for child in plan.children]
        order = sorted([*plan.replaced, *marked], key=lambda i: (isinstance(history.events[i], ExecutionCompleted), -i))
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

    async def delete(self, instance_id: str, *, even_if_changed: bool) -> bool:
        """Deletes the rows of all executions of an instance.

        Returns False if an execution has begun meanwhile, whose rows are left, unless those are to be deleted as well.

        Raises:
            StorageUnavailable: the rows change again and again.
        """
        partition_key = escape_key(instance_id)
        for _ in range(_MOST_DELETIONS):
            try:
                with translated():
                    found = self._client.query_entities(f"PartitionKey eq {quoted(partition_key)}", select=["RowKey"])
                    etags = {str(row["RowKey"]): str(row.metadata["etag"]) async for row in found}
            except Missing:
                return True
            keys = list(etags)
            try:
                for start in range(0, len(keys), MAX_OPERATIONS_PER_TRANSACTION):
                    part = keys[start : start + MAX_OPERATIONS_PER_TRANSACTION]
                    await self._delete_rows(partition_key, {key: etags[key] for key in part})
            except Gone:
                raise
            except (Conflict, Missing) as error:
                # Rows are missing if another purge has deleted them.
                if isinstance(error, Missing) or even_if_changed:
                    continue
                return False
            return True
        raise StorageUnavailable(f"instance '{instance_id}' changes faster than it can be purged")

    async def _delete_rows(self, partition_key: str, etags: Mapping[str, str]) -> None:
        """Deletes rows, given by their keys with their ETags, all of them or none."""
        operations = [
            (
                "delete",
                {"PartitionKey": partition_key, "RowKey": key},
                {"etag": etag, "match_condition": MatchConditions.IfNotModified},
            )
            for key, etag in etags.items()
        ]
        with translated():
            await self._client.submit_transaction(operations)


def _execution_id_or_none(row: StoredRow) -> str | None:
    value = row.columns.get("ExecutionId")
    return value if isinstance(value, str) else None


def _execution_id(instance_id: str, row: StoredRow) -> str:
    value = _execution_id_or_none(row)
    if value is None:
        # Otherwise it would pass for a row of another execution, be ignored silently, and be overwritten.
        raise UnreadableState(
            f"The history of instance '{instance_id}' has a row {row.columns['RowKey']} without an execution id."
        )
    return value


def _starts(rows: Iterable[StoredRow]) -> Iterator[ExecutionStarted]:
    """The starts among rows, their payloads not fetched; ignores rows that cannot be read."""
    for row in rows:
        with suppress(UnreadableState):
            event = event_of_row(row.columns)
            if isinstance(event, ExecutionStarted):
                yield event


def _check_complete(instance_id: str, rows: Sequence[StoredRow]) -> None:
    # If a row is missing, the next event would overwrite the last one.
    for index, row in enumerate(rows):
        if row.columns["RowKey"] != row_key(index):
            raise UnreadableState(f"The history of instance '{instance_id}' lacks its row {row_key(index)}.")


def transactions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Splits rows into transactions within the limits of the service, with room for the sentinel in each."""
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
    # The larger of the stored and the sent size: what is sent escapes non-ASCII, to up to six bytes per unit.
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
