"""Received activity requests: read, set aside, or dropped.

An orchestration waits for the result of each. So an unreadable request that still names its task fails it, but only
after a few deliveries: another host of the hub may be able to read it.
"""

from __future__ import annotations

import logging

from durablehost.clock import Clock
from durablehost.core.failure_texts import problem_details
from durablehost.core.history import TaskFailed, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.errors import PoisonMessage, StorageError, StorageUnavailable
from durablehost.resilience import is_worth_a_line
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.inbox import MAX_POISON_LINES, MessageReader
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.messages.queues import StoredMessage
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.rows.message_json import is_request_envelope, task_of_request

MAX_ODD_DELIVERIES = 3

_ADVICE = "If no other host of the hub takes it, it is dropped soon, and its task fails."

_log = logging.getLogger("Host.TaskHub")


class RequestReader:
    """Reads the activity requests of one hub."""

    def __init__(self, reader: MessageReader, queues: HubQueues, outbox: Outbox, clock: Clock) -> None:
        self._reader = reader
        self._queues = queues
        self._outbox = outbox
        self._clock = clock
        self._dropped = 0

    async def read(self, stored: StoredMessage) -> HeldMessage | None:
        """Returns the request; if it cannot be read, sets it aside or drops it, and returns None."""
        try:
            held = await self._reader.open(stored)
            if not isinstance(held.message.event, TaskScheduled):
                raise PoisonMessage(f"its event, {held.message.event.type_name}, is no request for an activity")
            return held
        except StorageUnavailable as error:
            await self._queues.postpone(stored, error)
        except Exception as error:
            if not is_request_envelope(stored.text):
                await self._reader.set_aside(stored, error)
            elif stored.dequeue_count < MAX_ODD_DELIVERIES:
                await self._reader.set_aside(stored, error, advice=_ADVICE)
            else:
                await self._try_to_drop(stored, error)
        return None

    async def _try_to_drop(self, stored: StoredMessage, problem: Exception) -> None:
        try:
            await self._drop(stored, problem)
        except StorageError as error:
            await self._queues.postpone(stored, error)

    async def _drop(self, stored: StoredMessage, problem: Exception) -> None:
        """Fails the task of the request, if it can be read from it, then deletes the request."""
        task = task_of_request(stored.text)
        if task is not None:
            target, task_id = task
            reason = f"The request for an activity cannot be read: {problem}"
            event = TaskFailed(
                timestamp=self._clock.now(),
                task_scheduled_id=task_id,
                reason=reason,
                details=problem_details(reason),
            )
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
            f"task {task[1]} of instance '{task[0].instance_id}' fails" if task else "no task can be failed for it",
            problem,
        )
