"""Messages as they come out of queues: decoded, checked, held back until they are due, and set aside if unreadable.

Mirrors the receiving half of DurableTask.AzureStorage.MessageManager and ControlQueue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from functools import partial
from typing import Any

from devhost.clock import Clock
from devhost.core.history import (
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
from devhost.core.messages import TaskMessage
from devhost.errors import PoisonMessage, StorageError, StorageUnavailable
from devhost.resilience import Counts, is_worth_a_line
from devhost.storage.concurrency import call_each
from devhost.storage.hub_queues import HubQueues
from devhost.storage.instance_table import InstanceTable
from devhost.storage.message_json import Envelope, envelope_from_text
from devhost.storage.options import StorageOptions
from devhost.storage.pacing import Pace
from devhost.storage.payloads import PayloadStore
from devhost.storage.queues import StoredMessage, whole_delay
from devhost.storage.sessions import HeldMessage, Sessions
from devhost.storage.starts import Verdict, judge_start

# For all messages on their way through this host, in bytes of memory.
MESSAGE_ROOM = 128 * 1024 * 1024
# Of the payloads in blobs, whose sizes are not known before.
MAX_DOWNLOADS = 4

# A delay is counted in whole seconds and may end a little early: what is due this soon waits here, not in the queue.
SHORT_WAIT_SECONDS = 2.0

_DISTANT_PAST = datetime.min.replace(tzinfo=timezone.utc)

MAX_POISON_LINES = 50

_ADVICE = (
    "It stays in the queue for a host that can read it, and harms nothing; if there is none, delete it, for example "
    "with Azure Storage Explorer."
)

# What is sent to an instance. Any other event in its history would pass for something that happened there.
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
    """Stored messages of one hub, made readable."""

    def __init__(self, payloads: PayloadStore, queues: HubQueues, set_aside: SetAside) -> None:
        self._payloads = payloads
        self._queues = queues
        self._downloads = asyncio.Semaphore(MAX_DOWNLOADS)
        self._set_aside = set_aside

    async def read(self, stored: StoredMessage, has_room: Callable[[], bool] = lambda: True) -> HeldMessage | None:
        """The message, or None where it cannot be read now.

        Then it is out of the way: it comes again later, and stays away longer each time, so that it never blocks
        the others and is still there for whoever understands it. A message with a payload to download goes back to
        the queue at once where there is no room for it.
        """
        try:
            held = await self._open(stored, has_room)
            if held is None:
                await self._queues.release([stored])
                return None
            if not isinstance(held.message.event, FOR_INSTANCES):
                raise PoisonMessage(f"its event, {held.message.event.type_name}, is none that instances are sent")
            return held
        except StorageUnavailable as error:
            _log.warning("Message %s of queue '%s' waits: %s", stored.message_id, stored.queue.name, error)
            await self._queues.try_to_abandon(stored)
        except Exception as error:
            await self.put_aside(stored, error)
        return None

    async def open(self, stored: StoredMessage) -> HeldMessage:
        """The message that a text holds or refers to.

        Raises:
            StorageUnavailable: the blob that it refers to cannot be fetched now.
            StorageError: it cannot be read.
        """
        held = await self._open(stored, lambda: True)
        assert held is not None
        return held

    async def _open(self, stored: StoredMessage, has_room: Callable[[], bool]) -> HeldMessage | None:
        """None where the message has a payload to download, and no room for it."""
        envelope = await self._envelope(stored, has_room)
        if envelope is None:
            return None
        return HeldMessage(stored=stored, message=envelope.message, sequence_number=envelope.sequence_number)

    async def put_aside(self, stored: StoredMessage, error: Exception, *, advice: str = _ADVICE) -> None:
        """Lets a message come again later and later, and logs it once."""
        self._set_aside.notice(stored, error, advice)
        await self._queues.try_to_abandon(stored)

    async def read_again(self, stored: StoredMessage) -> TaskMessage:
        """The message that was read before.

        Raises:
            StorageError: it cannot be read any more.
        """
        return (await self.open(stored)).message

    async def _envelope(self, stored: StoredMessage, has_room: Callable[[], bool]) -> Envelope | None:
        """None where the message has a payload to download, and no room for it."""
        envelope = envelope_from_text(stored.text)
        if isinstance(envelope, Envelope):
            return envelope
        async with self._downloads:
            if not has_room():
                return None
            text = await self._payloads.download(envelope.blob_name)
        inner = envelope_from_text(text)
        if isinstance(inner, Envelope):
            return inner
        raise PoisonMessage(f"the blob {envelope.blob_name} only refers to another blob")


class SetAside:
    """The log of messages that cannot be read: one line each, however often it comes, and fewer for very many."""

    def __init__(self) -> None:
        self._seen = Counts(remembered=10_000)
        self._count = 0

    def notice(self, stored: StoredMessage, error: Exception, advice: str) -> None:
        if self._seen.add((stored.queue.name, stored.message_id)) > 1:
            return
        self._count += 1
        if self._count <= MAX_POISON_LINES:
            _log.error(
                "Message %s of queue '%s' cannot be read and is set aside: %s. %s",
                stored.message_id,
                stored.queue.name,
                error if isinstance(error, StorageError) else repr(error),
                advice,
            )
        elif is_worth_a_line(self._count):
            _log.error(
                "By now %d messages could not be read and are set aside, the last of '%s'.",
                self._count,
                stored.queue.name,
            )


class ControlInbox:
    """Takes control messages in and hands them to the sessions, in the order in which they were stored."""

    def __init__(
        self,
        reader: MessageReader,
        queues: HubQueues,
        sessions: Sessions,
        instances: InstanceTable,
        clock: Clock,
        pace: Pace,
        on_change: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        options: StorageOptions,
    ) -> None:
        self._reader = reader
        self._queues = queues
        self._sessions = sessions
        self._instances = instances
        self._clock = clock
        self._pace = pace
        self._on_change = on_change
        self._spawn = spawn
        self._options = options
        self._early: dict[HeldMessage, asyncio.TimerHandle] = {}
        self._unconfirmed_starts: dict[str, asyncio.Event] = {}
        # Bytes of what has been read and is not with the sessions yet.
        self._arriving = 0

    @property
    def has_room(self) -> bool:
        message_count = self._sessions.message_count + len(self._early)
        return message_count < self._options.control_queue_buffer_threshold and self._has_byte_room()

    def _has_byte_room(self) -> bool:
        return self._sessions.message_bytes + self._arriving < MESSAGE_ROOM

    @property
    def wanted(self) -> int:
        is_wanted = self.has_room and self._sessions.waiting_start_count < self._options.control_queue_buffer_threshold
        return self._options.control_queue_batch_size if is_wanted else 0

    def expect_confirmation(self, execution_id: str) -> asyncio.Event:
        """A client of this process is about to send this start and sets the event when it has written its row."""
        confirmed = self._unconfirmed_starts[execution_id] = asyncio.Event()
        return confirmed

    def confirm(self, execution_id: str) -> None:
        """The row of a start is written, or never will be."""
        self._unconfirmed_starts.pop(execution_id).set()

    async def receive(self, messages: list[StoredMessage]) -> None:
        new = [stored for stored in messages if not self._sessions.refresh(stored)]
        arriving: list[HeldMessage] = []
        try:
            await call_each(partial(self._read, arriving), new)
            accepted = await call_each(self._accept, sorted(arriving, key=_stored_order))
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
            self._spawn(self._take_over_start(held), "confirm a start")
        else:
            self._hand_over(held)

    async def _take_over_start(self, held: HeldMessage) -> None:
        if await self._accept(held):
            self._hand_over(held)

    async def _accept(self, held: HeldMessage) -> HeldMessage | None:
        """The message if it is to be handed over now, else None; then its fate is stored already."""
        try:
            return await self._examine(held)
        except StorageError as error:
            _log.warning("Message %s of queue '%s' waits: %s", held.stored.message_id, held.stored.queue.name, error)
            await self._queues.try_to_abandon(held.stored)
        except Exception as error:
            await self._reader.put_aside(held.stored, error)
        return None

    async def _examine(self, held: HeldMessage) -> HeldMessage | None:
        early_seconds = self._early_seconds(held)
        if early_seconds > SHORT_WAIT_SECONDS:
            await self._queues.hide(held.stored, whole_delay(early_seconds))
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
            self._pace.received(held.message)
            self._sessions.add(held)
            self._on_change()
            return
        loop = asyncio.get_running_loop()
        self._early[held] = loop.call_later(early_seconds, self._hand_over_early, held)

    def _hand_over_early(self, held: HeldMessage) -> None:
        del self._early[held]
        self._hand_over(held)

    def remove_early(self, queue_name: str) -> list[HeldMessage]:
        """Forgets, and returns, what is from this queue and not due yet."""
        removed = [held for held in self._early if held.stored.queue.name == queue_name]
        for held in removed:
            self._early.pop(held).cancel()
        return removed


def _is_client_start(message: TaskMessage) -> bool:
    """A start that counts only once its client has written the record of the instance."""
    return isinstance(message.event, ExecutionStarted) and message.event.parent_instance is None


def _stored_order(held: HeldMessage) -> tuple[datetime, int]:
    return (held.stored.inserted_at or _DISTANT_PAST, held.sequence_number)
