"""Small pieces of asyncio that the hub is built of: bounded parallel calls, a signal, and owned tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_PARALLEL_REQUESTS = 16

_log = logging.getLogger("Host.TaskHub")


async def call_each(
    call: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int = MAX_PARALLEL_REQUESTS
) -> list[R]:
    """Calls for every item, at most `limit` at a time, begun in order.

    All calls have ended on return. Raises the first error only then.
    """
    turns = asyncio.Semaphore(limit)

    async def in_turn(item: T) -> R:
        async with turns:
            return await call(item)

    results = await asyncio.gather(*(in_turn(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]  # the exceptions among them were raised


class Signal:
    """Wakes all who wait. Nothing is lost where a check and the wait that follows it have no `await` in between."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class TaskOwner:
    """Tasks that run beside their owner; the first that dies is told to whoever asks, and is not forgotten."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def check(self) -> None:
        """Raises what a task died of."""
        if self.failure is not None:
            raise self.failure

    async def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancels a task and waits for its end."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def cancel_all(self) -> None:
        for task in tuple(self._tasks):
            await self.cancel(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        _log.error("The task '%s' died.", task.get_name(), exc_info=task.exception())
        self.failure = self.failure or task.exception()
        self._on_failure()
