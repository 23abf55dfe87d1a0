"""Messages on their way into queues: numbered, offloaded where they are too large, delayed where they are not due.

What this host is going to receive itself is handed over to its listener as soon as it is stored.

Mirrors the sending half of DurableTask.AzureStorage.MessageManager.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence

from devhost.clock import Clock
from devhost.core.messages import TaskMessage
from devhost.storage.concurrency import call_each
from devhost.storage.hub_queues import HubQueues
from devhost.storage.message_json import MAX_QUEUE_TEXT_BYTES, envelope_to_text, wrapper_to_text
from devhost.storage.names import message_blob
from devhost.storage.pacing import Pace
from devhost.storage.payloads import PayloadStore
from devhost.storage.queues import whole_delay
from devhost.storage.sessions import HeldMessage


class Outbox:
    """Sends messages, and hands them to whoever listens to their queues in this process, or wakes it."""

    def __init__(self, queues: HubQueues, payloads: PayloadStore, clock: Clock, pace: Pace) -> None:
        self._queues = queues
        self._payloads = payloads
        self._clock = clock
        self._pace = pace
        self._sequence_numbers = itertools.count(1)

    async def send(self, message: TaskMessage, *, delay_seconds: int = 0) -> str | None:
        """Stores a message; returns the name of its blob where it was too large for the queue.

        It comes when it is due, and not before the delay is over.
        """
        return await self._send((next(self._sequence_numbers), message), delay_seconds)

    async def send_all(self, messages: Sequence[TaskMessage]) -> None:
        """Stores messages in parallel. Their numbers tell their order to whoever receives them together."""
        await call_each(self._send, [(next(self._sequence_numbers), message) for message in messages])

    async def _send(self, numbered: tuple[int, TaskMessage], delay_seconds: int = 0) -> str | None:
        sequence_number, message = numbered
        activity_id = str(uuid.uuid4())
        text = envelope_to_text(message, activity_id=activity_id, sequence_number=sequence_number)
        blob = None
        if len(text) > MAX_QUEUE_TEXT_BYTES:
            blob = message_blob(message.target.instance_id, activity_id, message.event.type_name)
            await self._payloads.upload(blob, text)
            text = wrapper_to_text(blob)
        await self._store(text, message, sequence_number, max(delay_seconds, self._delay_seconds(message)))
        return blob

    async def _store(self, text: str, message: TaskMessage, sequence_number: int, delay_seconds: int) -> None:
        self._pace.sent(message)
        queue = self._queues.queue_for(message)
        listener = None if delay_seconds else self._queues.listener_that_takes_over(message)
        if listener is None:
            await queue.put(text, delay_seconds=delay_seconds)
            self._queues.notify(queue, delay_seconds)
            return
        # A crash from here on leaves the message where it is, to come into sight when its time is over.
        stored = await queue.put_received(text, visibility_seconds=listener.visibility_seconds)
        held = HeldMessage(stored=stored, message=message, sequence_number=sequence_number)
        if not listener.hand_over(held):
            await self._queues.hide(stored, 0)

    def _delay_seconds(self, message: TaskMessage) -> int:
        if message.due_at is None:
            return 0
        return whole_delay((message.due_at - self._clock.now()).total_seconds())
