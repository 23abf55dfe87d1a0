"""Deletes everything of a hub in storage, including the remains of other partition counts and of older real hosts.

Mirrors AzureStorageOrchestrationService.DeleteAsync.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from durablehost.storage.account.names import HubNames
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.refusal import Missing
from durablehost.storage.account.services import Services, open_services, translated


async def delete_task_hub(options: StorageOptions) -> Mapping[str, tuple[str, ...]]:
    """Deletes the existing queues, tables and containers of a hub; returns their names, by kind.

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
    """All control queues of the hub: earlier hosts may have used more partitions."""
    with translated():
        found = services.queues.list_queues(name_starts_with=names.control_queue_prefix)
        return [str(queue.name) async for queue in found]


async def _delete_tables(services: Services, tables: Iterable[str]) -> tuple[str, ...]:
    # Listed first: the SDK raises no error when it deletes a table that does not exist.
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
