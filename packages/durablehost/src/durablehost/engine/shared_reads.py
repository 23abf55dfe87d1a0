"""Reads a value once for all callers that ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Calls `read` once at a time for each key. A caller never gets a value that was read before it asked."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # The reads that have not begun.
        self._next: dict[str, asyncio.Task[T]] = {}

    async def read(self, key: str) -> T:
        """The value, or the error of its read."""
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._read_in_turn(key), name=f"read of {key}")
        # A caller that goes away leaves the others their value.
        return await asyncio.shield(self._next[key])

    async def _read_in_turn(self, key: str) -> T:
        async with self._turns.setdefault(key, asyncio.Lock()):
            del self._next[key]
            return await self._read(key)
