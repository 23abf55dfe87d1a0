"""The table of instances: one row each, for status queries.

The history decides what an instance does, not its row. So a client writes the row under a condition, and a checkpoint
merges it without one. Mirrors the instance half of DurableTask.AzureStorage.AzureTableTrackingStore.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from azure.core import MatchConditions
from azure.data.tables.aio import TableClient

from durablehost.clock import Clock
from durablehost.core.checkpoint import InstanceUpdate
from durablehost.core.history import ExecutionStarted
from durablehost.core.ids import fits_a_key
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstancePage, InstanceQuery, InstanceRecord
from durablehost.errors import PoisonMessage, RequestError, StorageUnavailable
from durablehost.storage.account.names import escape_key, history_blob
from durablehost.storage.account.refusal import Conflict, Gone, Missing
from durablehost.storage.account.services import translated
from durablehost.storage.rows.history_rows import is_large
from durablehost.storage.rows.instance_rows import (
    StoredInstance,
    key_of,
    listed_columns,
    pending_row,
    query_filter,
    stored_instance,
    update_row,
)
from durablehost.storage.rows.message_json import Envelope, envelope_from_text
from durablehost.storage.rows.payloads import PayloadStore
from durablehost.storage.rows.table import Operation, StorageTable, Write

# Limits the payloads of one page, in characters; building the answer needs several times as much memory.
MAX_PAGE_SIZE = 128 * 1024 * 1024

_TOKEN = re.compile(r"\S+ \S*", re.ASCII)
_REMOVED_BY_CLEAR_END = frozenset({"Output", "CompletedTime", "Timestamp"})  # the service writes the last one itself
_START_MESSAGE_SUFFIX = "ExecutionStarted.json.gz"


class InstanceTable:
    """The instances of one hub. `client` is the official client of the same table, for deletions."""

    def __init__(
        self, table: StorageTable, client: TableClient, payloads: PayloadStore, clock: Clock, hub_name: str
    ) -> None:
        self._table = table
        self._client = client
        self._payloads = payloads
        self._clock = clock
        self._hub_name = hub_name

    async def find(self, instance_id: str) -> StoredInstance | None:
        """The row of an instance, if it exists; its payloads are not fetched."""
        if not fits_a_key(instance_id):
            return None
        try:
            return stored_instance(await self._table.get(escape_key(instance_id), ""))
        except Missing:
            return None

    async def get(self, instance_id: str) -> InstanceRecord | None:
        found = await self.find(instance_id)
        return await self._with_payloads(found) if found else None

    async def write_pending(self, start: ExecutionStarted, *, message_blob: str | None, etag: str | None) -> bool:
        """Confirms a start that was sent; `etag` is the ETag of the row that was read before, if there was one.

        If the row has changed since, writes nothing, and returns whether the row is already that of this start: an
        episode was faster, or the answer to a first write was lost.
        """
        instance_id = start.orchestration_instance.instance_id
        input_text = (
            self._payloads.url_of(message_blob)
            if message_blob
            else await self._column(instance_id, "Input", start.input, {})
        )
        row = pending_row(start, input_text=input_text, hub_name=self._hub_name, now=self._clock.now())
        try:
            await self._table.write(Operation(Write.INSERT if etag is None else Write.REPLACE, row, etag))
        except Gone:
            raise
        except (Conflict, Missing):
            found = await self.find(instance_id)
            return found is not None and found.record.execution_id == start.orchestration_instance.execution_id
        return True

    async def merge(self, instance_id: str, update: InstanceUpdate, blobs: Mapping[str, str]) -> None:
        """Merges the changes of a checkpoint; `blobs` are the blobs of payloads that its history has stored already."""
        input_text = await self._column(instance_id, "Input", update.started.input if update.started else None, blobs)
        output_text = await self._column(instance_id, "Output", update.output, blobs)
        row = update_row(instance_id, update, input_text=input_text, output_text=output_text, hub_name=self._hub_name)
        await self._table.write(Operation(Write.MERGE, row))

    async def clear_end(self, instance_id: str) -> str | None:
        """Removes the output and the completion time from the row of a failed instance; returns the row's new ETag.

        None if there is no such row, or if it has changed meanwhile.
        """
        try:
            row = await self._table.get(escape_key(instance_id), "")
            if stored_instance(row).record.runtime_status is not RuntimeStatus.FAILED:
                return None
            columns = {name: value for name, value in row.columns.items() if name not in _REMOVED_BY_CLEAR_END}
            return await self._table.write(Operation(Write.REPLACE, columns, row.etag))
        except (Conflict, Missing):
            return None

    async def mark_pending(self, instance_id: str, etag: str) -> None:
        """Marks a rewound instance Pending, unless its row has changed since: then it is running already."""
        row = key_of(instance_id)
        row |= {"RuntimeStatus": RuntimeStatus.PENDING.value, "LastUpdatedTime": self._clock.now()}
        try:
            await self._table.write(Operation(Write.MERGE, row, etag))
        except (Conflict, Missing):
            return

    async def _column(self, instance_id: str, column: str, text: str | None, blobs: Mapping[str, str]) -> str | None:
        if text is None or not is_large(text):
            return text
        blob = blobs.get(text)
        if blob is None:
            blob = history_blob(escape_key(instance_id), "", "", uuid.uuid4().hex[:8], column)
            await self._payloads.upload(blob, text)
        return self._payloads.url_of(blob)

    async def delete(self, instance_id: str, etag: str | None) -> None:
        """Deletes a row; with an ETag, only if it has not changed: else it is that of a new execution."""
        condition = MatchConditions.IfNotModified if etag else MatchConditions.Unconditionally
        with suppress(Conflict, Missing), translated():
            await self._client.delete_entity(escape_key(instance_id), "", etag=etag, match_condition=condition)

    async def list_page(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None,
        with_input: bool,
        with_payloads: bool,
    ) -> InstancePage:
        """One page in key order.

        Raises:
            RequestError: 400 for an invalid token, 413 if the payloads of the page are too large together.
        """
        if not fits_a_key(query.id_prefix or ""):
            return InstancePage(records=())
        following = _token_from_text(continuation_token)
        try:
            rows, following = await self._table.query_page(
                query_filter(query),
                following=following,
                size=page_size,
                columns=listed_columns(with_input=with_input, with_payloads=with_payloads),
            )
        except Missing:
            return InstancePage(records=())
        records = await self._all_with_payloads([stored_instance(row) for row in rows])
        return InstancePage(records=records, continuation_token=_token_to_text(following))

    async def _all_with_payloads(self, page: Sequence[StoredInstance]) -> tuple[InstanceRecord, ...]:
        records = []
        size = 0
        for each in page:
            record = await self._with_payloads(each)
            size += len(record.input or "") + len(record.output or "")
            if size > MAX_PAGE_SIZE:
                raise RequestError(
                    413,
                    "The payloads of the page are too large",
                    f"They have more than {MAX_PAGE_SIZE} characters: ask for fewer instances with 'top', or for none "
                    "of the inputs with 'showInput=false'.",
                )
            records.append(record)
        return tuple(records)

    async def _with_payloads(self, found: StoredInstance) -> InstanceRecord:
        """The record with its payloads. If one cannot be read, its reference stays, and `problem` gives the reason."""
        while True:
            record = await self._read_payloads(found)
            if record.problem is None:
                return record
            # A blob may be gone because the instance has continued as new meanwhile.
            latest = await self.find(record.instance_id)
            if latest is None or latest.etag == found.etag:
                return record
            found = latest

    async def _read_payloads(self, found: StoredInstance) -> InstanceRecord:
        record = found.record
        if found.input_blob:
            input_text, input_problem = await self._downloaded(found.input_blob, record.input, "input")
        else:
            input_text, input_problem = await self._fetched(record.input, "input")
        output_text, output_problem = await self._fetched(record.output, "output")
        problems = [problem for problem in (record.problem, input_problem, output_problem) if problem]
        return replace(record, input=input_text, output=output_text, problem="; ".join(problems) or None)

    async def _fetched(self, text: str | None, what: str) -> tuple[str | None, str | None]:
        """Returns the payload, read from its blob if the text refers to one, and the problem if that fails."""
        name = self._payloads.name_of(text) if text else None
        return (text, None) if name is None else await self._downloaded(name, text, what)

    async def _downloaded(self, name: str, reference: str | None, what: str) -> tuple[str | None, str | None]:
        try:
            content = await self._payloads.download(name)
            return (_input_of_start(content) if name.endswith(_START_MESSAGE_SUFFIX) else content), None
        except StorageUnavailable:
            raise
        except Exception as error:
            # A status with a reference is better than none, whatever the blob contains.
            return reference, f"the {what} cannot be read: {error}"


def _input_of_start(text: str) -> str | None:
    envelope = envelope_from_text(text)
    if isinstance(envelope, Envelope) and isinstance(envelope.message.event, ExecutionStarted):
        return envelope.message.event.input
    raise PoisonMessage("a blob named as a start message holds another message")


def _token_to_text(following: Mapping[str, str]) -> str | None:
    if not following:
        return None
    return f"{following.get('NextPartitionKey') or ''} {following.get('NextRowKey') or ''}"


def _token_from_text(text: str | None) -> Mapping[str, str]:
    if text is None:
        return {}
    if not _TOKEN.fullmatch(text):
        raise RequestError(400, "The continuation token is not valid.")
    partition_key, _, row_key = text.partition(" ")
    return {"NextPartitionKey": partition_key, "NextRowKey": row_key}
