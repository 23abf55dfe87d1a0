"""The console without a host, in a real browser: what it offers if it only reads, and if it may act."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from durablehost.engine.client import OrchestrationClient
from durablehost.web.console_server import ConsoleServer
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.fakes import FakeHub, FixedClock

__all__ = ["page"]

Open = Callable[[bool], Awaitable[str]]


@pytest.fixture
def hub() -> FakeHub:
    hub = FakeHub()
    hub.add("run")
    return hub


@pytest.fixture
async def alone(hub: FakeHub) -> AsyncIterator[Open]:
    """Starts a console and returns its address; the argument: whether it allows actions."""
    servers: list[ConsoleServer] = []

    async def start(allows_actions: bool) -> str:
        client = OrchestrationClient(hub.port, None, FixedClock(), entity_functions=None)
        servers.append(ConsoleServer(client, FixedClock(), hub_name="Other", allows_actions=allows_actions))
        await servers[-1].start(0)
        return servers[-1].url

    yield start
    for server in servers:
        await server.stop()


async def test_a_console_that_only_reads_offers_no_action(alone: Open, page: Page) -> None:
    url = await alone(False)
    await page.go(url)
    await page.shows("Task hub Other", "Only reads", "run")
    await page.click("run")
    await page.shows("Running for", "Why is it waiting?")
    buttons = await page.run(
        "[...document.querySelectorAll('button')].map(each => each.innerText).filter(text => text.includes('…'))"
    )
    assert buttons == []


async def test_a_console_that_may_act_says_that_a_host_has_to_run_a_start(
    alone: Open, hub: FakeHub, page: Page
) -> None:
    await page.go(await alone(True))
    await page.click("Start …")
    await page.shows("This console stores the start; a host has to run it.")
    await page.type("dialog input[name=name]", "Anything")
    await page.type("dialog input[name=id]", "mine")
    await page.click("Start", "dialog button")
    await page.shows("Pending", "mine")
    assert hub.records["mine"].name == "Anything"
    await page.click("Terminate …")
    await page.click("Terminate", "dialog button")
    await eventually(lambda: len(hub.sent) == 1)
