"""The table of partitions: one row per control queue, which says who listens to it.

Every write replaces the whole row under the ETag it was read with, so that cleared columns are gone. Mirrors
DurableTask.AzureStorage.TablePartitionLease.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from devhost.core.event_check import described
from devhost.engine.partitions import Lease
from devhost.errors import LeaseLost
from devhost.resilience import Counts
from devhost.storage.entity_table import Column, EntityTable, Operation, StoredRow, Write
from devhost.storage.history_rows import plain_time
from devhost.storage.refusal import Conflict, Missing

_log = logging.getLogger("Host.Partitions")


class LeaseTable:
    """The partition leases of one hub: those of `partitions`, and of others whose names begin with `prefix`."""

    def __init__(self, table: EntityTable, prefix: str, partitions: Sequence[str]) -> None:
        self._table = table
        self._partitions = partitions
        self._is_partition = re.compile(re.escape(prefix) + r"\d{2,4}", re.ASCII)
        self._reported = Counts()

    async def add(self, partition: str) -> None:
        """Adds the row of a partition that nobody owns yet, unless there is one."""
        try:
            await self._table.write(Operation(Write.INSERT, {**_key(partition), "IsDraining": False}))
        except Conflict:
            return

    async def read_all(self) -> Sequence[Lease]:
        """All leases. A partition of this host whose row is gone gets a new one: nobody would listen to it."""
        rows = await self._rows()
        missing = [name for name in self._partitions if name not in rows]
        for name in missing:
            await self.add(name)
        if missing:
            rows = await self._rows()
        return [self._lease(row) for name, row in rows.items() if self._is_partition.fullmatch(name)]

    async def _rows(self) -> Mapping[str, StoredRow]:
        return {row.columns["RowKey"]: row for row in await self._table.query("PartitionKey eq ''")}

    async def replace(self, lease: Lease) -> None:
        try:
            await self._table.write(Operation(Write.REPLACE, _row(lease), lease.version))
        except (Conflict, Missing) as error:
            raise LeaseLost(f"Another host has written the lease of {lease.partition}.") from error

    def _lease(self, row: StoredRow) -> Lease:
        """The lease in a row. One that cannot be read is free: then a host takes it and writes a sound row.

        If there is an owner, it learns from that, and until then the histories allow only one of both to write.
        """
        try:
            return _lease(row)
        except Exception as error:
            partition = row.columns["RowKey"]
            if self._reported.add(partition) == 1:
                _log.warning("The lease of %s is damaged and counts as free: %s", partition, error)
            return Lease(partition=partition, version=row.etag)


def _key(partition: str) -> dict[str, Column]:
    return {"PartitionKey": "", "RowKey": partition}


def _row(lease: Lease) -> dict[str, Column]:
    columns: dict[str, Column | None] = {
        "CurrentOwner": lease.current_owner,
        "NextOwner": lease.next_owner,
        "OwnedSince": lease.owned_since,
        "LastRenewal": lease.last_renewal,
        "ExpiresAt": lease.expires_at,
        "IsDraining": lease.is_draining,
    }
    return _key(lease.partition) | {name: value for name, value in columns.items() if value is not None}


def _lease(row: StoredRow) -> Lease:
    """Raises `ValueError` where a column is not of its type."""
    columns = row.columns
    is_draining = columns.get("IsDraining", False)
    if not isinstance(is_draining, bool):
        raise ValueError(f"IsDraining is {described(is_draining)}, not a boolean")
    return Lease(
        partition=columns["RowKey"],
        version=row.etag,
        current_owner=_owner(columns, "CurrentOwner"),
        next_owner=_owner(columns, "NextOwner"),
        owned_since=_time(columns, "OwnedSince"),
        last_renewal=_time(columns, "LastRenewal"),
        expires_at=_time(columns, "ExpiresAt"),
        is_draining=is_draining,
    )


def _owner(columns: Mapping[str, Any], name: str) -> str | None:
    value = columns.get(name)
    if not isinstance(value, (str, type(None))):
        raise ValueError(f"{name} is {described(value)}, not a text")
    return value or None


def _time(columns: Mapping[str, Any], name: str) -> datetime | None:
    value = columns.get(name)
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise ValueError(f"{name} is {described(value)}, not a time")
    return plain_time(value)
