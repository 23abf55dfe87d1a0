"""Creates the queues, tables and containers of a hub that do not exist yet.

The order is that of a real host: app lease, partitions, then tables and queues. The container of large messages is
created with the first large message.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from durablehost.storage.account.names import HubNames
from durablehost.storage.account.refusal import Conflict
from durablehost.storage.account.services import Services, translated
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.rows.lease_table import LeaseTable

_NO_OWNER = b"{}"


async def create_resources(services: Services, names: HubNames, queues: HubQueues, leases: LeaseTable) -> None:
    await _create_app_lease(services, names)
    await _create_table(services, names.partitions_table)

    async def create_partition(queue_name: str) -> None:
        await queues.queue(queue_name).create()
        await leases.add(queue_name)

    await call_each(lambda table: _create_table(services, table), [names.history_table, names.instances_table])
    await queues.work_items.create()
    await call_each(create_partition, queues.control_queue_names)


async def _create_app_lease(services: Services, names: HubNames) -> None:
    container = services.blobs.get_container_client(names.app_lease_container)
    await _unless_there(container.create_container())
    await _unless_there(container.upload_blob(names.app_lease_blob, _NO_OWNER, overwrite=False))


async def _create_table(services: Services, name: str) -> None:
    await _unless_there(services.tables.create_table(name))


async def _unless_there(creation: Awaitable[Any]) -> None:
    try:
        with translated():
            await creation
    except Conflict:
        return
