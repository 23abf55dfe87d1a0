"""The dispatcher by itself: what happens around an item never harms the loop."""

from __future__ import annotations

import asyncio
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
