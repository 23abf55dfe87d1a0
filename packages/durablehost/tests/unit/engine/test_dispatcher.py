"""The dispatcher alone: nothing that happens around an item harms its loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from collections.abc import Callable

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.engine.dispatcher import Dispatcher
from durablehost.engine.last_resort import MAX_ROUNDS
from durablehost.errors import (
    PoisonMessage,
    StaleCheckpoint,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    WorkerCrashed,
    WorkerUnresponsive,
)
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually


class Items:
    """A work source of two items; the first one cannot be renewed, and ends once that was tried."""

    name = "items"

    def __init__(self, failure: Exception) -> None:
        self._waiting = deque(["first", "second"])
        self._failure = failure
        self._was_renewed = asyncio.Event()
        self.done: list[str] = []

    async def fetch(self) -> str:
        if not self._waiting:
            await asyncio.Event().wait()
        return self._waiting.popleft()

    async def process(self, item: str) -> None:
        await self._was_renewed.wait()
        self.done.append(item)

    async def abandon(self, item: str) -> None:
        raise AssertionError(f"{item} was given back")

    async def renew(self, item: str) -> None:
        self._was_renewed.set()
        raise self._failure

    async def give_up(self, item: str, error: Exception) -> None:
        raise AssertionError(f"{item} was given up")

    def describe(self, item: str) -> str:
        return item

    def message_ids(self, item: str) -> list[str]:
        return [item]


class FailingItems(Items):
    """One item that is delivered again until it is given up."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(failure)
        self._waiting = deque(["first"])
        self.rounds = 0
        self.given_up: Exception | None = None

    async def process(self, item: str) -> None:
        self.rounds += 1
        raise self._failure

    async def abandon(self, item: str) -> None:
        if self.rounds < 20:
            self._waiting.append(item)

    async def give_up(self, item: str, error: Exception) -> None:
        self.given_up = error


async def _run(items: Items, is_over: Callable[[], bool]) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=10).run(stopping))
    await eventually(lambda: is_over() or running.done())
    stopping.set()
    await running


@pytest.mark.parametrize(
    ("failure", "has_traceback"),
    [
        (KeyError("what nobody foresaw"), True),
        (StorageRefused("the property is too large"), False),
        (PoisonMessage("the state of the entity is not JSON"), False),
    ],
)
async def test_work_that_keeps_failing_is_given_up_with_a_traceback_if_the_error_was_not_foreseen(
    failure: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    items = FailingItems(failure)
    await _run(items, lambda: items.given_up is not None)
    assert (items.rounds, items.given_up) == (MAX_ROUNDS, failure)
    assert [record.exc_info is not None for record in caplog.records] == [False] * (MAX_ROUNDS - 1) + [has_traceback]


@pytest.mark.parametrize(
    "failure",
    [
        StorageUnavailable("no answer"),
        StaleCheckpoint("another host"),
        StorageError("forbidden"),
        WorkerCrashed("exit code 1"),
        WorkerUnresponsive("no process"),
        OSError(24, "too many open files"),
        MemoryError(),
        asyncio.TimeoutError(),
    ],
)
async def test_work_with_a_transient_error_is_retried_for_ever(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    items = FailingItems(failure)
    await _run(items, lambda: items.rounds == 20)
    assert items.given_up is None
    assert not any(record.exc_info for record in caplog.records)


async def test_a_success_resets_the_count_of_failures() -> None:
    class Recovering(FailingItems):
        async def process(self, item: str) -> None:
            self.rounds += 1
            if self.rounds % MAX_ROUNDS:
                raise self._failure
            if self.rounds < 9:
                self._waiting.append(item)

    items = Recovering(KeyError("now and then"))
    await _run(items, lambda: items.rounds == 9)
    assert items.given_up is None


@pytest.mark.parametrize("failure", [StorageUnavailable("no answer"), KeyError("an item that has just ended")])
async def test_a_failed_renewal_does_not_fail_the_item(failure: Exception) -> None:
    items, stopping = Items(failure), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=0.01).run(stopping))
    await eventually(lambda: items.done == ["first", "second"] or running.done())
    stopping.set()
    await running
    assert items.done == ["first", "second"]


class Payload:
    """An item whose release from memory can be observed."""


class Payloads:
    """A work source with one item, and none after it for a long time."""

    name = "payloads"

    def __init__(self) -> None:
        self._waiting = deque([Payload()])
        self.only = weakref.ref(self._waiting[0])
        self.was_renewed = asyncio.Event()
        self.is_idle = False

    async def fetch(self) -> Payload:
        if not self._waiting:
            self.is_idle = True
            await asyncio.Event().wait()
        return self._waiting.popleft()

    async def process(self, item: Payload) -> None:
        await self.was_renewed.wait()

    async def abandon(self, item: Payload) -> None:
        pass

    async def renew(self, item: Payload) -> None:
        self.was_renewed.set()

    async def give_up(self, item: Payload, error: Exception) -> None:
        pass

    def describe(self, item: Payload) -> str:
        return "the payload"

    def message_ids(self, item: Payload) -> list[str]:
        return ["1"]


async def test_an_idle_lane_does_not_keep_its_last_item_in_memory() -> None:
    items, stopping = Payloads(), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=1).run(stopping))
    await eventually(lambda: items.is_idle)
    gc.collect()
    assert items.only() is None
    stopping.set()
    await running


class Brittle:
    """A work source in which everything fails once unexpectedly, then an item is processed."""

    name = "items"

    def __init__(self) -> None:
        self.fetches = 0
        self.done = 0

    async def fetch(self) -> str:
        self.fetches += 1
        if self.fetches in (1, 3):
            raise TypeError("a defect of fetching")
        if self.fetches > 4:
            await asyncio.Event().wait()
        return f"item {self.fetches}"

    async def process(self, item: str) -> None:
        if item == "item 2":
            raise KeyError("a defect of processing")
        self.done += 1

    async def abandon(self, item: str) -> None:
        raise OverflowError("a defect of giving back")

    async def renew(self, item: str) -> None: ...

    async def give_up(self, item: str, error: Exception) -> None:
        raise error

    def message_ids(self, item: str) -> list[str]:
        return [item]

    def describe(self, item: str) -> str:
        raise AttributeError("a defect of describing")


async def test_the_lanes_survive_any_error_of_a_work_source(caplog: pytest.LogCaptureFixture) -> None:
    items, stopping = Brittle(), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=10).run(stopping))
    await eventually(lambda: items.done == 1 or running.done())
    stopping.set()
    await asyncio.wait_for(running, WAIT_SECONDS)
    assert items.done == 1
    for place in ("fetching", "processing", "giving back", "describing"):
        assert f"a defect of {place}" in caplog.text


class Hopeless(Brittle):
    async def fetch(self) -> str:
        await asyncio.sleep(0)
        self.fetches += 1
        return "always the same"

    async def process(self, item: str) -> None:
        raise KeyError("a defect")

    async def abandon(self, item: str) -> None: ...


async def test_an_item_that_keeps_failing_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    items, stopping = Hopeless(), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=10).run(stopping))
    await eventually(lambda: items.fetches > 500)
    stopping.set()
    await asyncio.wait_for(running, WAIT_SECONDS)
    assert 1 <= len(caplog.records) < 20
