"""The list of the console in a real browser: its filters, its order, its plot, and what a purge can remove."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstancePage, InstanceQuery
from durablehost.errors import StorageUnavailable
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import STATUS, change, console, edge, hold_listings, page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN

__all__ = ["edge", "page"]

IDS = "[...document.querySelectorAll('td.id')].map(each => each.innerText)"
NO_DIALOG = "!document.querySelector('dialog')"


def add_two_kinds(edge: Edge) -> None:
    for number in range(3):
        edge.hub.add(f"old-{number}", RuntimeStatus.FAILED)
        edge.hub.add(f"new-{number}", RuntimeStatus.COMPLETED)


async def is_shown(page: Page, *ids: str) -> None:
    async def are_those() -> bool:
        return set(await page.run(IDS)) == set(ids)

    await eventually(are_those)


class TestPurge:
    async def test_names_its_filter(self, edge: Edge, page: Page) -> None:
        add_two_kinds(edge)
        await page.go(console(edge, "#/?prefix=old-&status=Failed"))
        await page.click("Purge all that match …")
        await page.shows('Filter: status Failed; id begins with "old-"', "3 instances match the filter")

    async def test_without_a_filter_says_that_it_is_everything(self, edge: Edge, page: Page) -> None:
        add_two_kinds(edge)
        await page.go(console(edge))
        await page.click("Purge all that match …")
        await page.shows("No filter: every instance of the task hub that has ended", "6 instances match")

    async def test_ends_when_the_address_has_another_filter(self, edge: Edge, page: Page) -> None:
        add_two_kinds(edge)
        await page.go(console(edge, "#/?prefix=old-"))
        await page.click("Purge all that match …")
        await page.shows("3 instances match the filter")
        await page.run("location.hash = '#/?prefix=new-'; 0")
        await eventually(lambda: page.run(NO_DIALOG))
        await is_shown(page, "new-0", "new-1", "new-2")
        await page.run("history.back(); 0")
        await is_shown(page, "old-0", "old-1", "old-2")
        assert await page.run(NO_DIALOG)
        assert len(edge.hub.records) == 6

    async def test_never_removes_what_another_filter_matches(self, edge: Edge, page: Page) -> None:
        """The address changes, and the buttons are pressed before the page has noticed."""
        add_two_kinds(edge)
        await page.go(console(edge, "#/?prefix=old-"))
        await page.click("Purge all that match …")
        await page.shows("3 instances match the filter")
        await page.run("location.hash = '#/?prefix=new-'; document.querySelector('dialog button[type=submit]').click()")
        await eventually(lambda: page.run(NO_DIALOG))
        await is_shown(page, "new-0", "new-1", "new-2")
        assert {"new-0", "new-1", "new-2"} <= set(edge.hub.records)

    async def test_spares_an_instance_that_has_changed_since_it_was_counted(self, edge: Edge, page: Page) -> None:
        add_two_kinds(edge)
        await page.go(console(edge, "#/?prefix=old-"))
        await page.click("Purge all that match …")
        await page.shows("3 instances match the filter")
        # Too long ago for the search for changes: the page does not know of it.
        change(edge, "old-1", execution_id="e2", last_updated_at=BEGIN - timedelta(days=1))
        await page.click("Purge 3 instances")
        await page.shows("2 of 3 instances purged. 1 has changed meanwhile and stays.")
        assert set(edge.hub.records) == {"old-1", "new-0", "new-1", "new-2"}
        await page.click("Close", "dialog button")
        await eventually(lambda: page.run(NO_DIALOG))
        page.errors = [error for error in page.errors if "412" not in error]

    async def test_of_more_than_the_page_has_is_followed_by_a_new_count(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        for number in range(5):
            edge.hub.add(f"run-{number}", RuntimeStatus.FAILED, last_updated_at=BEGIN - timedelta(days=1))
        await page.go(console(edge))
        await page.shows("2 instances", "5 Failed")
        await page.click("Purge all that match …")
        await page.click("Purge 5 instances")
        await page.shows("0 Failed")
        assert edge.hub.records == {}


class TestOneInstance:
    async def test_is_not_purged_after_it_has_changed(self, edge: Edge, page: Page) -> None:
        edge.hub.add("run", RuntimeStatus.FAILED)
        await page.go(console(edge, "#/instances/run"))
        await page.click("Purge …")
        await page.shows("This cannot be undone.")
        change(edge, "run", runtime_status=RuntimeStatus.RUNNING)
        await page.shows("The instance is Running now.")
        change(edge, "run", runtime_status=RuntimeStatus.COMPLETED)
        await page.shows("Completed after")
        await page.click("Purge", "dialog button")
        await page.shows("The instance is Running now.")
        assert "run" in edge.hub.records
        await page.click("Cancel", "dialog button")
        await page.click("Purge …")
        await page.click("Purge", "dialog button")
        await eventually(lambda: edge.hub.records == {})

    async def test_is_not_purged_if_another_run_has_ended_under_its_id(self, edge: Edge, page: Page) -> None:
        edge.hub.add("run", RuntimeStatus.FAILED)
        await page.go(console(edge, "#/instances/run"))
        await page.click("Purge …")
        await page.shows("This cannot be undone.")
        change(edge, "run", execution_id="e2")
        await page.shows("The instance has changed meanwhile.")
        await page.click("Purge", "dialog button")
        assert "run" in edge.hub.records

    async def test_is_not_purged_if_it_has_changed_unseen(self, edge: Edge, page: Page) -> None:
        edge.hub.add("run", RuntimeStatus.FAILED)
        await page.go(console(edge, "#/instances/run"))
        await page.click("Purge …")
        await page.shows("This cannot be undone.")
        change(edge, "run", execution_id="e2", last_updated_at=BEGIN - timedelta(days=1))
        await page.click("Purge", "dialog button")
        await page.shows("The instance run has changed since 2026-03-01T10:00:02.123456Z.")
        assert "run" in edge.hub.records
        page.errors = [error for error in page.errors if "412" not in error]

    async def test_loses_its_dialog_when_the_address_shows_another_one(self, edge: Edge, page: Page) -> None:
        edge.hub.add("one")
        edge.hub.add("two")
        await page.go(console(edge, "#/instances/one"))
        await page.click("Terminate …")
        await page.shows("Ends the instance at its next episode.")
        await page.run("location.hash = '#/instances/two'; 0")
        await page.shows("Id two")
        assert await page.run(NO_DIALOG)
        assert edge.hub.sent == []


class TestFilter:
    async def test_shows_what_has_failed_in_the_last_hour(self, edge: Edge, page: Page) -> None:
        hour = timedelta(hours=1)
        edge.hub.add("late", RuntimeStatus.FAILED, created_at=BEGIN - 3 * hour)
        edge.hub.add("early", RuntimeStatus.FAILED, created_at=BEGIN - 3 * hour, last_updated_at=BEGIN - 2 * hour)
        edge.hub.add("fine", RuntimeStatus.COMPLETED)
        await page.go(console(edge))
        await page.click("Failed in the last hour")
        await is_shown(page, "late")
        assert await page.run("location.hash") == "#/?status=Failed&updated=hour"
        await eventually(lambda: any("updatedTimeFrom=" in url for url in page.urls))
        await page.click("Failed in the last hour")
        await is_shown(page, "late", "early", "fine")

    async def test_searches_ids_names_and_custom_statuses(self, edge: Edge, page: Page) -> None:
        edge.hub.add("order-17")
        edge.hub.add("b", name="SendOrder")
        edge.hub.add("c", custom_status='"the ORDER is late"')
        edge.hub.add("d", custom_status='"nothing"')
        await page.go(console(edge))
        await page.type("input[type=search]", "order")
        await is_shown(page, "order-17", "b", "c")
        await eventually(lambda: any("search=order" in url for url in page.urls))

    async def test_finds_what_the_page_has_not_loaded(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        monkeypatch.setattr("durablehost.web.console.api.COUNTED", 6)
        for number in range(20):
            # Long ago: no change of it brings it to the page.
            at = BEGIN - timedelta(days=1)
            edge.hub.add(f"run-{number:02}", name="Last" if number in (4, 19) else "Orch", last_updated_at=at)
        await page.go(console(edge, "#/?search=last"))
        await is_shown(page, "run-04")
        await page.shows("A part of the task hub has been searched")

        async def is_all_found() -> bool:
            await page.run("document.querySelector('.note button')?.click()")
            return set(await page.run(IDS)) == {"run-04", "run-19"}

        await eventually(is_all_found)
        await eventually(lambda: page.run("!document.body.innerText.includes('load more')"))


class TestReading:
    async def test_an_instance_that_begins_while_the_list_is_read_stays(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stream tells of it before the answer arrives, which does not have it."""
        is_read, go_on = asyncio.Event(), asyncio.Event()
        listed = edge.hub.list_instances

        async def slow(query: InstanceQuery, **options: Any) -> InstancePage:
            found = await listed(query, **options)
            if query.updated_from is None:
                is_read.set()
                await go_on.wait()
            return found

        monkeypatch.setattr(edge.hub, "list_instances", slow)
        edge.hub.add("old", last_updated_at=BEGIN - timedelta(days=1))
        await page.go(console(edge))
        await is_read.wait()
        edge.hub.add("new")
        await is_shown(page, "new")
        go_on.set()
        await page.shows("old")
        await is_shown(page, "new", "old")

    async def test_other_statuses_are_counted_anew_after_the_page_was_out_of_sight(
        self, edge: Edge, page: Page
    ) -> None:
        edge.hub.add("a", RuntimeStatus.FAILED)
        await page.go(console(edge))
        await page.shows("1 instance", "0 Completed")
        await page.run("location.hash = '#/?status=Failed'; 0")
        await eventually(lambda: any("runtimeStatus=Failed" in url for url in page.urls))
        await see(page, False)
        edge.hub.add("b", RuntimeStatus.COMPLETED, last_updated_at=BEGIN - timedelta(days=1))
        await see(page, True)
        await page.shows("1 Completed")

    async def test_more_is_loaded_after_a_load_has_failed(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        for number in range(5):
            edge.hub.add(f"run-{number}", last_updated_at=BEGIN - timedelta(days=1))
        await page.go(console(edge))
        await page.shows("2 instances")
        edge.hub.failure = StorageUnavailable("no answer")
        await page.click("load more")
        await eventually(lambda: any("continuation=" in error for error in page.errors))
        edge.hub.failure = None
        await page.click("load more")
        await page.shows("4 instances")
        page.errors = [error for error in page.errors if "503" not in error]


@pytest.mark.parametrize("width", [320, 640, 700, 769, 800, 961, 1000, 1200, 1201, 1280, 1920])
async def test_the_link_of_a_row_has_room_in_every_window(edge: Edge, page: Page, width: int) -> None:
    edge.hub.add("an-id-of-some-length", custom_status='{"done": 1, "total": 4}')
    await page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    await page.go(console(edge))
    await page.shows("1 instance")
    cell = "document.querySelector('.instances td.id').getBoundingClientRect()"
    assert await page.run(f"{cell}.width") >= (120 if width > 768 else 40)
    assert await page.run(f"{cell}.right <= innerWidth && document.documentElement.scrollWidth <= innerWidth")


async def see(page: Page, is_visible: bool) -> None:
    """Brings the page into sight, or hides it, as a change of tabs does."""
    hidden = "false" if is_visible else "true"
    await page.run(
        f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
        " document.dispatchEvent(new Event('visibilitychange'))"
    )


class TestOrder:
    async def test_is_chosen_by_the_head_of_a_column_and_part_of_the_address(self, edge: Edge, page: Page) -> None:
        for number, name in enumerate("bca"):
            edge.hub.add(f"run-{number}", name=name, created_at=BEGIN + timedelta(seconds=number))
        await page.go(console(edge))
        await page.shows("3 instances, newest first")
        assert await page.run(IDS) == ["run-2", "run-1", "run-0"]
        requests = len(page.urls)
        await page.click("Name", "th button")
        await page.shows("3 instances, by name")
        assert await page.run(IDS) == ["run-2", "run-0", "run-1"]
        assert await page.run("document.querySelector('th.name').getAttribute('aria-sort')") == "ascending"
        await page.click("Name ↑", "th button")
        await page.shows("3 instances, by name, descending")
        assert await page.run(IDS) == ["run-1", "run-0", "run-2"]
        assert await page.run("location.hash") == "#/?sort=-name"
        # The order is no condition: nothing is read again for it.
        assert len(page.urls) == requests


class TestPlot:
    async def test_shows_when_instances_were_created_and_selects_a_time(self, edge: Edge, page: Page) -> None:
        for minute in range(60):
            edge.hub.add(
                f"run-{minute:02}",
                RuntimeStatus.FAILED if minute % 10 == 0 else RuntimeStatus.COMPLETED,
                created_at=BEGIN + timedelta(minutes=minute),
                last_updated_at=BEGIN + timedelta(minutes=minute),
            )
        await page.go(console(edge))
        await page.shows("60 instances", "60 in all", "Created, per 1 min.")
        await eventually(lambda: page.run("!!document.querySelector('.plot canvas')"))
        where = await page.run(
            "(({left, top, width, height}) => ({left, width, y: top + height / 2}))"
            "(document.querySelector('.plot .u-over').getBoundingClientRect())"
        )

        async def mouse(kind: str, share: float) -> None:
            x = where["left"] + share * where["width"]
            await page.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=where["y"], button="left", buttons=1, clickCount=1
            )

        await mouse("mouseMoved", 0.505)
        caption = "document.querySelector('.plot figcaption .soft').innerText"
        await eventually(lambda: page.run(f"{caption}.endsWith('10:31:00: 1 Failed')"))
        await mouse("mousePressed", 0.255)
        await mouse("mouseMoved", 0.4)
        await mouse("mouseMoved", 0.505)
        await mouse("mouseReleased", 0.505)
        await page.shows("From", "16 instances, newest first")
        assert "created=range" in await page.run("location.hash")
        assert "clear" in (await page.text()).lower()
        await eventually(lambda: any("createdTimeTo=" in unquote(url) for url in page.urls))

    async def test_selects_one_bar_by_a_click(self, edge: Edge, page: Page) -> None:
        for hour in range(10):
            edge.hub.add(f"run-{hour}", created_at=BEGIN + timedelta(hours=hour))
        await page.go(console(edge))
        await eventually(lambda: page.run("!!document.querySelector('.plot canvas')"))
        await page.run(
            "(over => { const {left, width} = over.getBoundingClientRect(); const clientX = left + 2;"
            " over.dispatchEvent(new MouseEvent('mousedown', {clientX, bubbles: true}));"
            " document.dispatchEvent(new MouseEvent('mouseup', {clientX, bubbles: true}));"
            " over.dispatchEvent(new MouseEvent('click', {clientX, bubbles: true})); })"
            "(document.querySelector('.plot .u-over'))"
        )
        await is_shown(page, "run-0")

    async def test_follows_changes_and_is_absent_for_one_instance(self, edge: Edge, page: Page) -> None:
        edge.hub.add("run-0")
        await page.go(console(edge))
        await page.shows("1 instance, newest first")
        assert await page.run("!document.querySelector('.plot')")
        edge.hub.add("run-1", RuntimeStatus.FAILED, last_updated_at=BEGIN + timedelta(seconds=3))
        await page.shows("2 in all", "1 Running, 1 Failed")
        await page.run("document.querySelector('.plot canvas').dataset.mark = 'first'")
        edge.hub.add("run-2", last_updated_at=BEGIN + timedelta(seconds=3))
        await page.shows("3 in all")
        # It is the same drawing, with other data.
        assert await page.run("document.querySelector('.plot canvas').dataset.mark") == "first"

    async def test_each_status_of_a_run_has_a_colour_of_its_own(self, edge: Edge, page: Page) -> None:
        for status in RuntimeStatus:
            edge.hub.add(status.value, status)
        await page.go(console(edge))
        await page.shows("1 Suspended")
        colours = await page.run(
            "['Pending', 'Running', 'Suspended', 'Completed', 'Failed', 'Terminated']"
            ".map(name => getComputedStyle(document.querySelector(`.count.${name} .swatch`)).backgroundColor)"
        )
        assert len(set(colours)) == 6

    async def test_of_more_instances_than_the_page_has_comes_with_the_counts(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        for number in range(9):
            at = BEGIN - timedelta(days=1) + timedelta(minutes=number)
            edge.hub.add(f"run-{number}", created_at=at, last_updated_at=at)
        await page.go(console(edge))
        await page.shows("9 in all", "2 instances, newest first")


class TestPendingCounts:
    async def test_are_not_those_of_the_filter_before(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        for number in range(9):
            at = BEGIN - timedelta(days=1) + timedelta(minutes=number)
            name = "Orch" if number < 6 else "Other"
            edge.hub.add(f"run-{number}", name=name, created_at=at, last_updated_at=at)
        await page.go(console(edge))
        await page.shows("9 Running", "9 in all")
        go_on = hold_listings(edge, monkeypatch, name="Orch")
        await page.run("location.hash = '#/?name=Orch'; 0")
        await page.shows("… Running", "Counting …")
        shown = await page.text()
        assert [text for text in ("9 Running", "9 in all", "Select a time") if text in shown] == []
        place = "document.querySelector('form.filters').getBoundingClientRect().top"
        before = await page.run(place)
        go_on.set()
        await page.shows("6 Running", "6 in all", "Select a time")
        assert await page.run(place) == before
        assert await page.run("!document.querySelector('.plot.pending')")


class TestPhone:
    async def test_the_list_is_as_wide_as_the_page_and_scrolls_to_its_end(self, edge: Edge, page: Page) -> None:
        for number in range(300):
            edge.hub.add(f"a-long-name-of-an-instance-{number:03}", custom_status=STATUS % 63)
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        await page.go(console(edge))
        await page.shows("300 instances, newest first", "a-long-name-of-an-instance-000")
        widths = "({scrollWidth, clientWidth}) => [scrollWidth, clientWidth]"
        for element in ("document.documentElement", "document.querySelector('.long')"):
            needed, there = await page.run(f"({widths})({element})")
            assert needed <= there, element
        await page.run("document.querySelector('.long').scrollTop = 1e9")
        await page.shows("a-long-name-of-an-instance-299")
        heights = (
            "[...document.querySelectorAll('.long tbody tr:not(.room)')].map(row => row.getBoundingClientRect().height)"
        )
        assert set(await page.run(heights)) == {36}


class TestManyInstances:
    async def test_20_000_are_loaded_and_scrolled_through_by_the_rows_in_sight_alone(
        self, edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 20_000)
        for number in range(20_000):
            edge.hub.add(
                f"run-{number:05}",
                RuntimeStatus.FAILED if number % 100 == 0 else RuntimeStatus.COMPLETED,
                created_at=BEGIN - timedelta(days=2) + timedelta(seconds=number),
                last_updated_at=BEGIN - timedelta(days=1),
            )
        await page.go(console(edge))
        await page.shows("20,000 instances, newest first", "run-19999", "200 Failed")
        assert await page.run("document.querySelectorAll('.long tbody tr').length") < 100
        await page.run("document.querySelector('.long').scrollTop = 1e9")
        await page.shows("run-00000")
        await page.type("input[placeholder=any]:not([list])", "run-123")
        await page.shows("100 instances, newest first", "run-12399")
