"""Everything in storage that belongs to a hub, deleted; what other hubs and versions of real hosts have left included.

Mirrors AzureStorageOrchestrationService.DeleteAsync.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from devhost.storage.names import HubNames
from devhost.storage.options import StorageOptions
from devhost.storage.refusal import Missing
from devhost.storage.services import Services, open_services, translated


async def delete_task_hub(options: StorageOptions) -> Mapping[str, tuple[str, ...]]:
    """Deletes the queues, tables and containers of a hub that are there; returns their names, by kind.

    The queues go first: without messages nothing runs any more. Safe to repeat.
    """
    names = HubNames(options.hub_name)
    async with open_services(options.connection) as services:
        queues = [names.work_item_queue, *await _control_queues(services, names)]
        return {
            "queues": await _delete_each(queues, lambda name: services.queues.get_queue_client(name).delete_queue()),
            "tables": await _delete_tables(services, names.tables),
            "containers": await _delete_each(
                names.containers, lambda name: services.blobs.get_container_client(name).delete_container()
            ),
        }


async def _control_queues(services: Services, names: HubNames) -> list[str]:
    """However many there are: the number of partitions may have been another one before."""
    with translated():
        found = services.queues.list_queues(name_starts_with=names.control_queue_prefix)
        return [str(queue.name) async for queue in found]


async def _delete_tables(services: Services, tables: Iterable[str]) -> tuple[str, ...]:
    # To delete a table that is not there is no error to the SDK, so it tells nothing.
    with translated():
        known = {str(table.name).lower() async for table in services.tables.list_tables()}
    return await _delete_each(
        [name for name in tables if name.lower() in known], lambda name: services.tables.delete_table(name)
    )


async def _delete_each(names: Iterable[str], delete: Callable[[str], Awaitable[Any]]) -> tuple[str, ...]:
    deleted = []
    for name in names:
        try:
            with translated():
                await delete(name)
        except Missing:
            continue
        deleted.append(name)
    return tuple(deleted)
