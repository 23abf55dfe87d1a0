"""The dialogs of the console's actions, in a real browser, when a change has not reached the page yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.lineage import continued_execution_id
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import change, console, edge, page
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN

__all__ = ["edge", "page"]


def change_unseen(edge: Edge, **changes: Any) -> None:
    """Stores a change so long ago that the search for changes does not find it."""
    change(edge, "run", **{"last_updated_at": BEGIN - timedelta(days=1), **changes})


@pytest.mark.parametrize(
    ("action", "before", "after", "said"),
    [
        ("Suspend", RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED, "The instance is Suspended now."),
        ("Resume", RuntimeStatus.SUSPENDED, RuntimeStatus.RUNNING, "The instance is Running now."),
        ("Terminate", RuntimeStatus.RUNNING, RuntimeStatus.COMPLETED, "The instance has ended already."),
        ("Rewind", RuntimeStatus.FAILED, RuntimeStatus.RUNNING, "The instance is Running now."),
        ("Rewind", RuntimeStatus.FAILED, RuntimeStatus.FAILED, "The instance has changed meanwhile."),
        ("Restart", RuntimeStatus.COMPLETED, RuntimeStatus.COMPLETED, "The instance has changed meanwhile."),
        ("Terminate", RuntimeStatus.RUNNING, RuntimeStatus.RUNNING, "Another run has begun under this id."),
    ],
)
async def test_an_action_that_no_longer_fits_is_not_sent(
    edge: Edge, page: Page, action: str, before: RuntimeStatus, after: RuntimeStatus, said: str
) -> None:
    edge.hub.add("run", before)
    await page.go(console(edge, "#/instances/run"))
    await page.click(f"{action} …")
    change_unseen(edge, runtime_status=after, execution_id="e2")
    await page.click(action, "dialog button")
    await page.shows(said)
    assert (edge.hub.sent, edge.hub.rewound, list(edge.hub.records)) == ([], [], ["run"])


async def test_an_action_on_an_instance_that_has_continued_as_new_is_sent(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/run"))
    await page.click("Terminate …")
    change(edge, "run", execution_id=continued_execution_id("e1"))
    await page.click("Terminate", "dialog button")
    await page.shows("Terminate: the request is stored.")
    assert len(edge.hub.sent) == 1


async def test_an_action_on_an_instance_that_was_purged_says_so(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/run"))
    await page.click("Terminate …")
    edge.hub.records.clear()
    await page.click("Terminate", "dialog button")
    await page.shows("There is no such instance.")
    assert edge.hub.sent == []
    page.errors = [error for error in page.errors if "404" not in error]


async def test_a_start_under_the_id_of_a_running_instance_says_so(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge))
    await page.click("Start …")
    await page.type("dialog input[name=id]", "run")
    await page.click("Start", "dialog button")
    await page.shows("An Orchestration instance with the status Running already exists.")
    page.errors = [error for error in page.errors if "409" not in error]
