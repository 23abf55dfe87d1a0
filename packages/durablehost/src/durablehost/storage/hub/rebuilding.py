"""Creates a hub anew if a queue or a table of it is gone, as after "Azurite: Clean" under a running host."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from durablehost.resilience import back_off_seconds, is_worth_a_line
from durablehost.storage.concurrency import TaskOwner

# If something is gone again so soon, it was not created yet: a service may need a while for a deletion.
SOON_SECONDS = 30.0

_log = logging.getLogger("Host.TaskHub")


class Rebuilder:
    """Runs `rebuild`, one at a time, when a part of the hub is gone; backs off if that happens again soon."""

    def __init__(self, rebuild: Callable[[], Awaitable[None]], tasks: TaskOwner) -> None:
        self._rebuild = rebuild
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._in_a_row = 0
        self._ended_at = 0.0
        self._is_stopped = True

    def start(self) -> None:
        self._is_stopped = False

    async def stop(self) -> None:
        """Ignores later notices, and cancels a rebuild that is running."""
        self._is_stopped = True
        if self._task is not None:
            await self._tasks.cancel(self._task)

    def notice(self, reason: str) -> None:
        """Begins a rebuild, because a part of the hub is gone."""
        if self._is_stopped or self.is_running:
            return
        is_again = time.monotonic() - self._ended_at < SOON_SECONDS
        self._in_a_row = self._in_a_row + 1 if is_again else 1
        if is_worth_a_line(self._in_a_row):
            _log.warning(
                "The storage was emptied, or a part of the task hub removed (%s). The hub is created anew, and what "
                "this host had in memory is dropped.",
                reason.rstrip("."),
            )
        self._task = self._tasks.spawn(self._run(), "create the hub anew")

    async def wait(self) -> None:
        """Waits for the end of a running rebuild, for a bounded time."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=SOON_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the hub is being created anew."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        if self._in_a_row > 1:
            await asyncio.sleep(back_off_seconds(self._in_a_row))
        failures = 0
        while True:
            try:
                await self._rebuild()
                break
            except Exception as error:
                failures += 1
                if is_worth_a_line(failures):
                    _log.warning("The hub cannot be created anew; it is tried again: %r", error)
                await asyncio.sleep(back_off_seconds(failures))
        self._ended_at = time.monotonic()
