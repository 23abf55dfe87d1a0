"""Small asyncio helpers: bounded parallel calls, a queue of waiting callers, and background tasks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from durablehost.resilience import keep_running

T = TypeVar("T")
R = TypeVar("R")

MAX_PARALLEL_REQUESTS = 16

_log = logging.getLogger("Host.TaskHub")


async def call_each(
    call: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int = MAX_PARALLEL_REQUESTS
) -> list[R]:
    """Calls `call` with every item in order, at most `limit` at a time, and returns the results.

    Waits for all calls to end, then raises the first error, if any.
    """
    slots = asyncio.Semaphore(limit)

    async def call_in_slot(item: T) -> R:
        async with slots:
            return await call(item)

    results = await asyncio.gather(*(call_in_slot(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]  # the exceptions among them were raised


class Callers(Generic[T]):
    """Waiting callers, first come, first served.

    `take_back` receives a thing that was handed to a caller that was cancelled at the same moment.
    """

    def __init__(self, take_back: Callable[[T], None]) -> None:
        self._take_back = take_back
        self._waiting: deque[asyncio.Future[T]] = deque()

    @property
    def count(self) -> int:
        return sum(not caller.done() for caller in self._waiting)

    async def wait(self) -> T:
        """Waits for a thing from `hand`."""
        caller: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(caller)
        try:
            return await caller
        except asyncio.CancelledError:
            if caller.done() and not caller.cancelled():
                self._take_back(caller.result())
            raise

    def hand(self, thing: T) -> bool:
        """Hands a thing to the caller that has waited longest; False if nobody waits."""
        while self._waiting:
            caller = self._waiting.popleft()
            if not caller.done():
                caller.set_result(thing)
                return True
        return False


class TaskOwner:
    """Background tasks. A failed one is logged and affects no other."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs a coroutine once, in the background."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def spawn_loop(self, loop: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """Runs a loop until it returns or is cancelled; restarts it whenever it raises."""
        return self.spawn(keep_running(loop, name, _log), name)

    async def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancels a task and waits for its end."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def cancel_all(self) -> None:
        for task in tuple(self._tasks):
            await self.cancel(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("The task '%s' failed.", task.get_name(), exc_info=error)
