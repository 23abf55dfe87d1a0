"""A connection to storage that fails at a chosen request, like a crash or an outage of storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import (
    ClientConnectionError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
)

from durablehost.clock import SystemClock
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.services import open_services
from durablehost.storage.hub.task_hub import AzureStorageTaskHub
from durablehost.storage.messages.journal import JournalFolder


class Line:
    """Cuts the connection after a number of writes; no later request gets through. `None`: never cut."""

    def __init__(self, writes: int | None = None) -> None:
        self.writes_left = writes
        self.was_cut = asyncio.Event()

    def cut(self) -> None:
        self.writes_left = 0
        self.was_cut.set()

    def mend(self) -> None:
        self.writes_left = None
        self.was_cut.clear()

    def permits(self, method: str) -> bool:
        if self.writes_left is None:
            return True
        if method != "GET":
            if self.writes_left <= 0:
                self.was_cut.set()
            self.writes_left -= 1
        return not self.was_cut.is_set()

    async def __call__(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        """A middleware of the connections to the storage."""
        if not self.permits(request.method):
            raise ClientConnectionError("the line is cut")
        return await send(request)


async def _no_pause(seconds: float) -> None:
    """Replaces the delays between attempts, which would slow down the tests."""


@asynccontextmanager
async def open_failing_hub(
    options: StorageOptions, line: ClientMiddlewareType, journals: JournalFolder | None = None
) -> AsyncIterator[AzureStorageTaskHub]:
    """A hub whose requests go through `line`; with a `Line` that is cut, its process looks dead to the storage."""
    async with open_services(
        options.connection, new_session=lambda: ClientSession(middlewares=(line,)), pause=_no_pause
    ) as services:
        hub = AzureStorageTaskHub(options, SystemClock(), services, journals)
        try:
            yield hub
        finally:
            await hub.stop()
