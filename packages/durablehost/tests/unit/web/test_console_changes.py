"""The poll for changes: one for all pages, only while a page is open, and never more often than it should."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstancePage, InstanceQuery
from durablehost.errors import StorageUnavailable
from durablehost.web.console.changes import ChangeFeed, OpenPage
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub, FixedClock


class CountingHub(FakeHub):
    """Counts the listings, and keeps the queries."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[InstanceQuery] = []

    async def list_instances(self, query: InstanceQuery, **options: object) -> InstancePage:
        self.queries.append(query)
        assert options.pop("with_payloads") is False
        return await super().list_instances(query, **options)  # type: ignore[arg-type]


def feed_of(hub: FakeHub) -> ChangeFeed:
    return ChangeFeed(OrchestrationClient(hub.port, {}, FixedClock()), FixedClock(), pause_seconds=0.01)


async def next_ids(page: OpenPage) -> list[str]:
    async def ids() -> list[str]:
        await page.wait(1)
        return [record.instance_id for record in page.take()[0]]

    return await eventually(ids)


async def polls(hub: CountingHub, more: int) -> None:
    """Returns when the hub was asked so many times more."""
    count = len(hub.queries)
    await eventually(lambda: len(hub.queries) >= count + more)


async def test_nothing_is_read_before_a_page_is_open_and_after_the_last_was_closed() -> None:
    hub = CountingHub()
    feed = feed_of(hub)
    assert hub.queries == []
    async with feed.open_page():
        async with feed.open_page():
            await polls(hub, 2)
        await polls(hub, 2)
    count = len(hub.queries)
    async with feed_of(FakeHub()).open_page() as other:
        await other.wait(0.2)
    assert len(hub.queries) == count


async def test_all_pages_share_one_poll() -> None:
    hub = CountingHub()
    feed = feed_of(hub)
    async with feed.open_page() as first, feed.open_page() as second:
        hub.add("a")
        assert await next_ids(first) == ["a"]
        assert await next_ids(second) == ["a"]
        assert hub.queries == [InstanceQuery(updated_from=BEGIN - timedelta(seconds=30))] * len(hub.queries)


async def test_a_page_is_told_of_each_change_once() -> None:
    hub = CountingHub()
    async with feed_of(hub).open_page() as page:
        hub.add("a")
        assert await next_ids(page) == ["a"]
        await polls(hub, 3)
        assert page.take() == ([], None)
        hub.records["a"] = replace(hub.records["a"], runtime_status=RuntimeStatus.COMPLETED)
        assert await next_ids(page) == ["a"]


async def test_a_slow_page_gets_the_last_state_of_each_instance() -> None:
    hub = CountingHub()
    async with feed_of(hub).open_page() as page:
        for text in ("1", "2", "3"):
            hub.add("a", custom_status=text)
            await polls(hub, 2)
        (record,), _ = page.take()
        assert record.custom_status == "3"


async def test_old_instances_are_no_changes() -> None:
    hub = CountingHub()
    hub.add("old", last_updated_at=BEGIN - timedelta(hours=1))
    hub.add("new")
    async with feed_of(hub).open_page() as page:
        assert await next_ids(page) == ["new"]


async def test_many_changes_are_read_page_by_page() -> None:
    hub = CountingHub()
    hub.page_limit = 2
    for number in range(5):
        hub.add(f"i{number}")
    async with feed_of(hub).open_page() as page:
        found: set[str] = set()

        async def all_found() -> bool:
            await page.wait(1)
            found.update(record.instance_id for record in page.take()[0])
            return len(found) == 5

        await eventually(all_found)


async def test_a_storage_that_does_not_answer_is_a_problem_until_it_does() -> None:
    hub = CountingHub()
    hub.failure = StorageUnavailable("no answer")
    async with feed_of(hub).open_page() as page:
        await eventually(lambda: page.take()[1] == "The task hub cannot be read: no answer")
        hub.failure = None
        await eventually(lambda: page.take()[1] is None)
