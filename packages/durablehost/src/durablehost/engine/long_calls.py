"""Reports calls that take long, so that they do not hold up other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.engine.ports import Executor

# An episode takes milliseconds. A longer one blocks, or replays a huge history.
LONG_EPISODE_SECONDS = 0.5


class LongCalls:
    """An executor that calls `on_long` when a call has become long, and `on_end` at the end of such a call.

    A call that may have crashed a worker process is long from its beginning: it waits until it can run apart from
    others. `long_seconds` None: no other call is ever long.
    """

    def __init__(self, executor: Executor, *, long_seconds: float | None) -> None:
        self._executor = executor
        self._long_seconds = long_seconds
        self.on_long: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        is_long = False

        def become_long() -> None:
            nonlocal is_long
            is_long = True
            self.on_long()

        timer = None
        if invocation.crashes:
            become_long()
        elif self._long_seconds is not None:
            timer = asyncio.get_running_loop().call_later(self._long_seconds, become_long)
        try:
            return await self._executor.invoke(invocation)
        finally:
            if timer is not None:
                timer.cancel()
            if is_long:
                self.on_end()
