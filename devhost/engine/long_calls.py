"""Tells of calls that take long, so that what waits for them does not hold up other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from devhost.app.invocation import Invocation, InvocationResult
from devhost.engine.ports import Executor

# A turn takes milliseconds. A longer one blocks, replays a huge history, or waits for its process after a crash.
LONG_SECONDS = 0.5


class LongCalls:
    """An executor that calls `on_long` when a call has become long, and `on_end` at the end of such a call."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.on_long: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        is_long = False

        def become_long() -> None:
            nonlocal is_long
            is_long = True
            self.on_long()

        timer = asyncio.get_running_loop().call_later(LONG_SECONDS, become_long)
        try:
            return await self._executor.invoke(invocation)
        finally:
            timer.cancel()
            if is_long:
                self.on_end()
