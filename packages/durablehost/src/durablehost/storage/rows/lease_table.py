"""The table of partitions: one row per control queue, the lease of the host that listens to it.

Every write replaces the whole row under the ETag it was read with, which also removes cleared columns. Mirrors
DurableTask.AzureStorage.TablePartitionLease.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from durablehost.engine.partitions import Lease
from durablehost.errors import LeaseLost
from durablehost.resilience import Counts
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.rows.columns import Columns
from durablehost.storage.rows.table import Column, Operation, StorageTable, StoredRow, Write

_log = logging.getLogger("Host.Partitions")


class LeaseTable:
    """The leases of one hub: for `partitions`, and for other partitions whose names begin with `prefix`."""

    def __init__(self, table: StorageTable, prefix: str, partitions: Sequence[str]) -> None:
        self._table = table
        self._partitions = partitions
        self._is_partition = re.compile(re.escape(prefix) + r"\d{2,4}", re.ASCII)
        self._reported = Counts()

    async def add(self, partition: str) -> None:
        """Adds a free lease for a partition, unless it has one."""
        try:
            await self._table.write(Operation(Write.INSERT, {**_key(partition), "IsDraining": False}))
        except Conflict:
            return

    async def read_all(self) -> Sequence[Lease]:
        """All leases. Adds missing ones for this host's partitions, which no host would listen to otherwise."""
        rows = await self._rows()
        missing = [name for name in self._partitions if name not in rows]
        for name in missing:
            await self.add(name)
        if missing:
            rows = await self._rows()
        return [self._lease(row) for name, row in rows.items() if self._is_partition.fullmatch(name)]

    async def peek_all(self) -> Sequence[Lease]:
        """All leases that there are; adds none."""
        try:
            rows = await self._rows()
        except Missing:
            return ()
        return [self._lease(row) for name, row in rows.items() if self._is_partition.fullmatch(name)]

    async def _rows(self) -> Mapping[str, StoredRow]:
        return {row.columns["RowKey"]: row for row in await self._table.query("PartitionKey eq ''")}

    async def replace(self, lease: Lease) -> None:
        try:
            await self._table.write(Operation(Write.REPLACE, _row(lease), lease.version))
        except (Conflict, Missing) as error:
            raise LeaseLost(f"Another host has written the lease of {lease.partition}.") from error

    def _lease(self, row: StoredRow) -> Lease:
        """The lease in a row; free if it cannot be read, so that a host takes it and writes a valid row.

        An owner learns from that write that it has lost the lease. Until then, the ETags of the histories protect them.
        """
        columns = Columns(row.columns)
        lease = Lease(
            partition=row.columns["RowKey"],
            version=row.etag,
            current_owner=columns.text("CurrentOwner") or None,
            next_owner=columns.text("NextOwner") or None,
            owned_since=columns.time("OwnedSince"),
            last_renewal=columns.time("LastRenewal"),
            expires_at=columns.time("ExpiresAt"),
            is_draining=columns.flag("IsDraining") or False,
        )
        if not columns.problems:
            return lease
        if self._reported.add(lease.partition) == 1:
            problems = "; ".join(columns.problems)
            _log.warning("The lease of %s is damaged and counts as free: %s", lease.partition, problems)
        return Lease(partition=lease.partition, version=row.etag)


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
