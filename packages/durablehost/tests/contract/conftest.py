"""A task hub on the run's Azurite, and the same storage seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("azure.data.tables", reason="needs azure.data, which is in requirements-dev.txt")

from durablehost.clock import SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.engine.ports import TaskHub
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import Account


@pytest.fixture
def options(azurite: Azurite, hub_name: str) -> StorageOptions:
    return StorageOptions(
        hub_name=hub_name,
        connection=ConnectionString(azurite.connection_string),
        worker_id="host-a",
        max_polling_interval_seconds=0.2,
    )


@pytest.fixture
def account(azurite: Azurite, hub_name: str) -> Iterator[Account]:
    account = Account(azurite.connection_string, hub_name)
    yield account
    account.close()


@pytest.fixture
async def idle_hub(options: StorageOptions) -> AsyncIterator[TaskHub]:
    """Created, but not started: all messages stay in the queues."""
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        yield hub


@pytest.fixture
async def hub(idle_hub: TaskHub) -> TaskHub:
    await idle_hub.start()
    return idle_hub
