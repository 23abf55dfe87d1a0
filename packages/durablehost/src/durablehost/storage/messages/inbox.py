"""Received messages: decoded, checked, delayed until they are due, and set aside if unreadable.

Mirrors the receiving half of DurableTask.AzureStorage.MessageManager and ControlQueue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from durablehost.clock import Clock
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from durablehost.core.messages import TaskMessage
from durablehost.errors import PoisonMessage, StorageError, StorageUnavailable
from durablehost.resilience import Counts, is_worth_a_line
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.concurrency import TaskOwner, call_each
from durablehost.storage.messages.due_batches import DueBatches
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.queues import StoredMessage, delay_until_due
from durablehost.storage.messages.received import HeldMessage, MessageState
from durablehost.storage.messages.sessions import Sessions
from durablehost.storage.messages.start_check import Verdict, judge_start
from durablehost.storage.rows.instance_table import InstanceTable
from durablehost.storage.rows.message_json import Envelope, OffloadedEnvelope, envelope_from_text
from durablehost.storage.rows.payloads import PayloadStore

# Limits the arriving, early, waiting and out messages, in bytes of memory.
MESSAGE_ROOM = 128 * 1024 * 1024
# Limits parallel downloads of payloads, whose sizes are unknown before.
MAX_DOWNLOADS = 4

# A queue counts delays in whole seconds, and may end one a little early: a message due this soon waits in memory.
SHORT_WAIT_SECONDS = 2.0

MAX_POISON_LINES = 50

_ADVICE = (
    "It stays in the queue for a host that can read it, and harms nothing; if there is none, delete it, for example "
    "with Azure Storage Explorer."
)

# The events that may be sent to an instance. It would record any other as something that it did itself.
FOR_INSTANCES = (
    ExecutionStarted,
    ExecutionTerminated,
    ExecutionSuspended,
    ExecutionResumed,
    ExecutionRewound,
    TaskCompleted,
    TaskFailed,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TimerFired,
    EventRaised,
    GenericEvent,
)

_log = logging.getLogger("Host.TaskHub")


class MessageReader:
    """Reads the stored messages of one hub."""

    def __init__(self, payloads: PayloadStore, queues: HubQueues) -> None:
        self._payloads = payloads
        self._queues = queues
        self._downloads = asyncio.Semaphore(MAX_DOWNLOADS)
        self._set_aside_log = _SetAsideLog()

    async def read(self, stored: StoredMessage, has_room: Callable[[], bool]) -> HeldMessage | None:
        """Returns the message, or None if it cannot be read now.

        In that case it stays in the queue, hidden for longer each time: it blocks no other messages, and another host
        may be able to read it. If only the room for its payload is missing, it is visible again at once.
        """
        try:
            held = await self.open(stored, has_room)
            if not isinstance(held.message.event, FOR_INSTANCES):
                raise PoisonMessage(f"its event, {held.message.event.type_name}, is none that instances are sent")
            return held
        except _NoRoom:
            await self._queues.release([stored])
        except StorageUnavailable as error:
            await self._queues.postpone(stored, error)
        except Exception as error:
            await self.set_aside(stored, error)
        return None

    async def open(self, stored: StoredMessage, has_room: Callable[[], bool] = lambda: True) -> HeldMessage:
        """Returns the message in a text, or in the blob that the text refers to.

        Raises:
            StorageUnavailable: the blob cannot be downloaded now.
            StorageError: it cannot be read.
        """
        envelope = envelope_from_text(stored.text)
        if isinstance(envelope, OffloadedEnvelope):
            envelope = await self._download(envelope.blob_name, has_room)
        return HeldMessage(stored=stored, message=envelope.message, sequence_number=envelope.sequence_number)

    async def _download(self, blob_name: str, has_room: Callable[[], bool]) -> Envelope:
        async with self._downloads:
            if not has_room():
                raise _NoRoom
            text = await self._payloads.download(blob_name)
        envelope = envelope_from_text(text)
        if isinstance(envelope, OffloadedEnvelope):
            raise PoisonMessage(f"the blob {blob_name} only refers to another blob")
        return envelope

    async def set_aside(self, stored: StoredMessage, error: Exception, *, advice: str = _ADVICE) -> None:
        """Abandons an unreadable message, and logs it once."""
        self._set_aside_log.add(stored, error, advice)
        await self._queues.try_to_abandon(stored)


class _NoRoom(Exception):
    """There is no room for the payload of a message now."""


class _SetAsideLog:
    """Logs unreadable messages: one line each, however often it is delivered, and fewer for very many."""

    def __init__(self) -> None:
        self._seen = Counts(remembered=10_000)
        self._count = 0

    def add(self, stored: StoredMessage, error: Exception, advice: str) -> None:
        if self._seen.add((stored.queue.name, stored.message_id)) > 1:
            return
        self._count += 1
        if self._count <= MAX_POISON_LINES:
            _log.error(
                "Message %s of queue '%s' cannot be read and is set aside: %s. %s",
                stored.message_id,
                stored.queue.name,
                str(error).rstrip(".") if isinstance(error, StorageError) else repr(error),
                advice,
            )
        elif is_worth_a_line(self._count):
            _log.error(
                "By now %d messages could not be read and are set aside, the last of '%s'.",
                self._count,
                stored.queue.name,
            )


class ControlInbox:
    """Checks control messages, and adds them to the batches of their instances in the order they were stored in."""

    def __init__(
        self,
        *,
        reader: MessageReader,
        queues: HubQueues,
        sessions: Sessions,
        batches: DueBatches,
        instances: InstanceTable,
        clock: Clock,
        tasks: TaskOwner,
        options: StorageOptions,
    ) -> None:
        self._reader = reader
        self._queues = queues
        self._sessions = sessions
        self._instances = instances
        self._clock = clock
        self._batches = batches
        self._tasks = tasks
        self._options = options
        self._early: dict[HeldMessage, asyncio.TimerHandle] = {}
        self._unconfirmed_starts: dict[str, asyncio.Event] = {}
        # Bytes of the messages that have been read and are in no batch yet.
        self._arriving = 0

    @property
    def has_room(self) -> bool:
        threshold = self._options.control_queue_buffer_threshold
        return self._sessions.message_count < threshold and self._has_byte_room()

    def _has_byte_room(self) -> bool:
        return self._sessions.message_bytes + self._arriving < MESSAGE_ROOM

    @property
    def wanted(self) -> int:
        is_wanted = self.has_room and self._sessions.waiting_start_count < self._options.control_queue_buffer_threshold
        return self._options.control_queue_batch_size if is_wanted else 0

    def expect_confirmation(self, execution_id: str) -> None:
        """Announces the start that a client of this process is about to send and then to confirm by a row."""
        self._unconfirmed_starts[execution_id] = asyncio.Event()

    def confirm(self, execution_id: str) -> None:
        """Ends the wait for the row of a start: it is written, or never will be."""
        self._unconfirmed_starts.pop(execution_id).set()

    async def receive(self, messages: list[StoredMessage]) -> None:
        new = [stored for stored in messages if not self._sessions.refresh(stored)]
        self._batches.offer()
        arriving: list[HeldMessage] = []
        try:
            await call_each(partial(self._read, arriving), new)
            accepted = await call_each(self._accept, sorted(arriving, key=lambda held: held.sent_at))
        finally:
            self._arriving -= sum(held.size for held in arriving)
        for each in (each for each in accepted if each):
            self._hand_over(each)

    async def _read(self, arriving: list[HeldMessage], stored: StoredMessage) -> None:
        if held := await self._reader.read(stored, self._has_byte_room):
            arriving.append(held)
            self._arriving += held.size

    def take_over(self, held: HeldMessage) -> None:
        if _is_client_start(held.message):
            self._tasks.spawn(self._take_over_start(held), "confirm a start")
        else:
            self._hand_over(held)

    async def _take_over_start(self, held: HeldMessage) -> None:
        if await self._accept(held):
            self._hand_over(held)
        elif held.state is MessageState.EARLY:
            self._sessions.remove_early(held)

    async def _accept(self, held: HeldMessage) -> HeldMessage | None:
        """Returns the message if it is to be handed over now; otherwise hides, abandons or deletes it."""
        try:
            return await self._examine(held)
        except StorageError as error:
            await self._queues.postpone(held.stored, error)
        except Exception as error:
            await self._reader.set_aside(held.stored, error)
        return None

    async def _examine(self, held: HeldMessage) -> HeldMessage | None:
        early_seconds = self._early_seconds(held)
        if early_seconds > SHORT_WAIT_SECONDS:
            await self._queues.hide(held.stored, delay_until_due(early_seconds))
            return None
        event = held.message.event
        verdict = await self._judge(event, held) if isinstance(event, ExecutionStarted) else Verdict.ACCEPT
        if verdict is Verdict.ACCEPT:
            return held
        if verdict is Verdict.LATER:
            await self._queues.abandon(held.stored)
            return None
        _log.info("A start of '%s' is dropped: overtaken, or never confirmed.", held.message.target.instance_id)
        await held.stored.queue.delete(held.stored)
        return None

    def _early_seconds(self, held: HeldMessage) -> float:
        due_at = held.message.due_at
        return (due_at - self._clock.now()).total_seconds() if due_at else 0

    async def _judge(self, start: ExecutionStarted, held: HeldMessage) -> Verdict:
        if start.parent_instance:
            return Verdict.ACCEPT
        if unconfirmed := self._unconfirmed_starts.get(start.orchestration_instance.execution_id or ""):
            await unconfirmed.wait()
        found = await self._instances.find(start.orchestration_instance.instance_id)
        return judge_start(
            start,
            found.record if found else None,
            dequeue_count=held.stored.dequeue_count,
            inserted_at=held.stored.inserted_at,
        )

    def _hand_over(self, held: HeldMessage) -> None:
        early_seconds = self._early_seconds(held)
        if early_seconds <= 0:
            self._batches.add(held)
            return
        if self._sessions.add_early(held):
            loop = asyncio.get_running_loop()
            self._early[held] = loop.call_later(early_seconds, self._hand_over_early, held)

    def _hand_over_early(self, held: HeldMessage) -> None:
        del self._early[held]
        # The instance of a start may have been ended while it waited.
        self.take_over(held)

    def is_idle(self, queue_name: str) -> bool:
        """Whether no episode works on messages of this queue."""
        return self._sessions.is_idle(queue_name)

    def remove_waiting(self, queue_name: str) -> list[HeldMessage]:
        """Removes and returns the messages of this queue that no episode works on."""
        early = [held for held in self._early if held.stored.queue.name == queue_name]
        for held in early:
            self._early.pop(held).cancel()
            self._sessions.remove_early(held)
        return self._sessions.remove_waiting(queue_name) + early


def _is_client_start(message: TaskMessage) -> bool:
    """True for a start that counts only once its client has written the row of the instance."""
    return isinstance(message.event, ExecutionStarted) and message.event.parent_instance is None
