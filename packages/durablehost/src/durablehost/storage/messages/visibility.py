"""Receives with a short visibility timeout, extended to the configured one for messages that are held for longer.

If a host is killed between receiving messages and journaling their receipts, no other host can make them visible; they
come back after the short timeout. Most messages are deleted before their extension is due, so it costs few requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from durablehost.errors import StorageError
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.queues import MessageQueue, StoredMessage

# Not shorter: a host that pauses for longer than the difference of the two receives its messages twice.
FIRST_SECONDS = 3
# The extension is due after this part of the first timeout.
EXTEND_AFTER = 1 / 3
# How much longer the first timeout is for each second that storage took to answer lately.
SLOWNESS = 4
FORGETTING = 0.9

_log = logging.getLogger("Host.TaskHub")


class Extender:
    """Receives messages of any queue.

    `spawn` starts the tasks that extend their visibility timeouts; `now` is a monotonic clock in seconds.
    """

    def __init__(
        self, spawn: Callable[[Coroutine[Any, Any, None], str], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._spawn = spawn
        self._now = now
        self._timers: set[asyncio.TimerHandle] = set()
        self._slowest_seconds = 0.0

    async def receive(self, queue: MessageQueue, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        """Receives up to `count` messages, without waiting for any."""
        first_seconds = FIRST_SECONDS + int(SLOWNESS * self._slowest_seconds)
        began_at = self._now()
        messages = await queue.get(count, visibility_seconds=min(first_seconds, visibility_seconds))
        # Where the storage answers late, the extension will be served late, too.
        self._slowest_seconds = max(self._now() - began_at, self._slowest_seconds * FORGETTING)
        if messages and visibility_seconds > first_seconds:
            self._extend_later(messages, visibility_seconds, after_seconds=first_seconds * EXTEND_AFTER)
        return messages

    def stop(self) -> None:
        """Cancels the extensions that are due later."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _extend_later(self, messages: Sequence[StoredMessage], seconds: int, *, after_seconds: float) -> None:
        def extend() -> None:
            self._timers.discard(timer)
            if held := [each for each in messages if each.queue.holds(each)]:
                self._spawn(self._extend(held, seconds), "extend visibility timeouts")

        timer = asyncio.get_running_loop().call_later(after_seconds, extend)
        self._timers.add(timer)

    async def _extend(self, messages: Sequence[StoredMessage], seconds: int) -> None:
        try:
            await call_each(lambda each: each.queue.renew(each, seconds), messages)
        except StorageError as error:
            _log.warning("Messages of the queue '%s' may come twice: %s", messages[0].queue.name, error)
