"""One storage queue: texts put, received, hidden and deleted.

Rule of this file: nothing here knows what a message means. Every answer about a message makes its earlier receipt
invalid, so the receipt is stored in one mutable place, `StoredMessage`, and each new one is written to the journal.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from durablehost.errors import StorageError
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.account.service_client import ServiceClient
from durablehost.storage.account.signing import Request
from durablehost.storage.messages.journal import Journal

MAX_DELAY_SECONDS = 7 * 24 * 60 * 60
MAX_MESSAGES_PER_GET = 32
LONGEST_BACK_OFF_SECONDS = 600

# What it takes to receive a message that has become visible, with some reserve.
RECEIVING_SECONDS = 0.3
_NEVER_EXPIRES = -1


@dataclass(kw_only=True, eq=False)
class StoredMessage:
    """A received message, invisible to other receivers until its visibility timeout is over."""

    queue: MessageQueue
    message_id: str
    pop_receipt: str
    text: str
    dequeue_count: int
    inserted_at: datetime | None
    # For requests that replace or use up the receipt.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def replace_by(self, newer: StoredMessage) -> None:
        """Takes the receipt of the same message, received again: only the newest one is valid."""
        self.pop_receipt = newer.pop_receipt
        self.dequeue_count = newer.dequeue_count


def redelivery_seconds(dequeue_count: int) -> int:
    """How long an abandoned message is hidden after so many deliveries: 2, 4, 8 ... 512, 600 seconds."""
    return min(1 << min(dequeue_count, 10), LONGEST_BACK_OFF_SECONDS)


def delay_until_due(seconds: float) -> int:
    """How long to hide a message that is due in so many seconds, as the service accepts it: whole, at most 7 days.

    Rounded down, so that the message is received before it is due, and waits in memory for the rest.
    """
    return min(max(math.floor(seconds - RECEIVING_SECONDS), 0), MAX_DELAY_SECONDS)


class MessageQueue:
    """A queue by name, and the messages of it that this host holds. Their receipts are in the journal."""

    def __init__(self, service: ServiceClient, name: str, journal: Journal | None = None) -> None:
        self._service = service
        self._journal = journal or Journal()
        self._held: dict[str, StoredMessage] = {}
        self.name = name

    async def create(self) -> None:
        """Creates the queue unless it exists."""
        try:
            await self._service.send(Request(method="PUT", path=self.name))
        except Conflict:
            return

    async def put(self, text: str, *, delay_seconds: int = 0) -> StoredMessage:
        """Stores a message that is invisible until the delay is over."""
        answer = await self._service.send(
            Request(
                method="POST",
                path=f"{self.name}/messages",
                query={"visibilitytimeout": str(delay_seconds), "messagettl": str(_NEVER_EXPIRES)},
                headers={"Content-Type": "application/xml"},
                body=f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode(),
            )
        )
        (stored,) = self._messages(answer.body, text)
        return stored

    async def put_received(self, text: str, *, visibility_seconds: int) -> StoredMessage:
        """Stores a message, and returns it as if this host had received it already."""
        stored = await self.put(text, delay_seconds=visibility_seconds)
        return self._hold([stored])[0]

    async def get(self, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        """Receives up to `count` messages, at most 32, without waiting for any.

        One that this host still holds is returned as the same object, with its newer receipt.
        """
        answer = await self._service.send(
            Request(
                method="GET",
                path=f"{self.name}/messages",
                query={"numofmessages": str(count), "visibilitytimeout": str(visibility_seconds)},
            )
        )
        return self._hold(self._messages(answer.body))

    async def peek(self) -> list[StoredMessage]:
        """The first visible messages, at most 32: not received, so without receipts."""
        answer = await self._service.send(
            Request(
                method="GET",
                path=f"{self.name}/messages",
                query={"numofmessages": str(MAX_MESSAGES_PER_GET), "peekonly": "true"},
            )
        )
        return self._messages(answer.body)

    async def count(self) -> int:
        """How many messages the queue has, invisible ones included. The service may count too many, never too few."""
        answer = await self._service.send(Request(method="GET", path=self.name, query={"comp": "metadata"}))
        try:
            return int(answer.headers["x-ms-approximate-messages-count"])
        except (KeyError, ValueError) as error:
            raise StorageError(f"The answer of the queue '{self.name}' has no count of messages.") from error

    def _messages(self, xml: bytes, text: str = "") -> list[StoredMessage]:
        """Reads the messages in an answer. A put returns no text and no dequeue count, a peek no receipt."""
        try:
            return [
                StoredMessage(
                    queue=self,
                    message_id=each.findtext("MessageId", ""),
                    pop_receipt=each.findtext("PopReceipt", ""),
                    text=each.findtext("MessageText", text),
                    dequeue_count=int(each.findtext("DequeueCount", "1")),
                    inserted_at=_time(each.findtext("InsertionTime")),
                )
                for each in ElementTree.fromstring(xml)
            ]
        except (ElementTree.ParseError, ValueError, TypeError) as error:
            raise StorageError(f"The answer of the queue '{self.name}' cannot be read: {error}") from error

    def holds(self, message: StoredMessage) -> bool:
        """Whether this host has received the message and not settled it since."""
        return self._held.get(message.message_id) is message

    async def renew(self, message: StoredMessage, seconds: int) -> None:
        """Hides a message for so many seconds from now; does nothing if it is settled."""
        async with message.lock:
            if self.holds(message) and await self._update(message, seconds):
                self._hold([message])

    async def hide(self, message: StoredMessage, seconds: int) -> None:
        """Makes a message visible after so many seconds, and forgets it. If it was received again, only forgets it."""
        async with message.lock:
            await self._update(message, seconds)
            self._settle(message)

    async def _update(self, message: StoredMessage, seconds: int) -> bool:
        try:
            answer = await self._service.send(
                self._about(message.message_id, "PUT", message.pop_receipt, visibilitytimeout=str(seconds))
            )
        except (Missing, Conflict):
            return False
        message.pop_receipt = answer.headers.get("x-ms-popreceipt", message.pop_receipt)
        return True

    async def show(self, message_id: str, pop_receipt: str) -> bool:
        """Makes a message visible that another host held; False if the receipt is not its last one."""
        try:
            await self._service.send(self._about(message_id, "PUT", pop_receipt, visibilitytimeout="0"))
        except (Missing, Conflict):
            return False
        return True

    async def delete(self, message: StoredMessage) -> None:
        """Deletes a message, and forgets it. If it is gone, or another host has received it since, only forgets it."""
        async with message.lock:
            receipt = message.pop_receipt
            try:
                await self._delete(message, receipt)
            except Missing:
                pass
            except Conflict:
                if message.pop_receipt != receipt:
                    await self._delete_once_more(message)
            self._settle(message)

    async def _delete_once_more(self, message: StoredMessage) -> None:
        try:
            await self._delete(message, message.pop_receipt)
        except (Missing, Conflict):
            return

    async def _delete(self, message: StoredMessage, receipt: str) -> None:
        await self._service.send(self._about(message.message_id, "DELETE", receipt))

    def _about(self, message_id: str, method: str, receipt: str, **query: str) -> Request:
        path = f"{self.name}/messages/{quote(message_id, safe='')}"
        return Request(method=method, path=path, query={"popreceipt": receipt, **query})

    def _hold(self, messages: Iterable[StoredMessage]) -> list[StoredMessage]:
        held = []
        for each in messages:
            known = self._held.setdefault(each.message_id, each)
            # The count of deliveries stays: this one has not failed.
            known.pop_receipt = each.pop_receipt
            held.append(known)
        self._journal.hold(self.name, ((each.message_id, each.pop_receipt) for each in held))
        return held

    def _settle(self, message: StoredMessage) -> None:
        if self.holds(message):
            del self._held[message.message_id]
            self._journal.settle(self.name, message.message_id)


@lru_cache(maxsize=16)
def _time(text: str | None) -> datetime | None:
    # Cached, because most messages are of the same second as the one before.
    return parsedate_to_datetime(text) if text else None
