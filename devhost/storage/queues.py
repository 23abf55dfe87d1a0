"""One storage queue: texts put, received, hidden and deleted.

Rule of this file: nothing here knows what a message means. A receipt is only good until the next answer about its
message, so it lives in one mutable place, `StoredMessage`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from devhost.errors import StorageError
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.service_client import ServiceClient
from devhost.storage.signing import Request

MAX_DELAY_SECONDS = 7 * 24 * 60 * 60
MAX_MESSAGES_PER_GET = 32
LONGEST_BACK_OFF_SECONDS = 600

_NEVER_EXPIRES = -1


@dataclass(kw_only=True, eq=False)
class StoredMessage:
    """A message in hand, invisible to everybody else until its time is over."""

    queue: MessageQueue
    message_id: str
    pop_receipt: str
    text: str
    dequeue_count: int
    inserted_at: datetime | None

    def replace_by(self, newer: StoredMessage) -> None:
        """The same message was received again: only the newer receipt counts."""
        self.pop_receipt = newer.pop_receipt
        self.dequeue_count = newer.dequeue_count


def back_off_seconds(dequeue_count: int) -> int:
    """How long a message stays away that was given up after so many deliveries: 2, 4, 8 ... 512, 600 seconds."""
    return min(1 << min(dequeue_count, 10), LONGEST_BACK_OFF_SECONDS)


def whole_delay(seconds: float) -> int:
    """What the service takes for a delay: rounded up, so that nothing comes early, and at most 7 days."""
    return min(max(math.ceil(seconds), 0), MAX_DELAY_SECONDS)


class MessageQueue:
    """A queue by name."""

    def __init__(self, service: ServiceClient, name: str) -> None:
        self._service = service
        self.name = name

    async def create(self) -> None:
        """Creates the queue unless it is there."""
        try:
            await self._service.send(Request(method="PUT", path=self.name))
        except Conflict:
            return

    async def put(self, text: str, *, delay_seconds: int = 0) -> StoredMessage:
        """Stores a message that nobody sees before the delay is over.

        Until then it is as good as received: it can be deleted, or hidden for longer, by what is returned.
        """
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

    async def get(self, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        """Up to `count` messages, at most 32, without waiting for any."""
        answer = await self._service.send(
            Request(
                method="GET",
                path=f"{self.name}/messages",
                query={"numofmessages": str(count), "visibilitytimeout": str(visibility_seconds)},
            )
        )
        return self._messages(answer.body)

    def _messages(self, xml: bytes, text: str = "") -> list[StoredMessage]:
        """The messages in an answer; one to a put leaves out their text and has never been delivered before."""
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

    async def hide(self, message: StoredMessage, seconds: int) -> None:
        """Makes a message visible after so many seconds. Does nothing where somebody else has received it meanwhile."""
        try:
            answer = await self._service.send(
                self._about(message, "PUT", message.pop_receipt, visibilitytimeout=str(seconds))
            )
        except (Missing, Conflict):
            return
        message.pop_receipt = answer.headers.get("x-ms-popreceipt", message.pop_receipt)

    async def delete(self, message: StoredMessage) -> None:
        """Deletes a message; one that is gone, or in somebody else's hands, is left to them."""
        receipt = message.pop_receipt
        try:
            await self._delete(message, receipt)
        except Missing:
            return
        except Conflict:
            if message.pop_receipt != receipt:
                await self._delete_once_more(message)

    async def _delete_once_more(self, message: StoredMessage) -> None:
        try:
            await self._delete(message, message.pop_receipt)
        except (Missing, Conflict):
            return

    async def _delete(self, message: StoredMessage, receipt: str) -> None:
        await self._service.send(self._about(message, "DELETE", receipt))

    def _about(self, message: StoredMessage, method: str, receipt: str, **query: str) -> Request:
        path = f"{self.name}/messages/{quote(message.message_id, safe='')}"
        return Request(method=method, path=path, query={"popreceipt": receipt, **query})


@lru_cache(maxsize=16)
def _time(text: str | None) -> datetime | None:
    # Most messages are of the same second as the one before.
    return parsedate_to_datetime(text) if text else None
