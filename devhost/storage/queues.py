"""One storage queue: texts put, received, hidden and deleted.

Rule of this file: nothing here knows what a message means. A receipt is only good until the next answer about its
message, so it lives in one mutable place, `StoredMessage`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from azure.storage.queue.aio import QueueClient

from devhost.storage.services import Conflict, Missing, translated

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

    def __init__(self, client: QueueClient) -> None:
        self._client = client
        self.name: str = client.queue_name

    async def create(self) -> None:
        """Creates the queue unless it is there."""
        try:
            with translated():
                await self._client.create_queue()
        except Conflict:
            return

    async def put(self, text: str, *, delay_seconds: int = 0) -> None:
        with translated():
            await self._client.send_message(text, visibility_timeout=delay_seconds or None, time_to_live=_NEVER_EXPIRES)

    async def get(self, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        """Up to `count` messages, at most 32, without waiting for any."""
        with translated():
            pages = self._client.receive_messages(messages_per_page=count, visibility_timeout=visibility_seconds)
            async for page in pages.by_page():
                return [
                    StoredMessage(
                        queue=self,
                        message_id=each.id,
                        pop_receipt=each.pop_receipt or "",
                        text=each.content,
                        dequeue_count=each.dequeue_count or 1,
                        inserted_at=each.inserted_on,
                    )
                    async for each in page
                ]
        return []

    async def hide(self, message: StoredMessage, seconds: int) -> None:
        """Makes a message visible after so many seconds. Does nothing where somebody else has received it meanwhile."""
        try:
            with translated():
                answer = await self._client.update_message(
                    message.message_id, pop_receipt=message.pop_receipt, visibility_timeout=seconds
                )
        except (Missing, Conflict):
            return
        message.pop_receipt = answer.pop_receipt or message.pop_receipt

    async def delete(self, message: StoredMessage) -> None:
        """Deletes a message; one that is gone, or in somebody else's hands, is left to them."""
        receipt = message.pop_receipt
        try:
            await self._delete(message.message_id, receipt)
        except Missing:
            return
        except Conflict:
            if message.pop_receipt != receipt:
                await self._delete_once_more(message)

    async def _delete_once_more(self, message: StoredMessage) -> None:
        try:
            await self._delete(message.message_id, message.pop_receipt)
        except (Missing, Conflict):
            return

    async def _delete(self, message_id: str, receipt: str) -> None:
        with translated():
            await self._client.delete_message(message_id, pop_receipt=receipt)
