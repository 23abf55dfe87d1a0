"""Whether everybody can use the console: axe finds nothing serious, and the keyboard reaches every action."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from typing import Any

import pytest

from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.runs import add_run
from packages.durablehost.tests.browser.test_console import STATUS, add_entity, add_history, console, edge, page
from packages.durablehost.tests.browser.test_console_instance import WARNING, log
from packages.durablehost.tests.browser.test_console_tree import add, add_tree, calls, fold
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge

__all__ = ["edge", "page"]

Visit = Callable[[Edge, Page], Awaitable[None]]


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe, as a package for Python carries it."""
    try:
        return (resources.files("axe_core_python") / "axe.min.js").read_text("utf-8")
    except ModuleNotFoundError:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("needs axe-core-python of requirements-dev.txt")


async def visit_list(edge: Edge, page: Page) -> None:
    await page.go(console(edge))
    await page.shows("Live", "63 of 100 chunks", "instances", "in all")
    await eventually(lambda: page.run("!!document.querySelector('.plot canvas')"))


async def visit_instance(edge: Edge, page: Page) -> None:
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Why is it waiting?", "approve")
    await page.click("activity Check (task 1)")
    await page.shows("the blob is gone")


async def visit_dialog(edge: Edge, page: Page) -> None:
    await page.go(console(edge, "#/instances/run"))
    await page.click("Terminate …")
    await page.shows("Ends the instance at its next episode.")


async def visit_start(edge: Edge, page: Page) -> None:
    await page.go(console(edge))
    await page.click("Start …")
    await page.shows("Last inputs", "The input of")


async def visit_result(edge: Edge, page: Page) -> None:
    add_run(edge.hub, 12, failed=frozenset({3}))
    log(edge, "slow", WARNING, task=0)
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Failed chunks 1", "The mean of each chunk", "slow")
    await page.click("slow")


async def visit_tree(edge: Edge, page: Page) -> None:
    add_tree(edge.hub)
    await page.go(console(edge, "#/instances/root"))
    await page.shows("Sub-orchestrations", "cause", "late")
    await fold(page, "bad-1")
    await page.shows("No sub-orchestrations of its own.")


async def visit_purge(edge: Edge, page: Page) -> None:
    await visit_list(edge, page)
    await page.click("Purge all that match …")
    await page.shows("This cannot be undone.")


async def visit_entities(edge: Edge, page: Page) -> None:
    await page.go(console(edge, "#/entities"))
    await page.shows("1 entity", "41")


async def visit_entity(edge: Edge, page: Page) -> None:
    await page.go(console(edge, "#/entities/%40counter%40a"))
    await page.shows("State", "41")


VIEWS = [
    visit_list, visit_purge, visit_start, visit_instance, visit_dialog, visit_result, visit_tree,
    visit_entities, visit_entity,
]  # fmt: skip


@pytest.fixture
async def full(edge: Edge) -> Edge:
    """A hub with an instance of every status, a history with every kind of entry, and an entity."""
    for status in RuntimeStatus:
        edge.hub.add(f"a-{status.value}", status, input="17", output='"done"')
    edge.hub.add("run", custom_status=STATUS % 63, input='{"chunks": 100}', parent_id="root")
    add_history(edge)
    add_entity(edge, "@counter@a", "41")
    return edge


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("visit", VIEWS, ids=lambda visit: visit.__name__)
async def test_axe_finds_nothing_serious(axe: str, full: Edge, page: Page, visit: Visit, scheme: str) -> None:
    await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await visit(full, page)
    assert await serious_findings(axe, page) == []


async def serious_findings(axe: str, page: Page) -> list[str]:
    await page.run(f"{axe}; 0")
    found: list[dict[str, Any]] = json.loads(
        await page.run("axe.run({resultTypes: ['violations']}).then(({violations}) => JSON.stringify(violations))")
    )
    return [
        f"{each['id']}: {each['help']}: {node['html']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


FOCUSED = "(e => (e.innerText || e.name || e.getAttribute('aria-label') || '').trim())(document.activeElement)"
CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "Left": 37, "Up": 38, "Right": 39, "Down": 40}


async def press(page: Page, key: str) -> None:
    name = f"Arrow{key}" if key in ("Left", "Up", "Right", "Down") else key
    known = {"key": name, "code": name, "windowsVirtualKeyCode": CODES[key]}
    await page.call("Input.dispatchKeyEvent", type="keyDown", text="\r" if key == "Enter" else "", **known)
    await page.call("Input.dispatchKeyEvent", type="keyUp", **known)


async def tab_to(page: Page, wanted: str) -> None:
    """Presses Tab until the element with this text or name has the focus."""
    passed = []
    for _ in range(60):
        await press(page, "Tab")
        passed.append(await page.run(FOCUSED))
        if passed[-1] == wanted:
            return
    raise AssertionError(f"{wanted} is not among {passed}")


async def test_an_instance_is_opened_and_acted_on_with_the_keyboard_alone(full: Edge, page: Page) -> None:
    await visit_list(full, page)
    await tab_to(page, "run")
    await press(page, "Enter")
    await page.shows("Why is it waiting?")
    for action in ("Raise event …", "Suspend …", "Terminate …", "Restart …", "Start another …", "Failed 1"):
        await page.run("document.activeElement.blur()")
        await tab_to(page, action)
    await page.run("document.activeElement.blur()")
    await tab_to(page, "Suspend …")
    await press(page, "Enter")
    await page.shows("Its messages wait until it is resumed.")
    await press(page, "Escape")
    await eventually(lambda: page.run("!document.querySelector('dialog')"))
    assert full.hub.sent == []
    assert await page.run(FOCUSED) == "Suspend …"
    await press(page, "Enter")
    await page.shows("Its messages wait until it is resumed.")
    await tab_to(page, "Suspend")
    await press(page, "Enter")
    await eventually(lambda: len(full.hub.sent) == 1)


async def test_the_tree_is_unfolded_with_the_keyboard_alone(full: Edge, page: Page) -> None:
    add_tree(full.hub)
    await page.go(console(full, "#/instances/root"))
    await page.shows("Sub-orchestrations", "cause")
    await tab_to(page, "Sub-orchestrations of Child (task 0)")
    await press(page, "Enter")
    await page.shows("good-1")
    assert await page.run(FOCUSED) == "Sub-orchestrations of Child (task 0)"
    await press(page, "Enter")
    await eventually(lambda: is_hidden(page, "good-1"))


async def test_the_rows_of_the_tree_are_walked_with_the_arrow_keys(full: Edge, page: Page) -> None:
    add_tree(full.hub)
    for number in range(100):
        add(full.hub, f"late-{number}", "late")
    full.hub.histories["late"] = calls(*((f"late-{number}", RuntimeStatus.RUNNING) for number in range(100)))
    await page.go(console(full, "#/instances/root"))
    await page.shows("Sub-orchestrations", "cause", "late-0")
    await page.run("document.querySelector('.tree tr[tabindex=\"0\"]').focus()")

    async def walk(*steps: tuple[str, str]) -> None:
        for key, expected in steps:
            await press(page, key)
            await eventually(partial(has_focus, page, expected))

    await walk(("Down", "good"), ("Right", "good"))
    await page.shows("good-1")
    await walk(("Right", "good-1"), ("Left", "good"), ("Left", "good"))
    await eventually(lambda: is_hidden(page, "good-1"))
    await walk(("Down", "bad"), ("Right", "bad-1"), ("Down", "cause"), ("Left", "bad"), ("Up", "good"))
    await walk(("End", "late-99"), ("Left", "late"), ("Home", "root"), ("Up", "root"))
    await page.run("document.querySelector('.tree a[title=good]').focus()")
    await walk(("Down", "bad"))
    await press(page, "Enter")
    await page.shows("Failed after")
    assert await page.run("location.hash") == "#/instances/bad"


async def has_focus(page: Page, instance_id: str) -> bool:
    """Whether the row of this instance in the tree has the focus, and is in sight."""
    found = "(e => e.matches('tr') && e.querySelector('[title]').title)(document.activeElement)"
    return bool(await page.run(found) == instance_id and await page.run(FOCUS_IN_SIGHT))


FOCUS_IN_SIGHT = """(() => {
  const row = document.activeElement.getBoundingClientRect();
  const box = document.querySelector('.tree').getBoundingClientRect();
  return row.top >= box.top + 30 && row.bottom <= box.bottom + 1;
})()"""


async def is_hidden(page: Page, text: str) -> bool:
    return text not in await page.text()
