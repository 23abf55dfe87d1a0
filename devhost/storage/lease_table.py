"""The table of partitions: one row per control queue, which says who listens to it.

Every write replaces the whole row under the ETag it was read with, so that cleared columns are gone. Mirrors
DurableTask.AzureStorage.TablePartitionLease.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from azure.core import MatchConditions
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from devhost.engine.partitions import Lease
from devhost.errors import LeaseLost
from devhost.storage.entity_table import Column
from devhost.storage.history_rows import plain_time
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.services import translated


class LeaseTable:
    """The partition leases of one hub."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    async def add(self, partition: str) -> None:
        """Adds the row of a partition that nobody owns yet, unless there is one."""
        try:
            with translated():
                await self._table.create_entity({**_key(partition), "IsDraining": False})
        except Conflict:
            return

    async def read_all(self) -> Sequence[Lease]:
        with translated():
            return [_lease(row) async for row in self._table.query_entities("PartitionKey eq ''")]

    async def replace(self, lease: Lease) -> None:
        try:
            with translated():
                await self._table.update_entity(
                    _row(lease),
                    mode=UpdateMode.REPLACE,
                    etag=lease.version,
                    match_condition=MatchConditions.IfNotModified,
                )
        except (Conflict, Missing) as error:
            raise LeaseLost(f"Another host has written the lease of {lease.partition}.") from error


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


def _lease(row: Any) -> Lease:
    times = {name: plain_time(row[name]) for name in ("OwnedSince", "LastRenewal", "ExpiresAt") if row.get(name)}
    return Lease(
        partition=row["RowKey"],
        version=row.metadata["etag"],
        current_owner=row.get("CurrentOwner") or None,
        next_owner=row.get("NextOwner") or None,
        owned_since=times.get("OwnedSince"),
        last_renewal=times.get("LastRenewal"),
        expires_at=times.get("ExpiresAt"),
        is_draining=bool(row.get("IsDraining", False)),
    )
