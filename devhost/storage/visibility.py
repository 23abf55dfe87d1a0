"""Receives with a short visibility timeout, and extends it to that of the settings for what is held after a second.

A host that is killed after the storage has handed messages out, and before it has written their receipts down, leaves
messages that nobody can make visible. They are back after the short timeout. Most messages are deleted before their
extension is due, so it hardly costs requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from devhost.errors import StorageError
from devhost.storage.concurrency import call_each
from devhost.storage.queues import MessageQueue, StoredMessage

# Not shorter: a host that stands still for longer between the two receives its messages twice.
FIRST_SECONDS = 3
EXTEND_AFTER_SECONDS = 1.0

_log = logging.getLogger("Host.TaskHub")


class Extender:
    """Receives messages of any queue; `spawn` runs what extends their visibility timeouts."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        self._spawn = spawn
        self._timers: set[asyncio.TimerHandle] = set()

    async def receive(self, queue: MessageQueue, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        """Receives up to `count` messages, without waiting for any."""
        messages = await queue.get(count, visibility_seconds=min(FIRST_SECONDS, visibility_seconds))
        if messages and visibility_seconds > FIRST_SECONDS:
            self._extend_later(messages, visibility_seconds)
        return messages

    def stop(self) -> None:
        """Extends nothing any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _extend_later(self, messages: Sequence[StoredMessage], seconds: int) -> None:
        def extend() -> None:
            self._timers.discard(timer)
            if held := [each for each in messages if each.queue.holds(each)]:
                self._spawn(self._extend(held, seconds), "extend visibility timeouts")

        timer = asyncio.get_running_loop().call_later(EXTEND_AFTER_SECONDS, extend)
        self._timers.add(timer)

    async def _extend(self, messages: Sequence[StoredMessage], seconds: int) -> None:
        try:
            await call_each(lambda each: each.queue.renew(each, seconds), messages)
        except StorageError as error:
            _log.warning("Messages of the queue '%s' may come twice: %s", messages[0].queue.name, error)
