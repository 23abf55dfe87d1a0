"""Activity requests as they come out of the work-item queue: read, set aside, or brought to an end.

An orchestration waits for the answer to each of them. So one that nobody can work with fails its task, if it tells
whose it is, after a few deliveries: another host of the hub may have been able to read it.
"""

from __future__ import annotations

import logging

from devhost.clock import Clock
from devhost.core.history import TaskFailed, TaskScheduled
from devhost.core.messages import TaskMessage
from devhost.errors import PoisonMessage, StorageError, StorageUnavailable
from devhost.resilience import is_worth_a_line
from devhost.storage.hub_queues import HubQueues
from devhost.storage.inbox import MAX_POISON_LINES, MessageReader
from devhost.storage.message_json import asker_of, is_request_envelope
from devhost.storage.outbox import Outbox
from devhost.storage.queues import StoredMessage
from devhost.storage.sessions import HeldMessage

MAX_ODD_DELIVERIES = 3

_ADVICE = "If no other host of the hub takes it, it is dropped soon, and its task fails."

_log = logging.getLogger("Host.TaskHub")


class RequestReader:
    """The requests of one hub, made readable."""

    def __init__(self, reader: MessageReader, queues: HubQueues, outbox: Outbox, clock: Clock) -> None:
        self._reader = reader
        self._queues = queues
        self._outbox = outbox
        self._clock = clock
        self._dropped = 0

    async def read(self, stored: StoredMessage) -> HeldMessage | None:
        """The request, or None where it cannot be worked on; then it is out of the way."""
        try:
            held = await self._reader.open(stored)
            if not isinstance(held.message.event, TaskScheduled):
                raise PoisonMessage(f"its event, {held.message.event.type_name}, is no request for an activity")
            return held
        except StorageUnavailable as error:
            _log.warning("Message %s of queue '%s' waits: %s", stored.message_id, stored.queue.name, error)
            await self._queues.try_to_abandon(stored)
        except Exception as error:
            if not is_request_envelope(stored.text):
                await self._reader.put_aside(stored, error)
            elif stored.dequeue_count < MAX_ODD_DELIVERIES:
                await self._reader.put_aside(stored, error, advice=_ADVICE)
            else:
                await self._try_to_end(stored, error)
        return None

    async def _try_to_end(self, stored: StoredMessage, problem: Exception) -> None:
        try:
            await self._end(stored, problem)
        except StorageError as error:
            _log.warning("Message %s of queue '%s' waits: %s", stored.message_id, stored.queue.name, error)
            await self._queues.try_to_abandon(stored)

    async def _end(self, stored: StoredMessage, problem: Exception) -> None:
        """Fails the task that the request is about, if that can be told, then deletes the request."""
        asker = asker_of(stored.text)
        if asker is not None:
            target, task_id = asker
            reason = f"The request for an activity cannot be read: {problem}"
            event = TaskFailed(timestamp=self._clock.now(), task_scheduled_id=task_id, reason=reason, details=reason)
            await self._outbox.send(TaskMessage(event=event, target=target, sender=target))
        await stored.queue.delete(stored)
        self._dropped += 1
        if self._dropped > MAX_POISON_LINES and not is_worth_a_line(self._dropped):
            return
        _log.error(
            "Message %s of queue '%s' is dropped after %d deliveries, and %s: %s",
            stored.message_id,
            stored.queue.name,
            stored.dequeue_count,
            f"task {asker[1]} of instance '{asker[0].instance_id}' fails" if asker else "nobody can be told",
            problem,
        )
