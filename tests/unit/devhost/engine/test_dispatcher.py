"""The dispatcher by itself: what happens around an item never harms the loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from devhost.engine.dispatcher import Dispatcher
from devhost.errors import StorageUnavailable
from tests.eventually import eventually


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

    def describe(self, item: str) -> str:
        return item


@pytest.mark.parametrize("failure", [StorageUnavailable("no answer"), KeyError("an item that has just ended")])
async def test_a_renewal_that_fails_costs_nothing(failure: Exception) -> None:
    items, stopping = Items(failure), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=0.01).run(stopping))
    await eventually(lambda: items.done == ["first", "second"] or running.done())
    stopping.set()
    await running
    assert items.done == ["first", "second"]


class Payload:
    """An item whose end can be seen."""


class Payloads:
    """A work source of one item, and then none for a long time."""

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

    def describe(self, item: Payload) -> str:
        return "the payload"


async def test_nothing_is_kept_of_an_item_that_has_ended_while_no_other_comes() -> None:
    items, stopping = Payloads(), asyncio.Event()
    running = asyncio.create_task(Dispatcher(items, limit=1, renew_seconds=1).run(stopping))
    await eventually(lambda: items.is_idle)
    gc.collect()
    assert items.only() is None
    stopping.set()
    await running
