"""The tree of sub-orchestrations on the page of an instance, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from durablehost.core.history import (
    ExecutionCompleted,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
)
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import STATUS, change, console, edge, page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub

__all__ = ["edge", "page"]

COMPLETED, FAILED, RUNNING = RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.RUNNING
Child = tuple[str, RuntimeStatus]


def calls(*children: Child, status: RuntimeStatus = RUNNING) -> tuple[HistoryEvent, ...]:
    """The history of an instance that has called these children, each of which has the status."""
    events: list[HistoryEvent] = []
    for task, (child, outcome) in enumerate(children):
        end = BEGIN + timedelta(seconds=2)
        events.append(SubOrchestrationInstanceCreated(timestamp=BEGIN, event_id=task, name="Child", instance_id=child))
        if outcome is COMPLETED:
            events.append(SubOrchestrationInstanceCompleted(timestamp=end, task_scheduled_id=task, result="1"))
        elif outcome is FAILED:
            events.append(SubOrchestrationInstanceFailed(timestamp=end, task_scheduled_id=task, reason="no data"))
    if status is not RUNNING:
        end = BEGIN + timedelta(seconds=3)
        events.append(ExecutionCompleted(timestamp=end, orchestration_status=status))
    return tuple(events)


def add(hub: FakeHub, instance_id: str, parent: str | None, *children: Child, status: RuntimeStatus = RUNNING) -> None:
    hub.add(instance_id, status, parent_id=parent)
    hub.histories[instance_id] = calls(*children, status=status)


def add_tree(hub: FakeHub) -> None:
    """`root` has called `good`, `bad` and `late`. `bad` has failed because of its child `cause`; `late` is running."""
    add(hub, "root", None, ("good", COMPLETED), ("bad", FAILED), ("late", RUNNING))
    add(hub, "good", "root", ("good-1", COMPLETED), status=COMPLETED)
    add(hub, "good-1", "good", status=COMPLETED)
    add(hub, "bad", "root", ("bad-1", COMPLETED), ("cause", FAILED), status=FAILED)
    add(hub, "bad-1", "bad", status=COMPLETED)
    add(hub, "cause", "bad", status=FAILED)
    add(hub, "late", "root")


async def tree(page: Page) -> list[str]:
    """The rows of the tree in sight, with the level of each."""
    drawn = "row => `${row.getAttribute('aria-level')} ${row.innerText}`"
    return list(await page.run(f"[...document.querySelectorAll('.tree tbody tr:not(.room)')].map({drawn})"))


async def shows_tree(page: Page, *expected: Sequence[str]) -> None:
    """Waits for these rows: each has these texts."""

    async def is_shown() -> bool:
        found = await tree(page)
        assert len(found) == len(expected), found
        for row, texts in zip(found, expected, strict=True):
            assert all(text in row for text in texts), (row, texts)
        return True

    await eventually(is_shown)


async def fold(page: Page, instance_id: str) -> None:
    """Unfolds a row, or folds it."""
    find = f"document.querySelector('.tree a[title={json.dumps(instance_id)}]')?.closest('tr').querySelector('button')"
    await eventually(lambda: page.run(f"(e => !!e && (e.click(), true))({find})"))


def asked(page: Page, name: str) -> int:
    """How many requests had this path below `instances`."""
    return sum(url.partition("?")[0].endswith(f"/instances/{name}") for url in page.urls)


async def test_the_tree_leads_to_what_has_failed_and_unfolds_in_place(edge: Edge, page: Page) -> None:
    add_tree(edge.hub)
    await page.go(console(edge, "#/instances/root"))
    await shows_tree(
        page,
        ["1 ", "root", "Running"],
        ["2 Child (task 0)", "good", "Completed", "2 s"],
        ["2 Child (task 1)", "bad", "Failed"],
        ["3 Child (task 0)", "bad-1", "Completed"],
        ["3 Child (task 1)", "cause", "Failed"],
        ["2 Child (task 2)", "late", "Running"],
    )
    await eventually(lambda: asked(page, "late/history") == 1)
    assert [asked(page, f"{each}/history") for each in ("good", "bad-1", "good-1")] == [0, 0, 0]

    await fold(page, "good")
    await shows_tree(page, ["root"], ["good"], ["3 ", "good-1"], ["bad"], ["bad-1"], ["cause"], ["late"])
    await fold(page, "good-1")
    await fold(page, "bad")
    await shows_tree(
        page, ["root"], ["good"], ["3 ", "good-1"], ["4 ", "No sub-orchestrations of its own."], ["bad"], ["late"]
    )
    for element in ("tr", ".fold"):
        expanded = f"[...document.querySelectorAll('.tree {element}[aria-expanded]')].map(e => e.ariaExpanded)"
        assert await page.run(expanded) == ["true", "true", "false", "false"]


async def test_the_page_of_a_child_shows_its_ancestors_and_itself(edge: Edge, page: Page) -> None:
    add_tree(edge.hub)
    await page.go(console(edge, "#/instances/root"))
    await page.click("Child (task 1) cause", ".tree a")
    await shows_tree(page, ["1 ", "root", "Running"], ["2 ", "bad", "Failed"], ["3 ", "cause", "Failed"])
    current = "[...document.querySelectorAll('.tree [aria-current]')].map(each => each.innerText)"
    assert await page.run(current) == ["Orch"]
    assert await page.run("document.querySelector('.tree [aria-current]').title") == "cause"
    change(edge, "root", runtime_status=RuntimeStatus.SUSPENDED)
    await shows_tree(page, ["root", "Suspended"], ["bad"], ["cause"])
    await page.click("Orch bad", ".tree a")
    await shows_tree(page, ["root"], ["2 ", "bad", "Failed"], ["3 ", "bad-1"], ["cause", "Failed"])
    assert await page.run("document.querySelector('.tree [aria-current]').title") == "bad"


async def test_an_instance_without_parent_and_children_has_no_tree(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    edge.hub.histories["run"] = (TaskScheduled(timestamp=BEGIN, event_id=0, name="Load"),)
    await page.go(console(edge, "#/instances/run"))
    await page.shows("0 of 1 activity")
    assert "Sub-orchestrations" not in await page.text()


async def test_ancestors_and_children_that_were_purged_are_named(edge: Edge, page: Page) -> None:
    add_tree(edge.hub)
    del edge.hub.records["root"], edge.hub.records["bad-1"]
    await page.go(console(edge, "#/instances/bad"))
    await fold(page, "bad-1")
    gone = "4 There is no instance with this id: it has not begun yet, or it was purged."
    await shows_tree(page, ["1 ", "root", "purged"], ["2 ", "bad"], ["bad-1", "Completed"], [gone], ["cause"])


async def test_children_have_their_present_status_from_the_start(edge: Edge, page: Page) -> None:
    add(edge.hub, "root", None, ("held", RUNNING), ("unborn", RUNNING), ("done", COMPLETED))
    edge.hub.add("held", RuntimeStatus.SUSPENDED, parent_id="root", custom_status=STATUS % 63)
    await page.go(console(edge, "#/instances/root"))
    await shows_tree(
        page, ["root"], ["held", "Suspended", "63 of 100 chunks"], ["unborn", "Pending"], ["done", "Completed"]
    )
    await eventually(lambda: asked(page, "unborn/history") == 1)
    add(edge.hub, "unborn", "root")
    change(edge, "unborn")
    await shows_tree(page, ["root"], ["held", "Suspended"], ["unborn", "Running"], ["done"])
    queries = [url for url in page.urls if "/rows?" in url]
    assert len(queries) == 1
    assert "id=done" not in queries[0]


async def test_the_tree_follows_changes_while_one_looks(edge: Edge, page: Page) -> None:
    add_tree(edge.hub)
    await page.go(console(edge, "#/instances/root"))
    await eventually(lambda: asked(page, "late/history") == 1)
    await fold(page, "late")
    await shows_tree(
        page, ["root"], ["good"], ["bad"], ["bad-1"], ["cause"], ["late", "Running"], ["3 No sub-orchestrations"]
    )
    edge.hub.histories["late"] = calls(("late-1", RUNNING))
    change(edge, "late", custom_status=STATUS % 63)
    add(edge.hub, "late-1", "late")
    above = [["root"], ["good"], ["bad"], ["bad-1"], ["cause"]]
    await shows_tree(
        page, *above, ["late", "Running", "63 of 100 chunks, 2 failed"], ["3 Child (task 0)", "late-1", "Running"]
    )

    change(edge, "late-1", runtime_status=RuntimeStatus.TERMINATED)
    await shows_tree(page, *above, ["late", "Running"], ["late-1", "Terminated"])
    add(edge.hub, "new", "root")
    edge.hub.histories["root"] = calls(("good", COMPLETED), ("bad", FAILED), ("late", COMPLETED), ("new", RUNNING))
    change(edge, "late", runtime_status=COMPLETED, completed_at=BEGIN + timedelta(seconds=2))
    change(edge, "root")
    await shows_tree(page, *above, ["late", "Completed", "2 s"], ["late-1"], ["2 Child (task 3)", "new", "Running"])


async def test_a_tree_of_5000_children_draws_the_rows_in_sight_alone(edge: Edge, page: Page) -> None:
    add(edge.hub, "root", None, *((f"child-{number}", FAILED) for number in range(5000)))
    for number in range(5000):
        add(edge.hub, f"child-{number}", "root", status=FAILED)
    await page.go(console(edge, "#/instances/root"))
    await page.shows("5,000 of 5,000 sub-orchestrations", "child-7")
    assert len(await tree(page)) < 60
    await page.run("document.querySelector('.tree').scrollTop = 1e9")
    await eventually(partial(ends_with, page, "child-4999"))
    await fold(page, "child-4999")
    await eventually(partial(ends_with, page, "No sub-orchestrations of its own."))
    # The root, those that the page unfolds, and the last one.
    await eventually(lambda: histories_read(page) == 1 + 10 + 1)


def histories_read(page: Page) -> int:
    return len({url for url in page.urls if "/history" in url})


async def ends_with(page: Page, text: str) -> bool:
    return text in (await tree(page))[-1]
