"""The console without a host, in a real browser: what it offers if it only reads, and if it may act."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from durablehost.engine.client import OrchestrationClient
from durablehost.web.console.hubs import Account
from durablehost.web.console_server import ConsoleServer
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import page
from packages.durablehost.tests.browser.test_console_access import axe, serious_findings
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.fakes import FakeHub, FixedClock

__all__ = ["axe", "page"]

Open = Callable[[bool], Awaitable[str]]


class FakeHubs:
    """Two accounts: one with the hub of the console and another hub, and one that does not answer."""

    def __init__(self) -> None:
        self.other = FakeHub()
        self.other.add("there", name="Remote")
        self.asked = 0

    async def accounts(self) -> list[Account]:
        self.asked += 1
        return [
            Account(connection_name="Local", hubs=("Other", "Second")),
            Account(connection_name="Remote", problem="It does not answer."),
        ]

    async def open(self, connection_name: str, hub_name: str) -> OrchestrationClient | None:
        return client_of(self.other) if (connection_name, hub_name) == ("Local", "Second") else None


def client_of(hub: FakeHub) -> OrchestrationClient:
    return OrchestrationClient(hub.port, None, FixedClock(), entity_functions=None)


@pytest.fixture
def hub() -> FakeHub:
    hub = FakeHub()
    hub.add("run")
    return hub


@pytest.fixture
def hubs() -> FakeHubs:
    return FakeHubs()


@pytest.fixture
async def alone(hub: FakeHub, hubs: FakeHubs) -> AsyncIterator[Open]:
    """Starts a console and returns its address; the argument: whether it allows actions."""
    servers: list[ConsoleServer] = []

    async def start(allows_actions: bool) -> str:
        server = ConsoleServer(
            client_of(hub),
            FixedClock(),
            hub_name="Other",
            connection_name="Local",
            allows_actions=allows_actions,
            hubs=hubs,
        )
        servers.append(server)
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
    assert buttons == ["Other hubs …"]


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


async def test_offers_the_last_inputs_of_any_orchestrator_as_they_are_stored(
    alone: Open, hub: FakeHub, page: Page
) -> None:
    hub.add("earlier", name="Anything", input='"{\\"a\\": 1}"')
    await page.go(await alone(True))
    await page.click("Start …")
    await page.type("dialog input[name=name]", "Anything")
    await page.shows("The input of earlier, created")
    # The orchestrator may be of another language, to which JSON text and the object are not the same.
    assert await page.run("document.querySelector('dialog textarea').value") == hub.records["earlier"].input


async def test_an_address_without_the_storage_connection_says_what_it_lacks(alone: Open, page: Page) -> None:
    await page.go(f"{await alone(False)}?taskHub=Second")
    await page.shows("The address names the task hub 'Second' without its storage connection. Add '&connection='")
    page.errors = [error for error in page.errors if "409" not in error]


async def test_another_hub_is_chosen_from_a_list_and_only_read(
    alone: Open, hubs: FakeHubs, page: Page, axe: str
) -> None:
    url = await alone(True)
    await page.go(url)
    await page.shows("Task hub Other", "run", "Start …")
    assert hubs.asked == 0
    await page.click("Other hubs …")
    await page.shows("Storage Local", "Second", "Storage Remote", "It does not answer.")
    assert await serious_findings(axe, page) == []
    await page.click("Second", "dialog a")
    await page.shows("Task hub Second", "Only reads", "there", "Live")
    assert await page.run("location.search") == "?taskHub=Second&connection=Local"
    await page.click("there")
    await page.shows("Running for", "Why is it waiting?")
    assert "Terminate" not in await page.text()
    refused = await page.run(
        "fetch('/runtime/webhooks/durabletask/instances/there/terminate?taskHub=Second&connection=Local',"
        " {method: 'POST'}).then(answer => answer.status)"
    )
    assert (refused, hubs.other.sent) == (501, [])
    page.errors = [error for error in page.errors if "501" not in error]


async def test_every_request_of_a_page_names_its_hub(alone: Open, page: Page) -> None:
    await page.go(await alone(False))
    await page.shows("Live", "run")
    await page.click("run")
    await page.shows("Why is it waiting?")
    data = [url for url in page.urls if "/console/api/" in url and not url.endswith("/changes?")]
    assert data
    assert [url for url in data if "taskHub=Other&connection=Local" not in url] == []


async def test_a_hub_that_does_not_exist_is_named_as_the_problem(alone: Open, page: Page) -> None:
    await page.go(f"{await alone(False)}?taskHub=Gone&connection=Local")
    await page.shows("The storage 'Local' has no task hub 'Gone'.")
    kept = "fetch('/console/api/hub?taskHub=Gone&connection=Local').then(answer => answer.headers.get('cache-control'))"
    assert await page.run(kept) == "no-store"
    page.errors = [error for error in page.errors if "404" not in error]


async def test_says_where_the_logs_of_an_instance_are(alone: Open, page: Page) -> None:
    await page.go(f"{await alone(False)}#/instances/run")
    await page.shows("open the console of that host")
