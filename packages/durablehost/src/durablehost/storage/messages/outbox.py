"""Sends messages: numbered, offloaded if they are too large, delayed if they are not due.

A message that this host would receive itself is handed over to its listener as soon as it is stored, or, if it is one
of several requests to one entity, as soon as they all are: then the entity processes them in one batch.

Mirrors the sending half of DurableTask.AzureStorage.MessageManager.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from durablehost.clock import Clock
from durablehost.core.ids import is_entity_id
from durablehost.core.messages import TaskMessage
from durablehost.storage.account.names import message_blob
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.listening import QueueListener
from durablehost.storage.messages.pacing import Pace
from durablehost.storage.messages.queues import delay_until_due
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.rows.message_json import MAX_QUEUE_TEXT_BYTES, envelope_to_text, wrapper_to_text
from durablehost.storage.rows.payloads import PayloadStore

# A message waits no longer than this for others to the same entity: its visibility timeout has begun.
_TOGETHER_SECONDS = 1.0


@dataclass(kw_only=True)
class _Group:
    """The numbered messages for one instance, and those that are stored and wait to be handed over to listeners."""

    messages: list[tuple[int, TaskMessage]] = field(default_factory=list)
    stored: list[tuple[QueueListener, HeldMessage]] = field(default_factory=list)
    sent_count: int = 0
    began: float = float("inf")


class Outbox:
    """Sends messages, and hands them to the listeners of their queues in this process, or wakes these."""

    def __init__(self, queues: HubQueues, payloads: PayloadStore, clock: Clock, pace: Pace) -> None:
        self._queues = queues
        self._payloads = payloads
        self._clock = clock
        self._pace = pace
        self._sequence_numbers = itertools.count(1)

    async def send(self, message: TaskMessage, *, delay_seconds: int = 0) -> str | None:
        """Stores a message, to be delivered when it is due and the delay is over.

        Returns the name of its blob if it was too large for the queue.
        """
        return await self._send(next(self._sequence_numbers), message, delay_seconds=delay_seconds)

    async def send_all(self, messages: Sequence[TaskMessage]) -> None:
        """Stores messages in parallel. A host that receives them together orders them by their numbers."""
        groups: dict[str, _Group] = {}
        for message in messages:
            group = groups.setdefault(message.target.instance_id, _Group())
            group.messages.append((next(self._sequence_numbers), message))
        await call_each(self._send_of, [(group, each) for group in groups.values() for each in group.messages])

    async def _send_of(self, item: tuple[_Group, tuple[int, TaskMessage]]) -> None:
        group, (number, message) = item
        try:
            await self._send(number, message, group=group if is_entity_id(message.target.instance_id) else None)
        finally:
            group.sent_count += 1
            is_long = time.monotonic() - group.began > _TOGETHER_SECONDS
            if is_long or group.sent_count == len(group.messages):
                stored, group.stored = group.stored, []
                for listener, each in stored:
                    await self._hand_over(listener, each)

    async def _send(
        self, sequence_number: int, message: TaskMessage, *, delay_seconds: int = 0, group: _Group | None = None
    ) -> str | None:
        activity_id = str(uuid.uuid4())
        text = envelope_to_text(message, activity_id=activity_id, sequence_number=sequence_number)
        blob = None
        if len(text) > MAX_QUEUE_TEXT_BYTES:
            blob = message_blob(message.target.instance_id, activity_id, message.event.type_name)
            await self._payloads.upload(blob, text)
            text = wrapper_to_text(blob)
        delay_seconds = max(delay_seconds, self._delay_seconds(message))
        self._pace.sent(message)
        queue = self._queues.queue_for(message)
        listener = None if delay_seconds else self._queues.listener_that_takes_over(message)
        if listener is None:
            await queue.put(text, delay_seconds=delay_seconds)
            self._queues.notify(queue, delay_seconds)
            return blob
        # After a crash from here on, the message is redelivered after its visibility timeout.
        stored = await queue.put_received(text, visibility_seconds=listener.visibility_seconds)
        held = HeldMessage(stored=stored, message=message, sequence_number=sequence_number)
        if group is None:
            await self._hand_over(listener, held)
        else:
            group.began = min(group.began, time.monotonic())
            group.stored.append((listener, held))
        return blob

    async def _hand_over(self, listener: QueueListener, held: HeldMessage) -> None:
        if not listener.hand_over(held):
            await self._queues.hide(held.stored, 0)

    def _delay_seconds(self, message: TaskMessage) -> int:
        if message.due_at is None:
            return 0
        return delay_until_due((message.due_at - self._clock.now()).total_seconds())
