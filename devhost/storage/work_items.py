"""Activity requests: received only as many as are waited for, and handed out one by one.

Rule of this file: nothing is hoarded. What is received while its caller went away waits in a short buffer for the next.
"""

from __future__ import annotations

import asyncio
from collections import deque

from devhost.storage.concurrency import call_each
from devhost.storage.inbox import MessageReader
from devhost.storage.queues import StoredMessage
from devhost.storage.sessions import HeldMessage


class WorkItemInbox:
    """The activity requests that this host holds."""

    def __init__(self, reader: MessageReader) -> None:
        self._reader = reader
        self._callers: deque[asyncio.Future[HeldMessage]] = deque()
        self._buffer: deque[HeldMessage] = deque()
        self._held: dict[str, HeldMessage] = {}

    @property
    def wanted(self) -> int:
        """How many callers nothing has been received for yet."""
        return sum(not caller.done() for caller in self._callers)

    async def take(self) -> HeldMessage:
        """Waits for the next request."""
        if self._buffer:
            return self._buffer.popleft()
        caller: asyncio.Future[HeldMessage] = asyncio.get_running_loop().create_future()
        self._callers.append(caller)
        try:
            return await caller
        except asyncio.CancelledError:
            if caller.done() and not caller.cancelled() and caller.exception() is None:
                self._hand_over(caller.result())
            raise

    async def receive(self, messages: list[StoredMessage]) -> None:
        new = [stored for stored in messages if not self._refresh(stored)]
        for held in await call_each(self._reader.read, new):
            if held:
                self._held[held.stored.message_id] = held
                self._hand_over(held)

    def held(self, message_id: str) -> HeldMessage:
        """The request that was taken under this id and not finished."""
        return self._held[message_id]

    def finish(self, message_id: str) -> None:
        """Forgets a request that was taken."""
        self._held.pop(message_id, None)

    def fail(self, error: BaseException) -> None:
        """Tells all callers that nothing will come any more."""
        while self._callers:
            caller = self._callers.popleft()
            if not caller.done():
                caller.set_exception(error)

    def remove_waiting(self) -> list[HeldMessage]:
        """Forgets, and returns, what was not handed out."""
        removed = list(self._buffer)
        self._buffer.clear()
        for held in removed:
            self.finish(held.stored.message_id)
        return removed

    def _refresh(self, stored: StoredMessage) -> bool:
        known = self._held.get(stored.message_id)
        if known is None:
            return False
        known.stored.replace_by(stored)
        return True

    def _hand_over(self, held: HeldMessage) -> None:
        while self._callers:
            caller = self._callers.popleft()
            if not caller.done():
                caller.set_result(held)
                return
        self._buffer.append(held)
