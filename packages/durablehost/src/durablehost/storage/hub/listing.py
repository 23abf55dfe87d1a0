"""Lists the task hubs of a storage account, by their tables."""

from __future__ import annotations

from collections.abc import Iterable

from durablehost.storage.account.connection import Connection
from durablehost.storage.account.names import HubNames
from durablehost.storage.account.services import open_services, translated

_SUFFIX = HubNames("").instances_table


async def list_task_hubs(connection: Connection) -> tuple[str, ...]:
    """The names of the hubs of an account, sorted. One request per 1,000 tables.

    Raises:
        StorageError: the account does not answer, or refuses.
    """
    async with open_services(connection) as services:
        with translated():
            tables = [str(table.name) async for table in services.tables.list_tables()]
    return hubs_among(tables)


def hubs_among(tables: Iterable[str]) -> tuple[str, ...]:
    """The hubs with these tables: each has one for its instances and one for their histories."""
    known = {name.lower() for name in tables}
    hubs = (name[: -len(_SUFFIX)] for name in tables if name.endswith(_SUFFIX) and name != _SUFFIX)
    return tuple(sorted(hub for hub in hubs if HubNames(hub).history_table.lower() in known))
