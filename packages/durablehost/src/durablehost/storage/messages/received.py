"""Received messages, and the table of the states that each goes through in this host.

Plain data, no I/O. Rule of this file: a message changes its state by `Ledger.move` alone, which refuses what the table
does not have. All counters are sums over states, so none of them can drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from functools import cached_property
from typing import Any

from durablehost.core.history import ExecutionStarted, TaskCompleted
from durablehost.core.messages import TaskMessage
from durablehost.engine.ports import ReceivedMessage
from durablehost.storage.messages.queues import StoredMessage
from durablehost.storage.sizes import event_bytes

# The least room, in characters, that a quick result counts for.
LEAST_RESULT_ROOM = 32 * 1024
_LARGE_TEXT = 64 * 1024
_DISTANT_PAST = datetime.min.replace(tzinfo=timezone.utc)


class MessageState(Enum):
    """Where a received message is."""

    NEW = "new"
    """Just received or handed over; not counted yet."""
    EARLY = "early"
    """Due in a moment."""
    WAITING = "waiting"
    """In a batch or buffer from which work is taken."""
    OUT = "out"
    """An episode or an activity works on it."""
    KEPT = "kept"
    """An episode has seen it and left it for a later one, such as an event that nobody awaits yet."""
    DONE = "done"
    """Settled, or visible again: if it is redelivered, it is new."""


TRANSITIONS: Mapping[MessageState, frozenset[MessageState]] = {
    MessageState.NEW: frozenset({MessageState.EARLY, MessageState.WAITING}),
    # Becomes due; or the partition is lost.
    MessageState.EARLY: frozenset({MessageState.WAITING, MessageState.DONE}),
    # Is taken; or the partition is lost, or nobody took it for long.
    MessageState.WAITING: frozenset({MessageState.OUT, MessageState.DONE}),
    # Could not be worked on; or the episode ends, which keeps it or not.
    MessageState.OUT: frozenset({MessageState.WAITING, MessageState.KEPT, MessageState.DONE}),
    # The next episode takes it; or the partition is lost.
    MessageState.KEPT: frozenset({MessageState.OUT, MessageState.DONE}),
    MessageState.DONE: frozenset(),
}


@dataclass(kw_only=True, eq=False)
class HeldMessage:
    """A message that this host has received and not settled, with the stored message that it came in.

    A quick result has no stored message of its own: `stored` is its request, and `result_queue` the name of the control
    queue that it would be in. After a crash the activity runs again.
    """

    stored: StoredMessage
    message: TaskMessage
    sequence_number: int = 0
    result_queue: str | None = None
    lacks_payload: bool = False
    state: MessageState = MessageState.NEW

    @property
    def is_quick_result(self) -> bool:
        return self.result_queue is not None

    @property
    def is_start(self) -> bool:
        return isinstance(self.message.event, ExecutionStarted)

    @property
    def sent_at(self) -> tuple[datetime, datetime, int]:
        """Orders messages as they were sent.

        The queue counts whole seconds, the times of events are those of their senders, and each process counts its
        messages.
        """
        return (self.stored.inserted_at or _DISTANT_PAST, self.message.event.timestamp, self.sequence_number)

    @property
    def queue_name(self) -> str:
        """The queue whose listener is responsible for the message."""
        return self.result_queue or self.stored.queue.name

    @property
    def key(self) -> tuple[str, str]:
        return (self.stored.queue.name, self.stored.message_id)

    @cached_property
    def size(self) -> int:
        """About how many bytes of memory the message uses."""
        return event_bytes(self.message.event)

    @property
    def result_room(self) -> int:
        """How many characters of the room for quick results this message uses."""
        event = self.message.event
        if not self.is_quick_result:
            return 0
        return max(LEAST_RESULT_ROOM, len(event.result or "") if isinstance(event, TaskCompleted) else 0)

    @property
    def received(self) -> ReceivedMessage:
        return ReceivedMessage(
            message_id=self.stored.message_id, message=self.message, dequeue_count=self.stored.dequeue_count
        )

    def drop_payload(self) -> None:
        """Empties the large texts of the message; the stored message still has them."""
        event = self.message.event
        large: dict[str, Any] = {
            name: "" for name, value in vars(event).items() if isinstance(value, str) and len(value) > _LARGE_TEXT
        }
        if large:
            self._replace(replace(self.message, event=replace(event, **large)), lacks_payload=True)

    def restore_payload(self, message: TaskMessage) -> None:
        """Replaces the message by the one that was read again."""
        self._replace(message, lacks_payload=False)

    def _replace(self, message: TaskMessage, *, lacks_payload: bool) -> None:
        self.message, self.lacks_payload = message, lacks_payload
        self.__dict__.pop("size", None)


@dataclass
class Total:
    """A sum over messages. Quick results count for `result_room` only: their requests are counted elsewhere."""

    count: int = 0
    start_count: int = 0
    byte_count: int = 0
    result_room: int = 0

    def add(self, held: HeldMessage, sign: int) -> None:
        self.result_room += sign * held.result_room
        if not held.is_quick_result:
            self.count += sign
            self.start_count += sign * held.is_start
            self.byte_count += sign * held.size


class Ledger:
    """The messages that this host holds, each in one state."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, str], HeldMessage] = {}
        self._totals = {state: Total() for state in MessageState}

    def refresh(self, stored: StoredMessage) -> HeldMessage | None:
        """Replaces the receipt of a message that is already held, and returns it; None if it is not held."""
        known = self._messages.get((stored.queue.name, stored.message_id))
        if known is not None:
            known.stored.replace_by(stored)
        return known

    def move(self, held: HeldMessage, state: MessageState) -> None:
        """Changes the state of a message; raises `AssertionError` if the table does not have this transition."""
        assert state in TRANSITIONS[held.state], f"a message that is {held.state.value} cannot be {state.value}"
        if held.state is MessageState.NEW:
            self._messages[held.key] = held
        else:
            self._totals[held.state].add(held, -1)
        held.state = state
        if state is MessageState.DONE:
            del self._messages[held.key]
        else:
            self._totals[state].add(held, 1)

    def move_all(self, messages: Iterable[HeldMessage], state: MessageState) -> None:
        for held in messages:
            self.move(held, state)

    def drop_payload(self, held: HeldMessage) -> None:
        """Empties the large texts of a message, to be read again by `restore_payload`."""
        self._totals[held.state].add(held, -1)
        held.drop_payload()
        self._totals[held.state].add(held, 1)

    def restore_payload(self, held: HeldMessage, message: TaskMessage) -> None:
        self._totals[held.state].add(held, -1)
        held.restore_payload(message)
        self._totals[held.state].add(held, 1)

    def of_instance(self, instance_id: str) -> list[HeldMessage]:
        """The messages for one instance. Looks through all messages."""
        return [held for held in self._messages.values() if held.message.target.instance_id == instance_id]

    def total(self, *states: MessageState) -> Total:
        """The sum over the messages in any of these states."""
        totals = [self._totals[state] for state in states]
        return Total(
            count=sum(total.count for total in totals),
            start_count=sum(total.start_count for total in totals),
            byte_count=sum(total.byte_count for total in totals),
            result_room=sum(total.result_room for total in totals),
        )
