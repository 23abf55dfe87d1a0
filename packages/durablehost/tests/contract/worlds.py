"""The two kinds of storage that every hub test runs on, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from durablehost.clock import SystemClock
from durablehost.engine.ports import TaskHub
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.hubs.memory import MemoryStorage, MemoryTaskHub


class World(Protocol):
    """One storage with one task hub in it, and any number of hosts that use it."""

    async def open(self, *, worker_id: str = "host-a") -> TaskHub:
        """Starts another host; it is stopped at the end of the test at the latest."""


@dataclass
class MemoryWorld:
    storage: MemoryStorage
    stack: AsyncExitStack

    async def open(self, *, worker_id: str = "host-a") -> TaskHub:
        hub = MemoryTaskHub(SystemClock(), self.storage, worker_id=worker_id)
        await hub.start()
        self.stack.push_async_callback(hub.stop)
        return hub


@dataclass
class AzureWorld:
    options: StorageOptions
    stack: AsyncExitStack
    is_abandoned_owner: Callable[[str], bool] = lambda owner: False

    async def open(self, *, worker_id: str = "host-a") -> TaskHub:
        options = replace(self.options, worker_id=worker_id, is_abandoned_owner=self.is_abandoned_owner)
        hub = await self.stack.enter_async_context(open_task_hub(options, SystemClock()))
        await hub.create()
        await hub.start()
        return hub
