"""The server of `durablehost console`: several hubs, none of which waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.web.console.hubs import Account
from durablehost.web.console_server import ConsoleServer
from packages.durablehost.tests.eventually import WAIT_SECONDS
from packages.durablehost.tests.unit.web.fakes import FakeHub, FixedClock


class SlowHubs:
    """One account, whose hubs open when `answers` is set."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def accounts(self) -> Sequence[Account]:
        return []

    async def open(self, connection_name: str, hub_name: str) -> OrchestrationClient | None:
        self.is_asked.set()
        await self.answers.wait()
        return client_of(FakeHub())


def client_of(hub: FakeHub) -> OrchestrationClient:
    return OrchestrationClient(hub.port, None, FixedClock(), entity_functions=None)


async def test_the_own_hub_is_shown_while_another_is_slow_to_open() -> None:
    hubs = SlowHubs()
    server = ConsoleServer(
        client_of(FakeHub()), FixedClock(), hub_name="Own", connection_name="Local", allows_actions=False, hubs=hubs
    )
    await server.start(0)

    async def shown(hub_name: str) -> str:
        names = {"taskHub": hub_name, "connection": "Local"}
        async with session.get(f"{server.url}/api/hub", params=names) as answer:
            return str((await answer.json())["hub"])

    async with aiohttp.ClientSession() as session:
        other = asyncio.create_task(shown("Slow"))
        await hubs.is_asked.wait()
        assert await asyncio.wait_for(shown("Own"), WAIT_SECONDS) == "Own"
        assert not other.done()
        hubs.answers.set()
        assert await other == "Slow"
    await server.stop()


async def test_without_actions_no_route_changes_the_storage() -> None:
    hub = FakeHub()
    hub.add("a", RuntimeStatus.FAILED)
    server = ConsoleServer(
        client_of(hub), FixedClock(), hub_name="Own", connection_name="Local", allows_actions=False, hubs=None
    )
    await server.start(0)
    origin = server.url.removesuffix("/console")
    purges = ("console/api/instances/a?updated=2026-03-01T10:00:02.123456Z", "runtime/webhooks/durabletask/instances/a")

    async with aiohttp.ClientSession() as session:
        for path in purges:
            async with session.delete(f"{origin}/{path}") as answer:
                assert answer.status == 403
                assert "--allow-actions" in await answer.text()
    assert list(hub.records) == ["a"]
    await server.stop()
