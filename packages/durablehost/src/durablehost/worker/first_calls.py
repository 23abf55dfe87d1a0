"""Keeps the first call of a function apart, for a moment, from calls that would be lost with it.

A new function that ends its process mostly does so at once, often while other requests are answered. HTTP calls, which
nobody repeats, therefore wait for first calls that are repeated, and these for HTTP calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from durablehost.app.invocation import Invocation

# Either side waits for the other no longer than this.
MOMENT_SECONDS = 0.2


class FirstCalls:
    """Makes calls wait for each other if one may end the process of the other."""

    def __init__(self) -> None:
        self._tried: set[str] = set()
        self._unrepeated = 0
        self._first = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def admit(self, invocation: Invocation) -> AsyncIterator[None]:
        """Waits until the call may begin; the call ends with the block."""
        if not invocation.work:
            await self._wait(lambda: not self._first)
            self._unrepeated += 1
            try:
                yield
            finally:
                self._unrepeated -= 1
                self._notify()
        elif invocation.crashes or invocation.function_name in self._tried:
            # After a crash it runs apart anyway.
            yield
        else:
            await self._wait(lambda: not self._unrepeated)
            with self._first_moment(invocation.function_name):
                yield

    @contextmanager
    def _first_moment(self, name: str) -> Iterator[None]:
        """Makes HTTP calls wait until the call ends, but no longer than a moment."""
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._first -= 1
                self._tried.add(name)
                self._notify()

        self._first += 1
        timer = asyncio.get_running_loop().call_later(MOMENT_SECONDS, end)
        try:
            yield
        finally:
            timer.cancel()
            end()

    async def _wait(self, is_free: Callable[[], bool]) -> None:
        if is_free():
            return
        try:
            await asyncio.wait_for(self._until(is_free), MOMENT_SECONDS)
        except asyncio.TimeoutError:
            return

    async def _until(self, is_free: Callable[[], bool]) -> None:
        while not is_free():
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
