"""Control messages in memory, grouped into what one episode takes: at most one batch per instance is out at a time.

Plain data, no I/O. Mirrors DurableTask.AzureStorage.OrchestrationSessionManager.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from devhost.core.history import ExecutionStarted, TaskCompleted
from devhost.core.messages import TaskMessage
from devhost.engine.ports import ReceivedMessage
from devhost.storage.queues import StoredMessage
from devhost.storage.sizes import event_bytes

# In characters, for all answers together that have no message of their own, and the least that each of them counts for.
# Bounds the memory they take, and how many activities a crash makes run again: 1,024.
ANSWER_ROOM = 32 * 1024 * 1024
LEAST_ANSWER = 32 * 1024
# In bytes of memory, for all messages that wait for something else of their instance.
KEPT_ROOM = 64 * 1024 * 1024
_LARGE_TEXT = 64 * 1024


@dataclass(kw_only=True, eq=False)
class HeldMessage:
    """A message in memory with the stored message that it came in.

    An answer may have none of its own: with `answers_at`, the name of the control queue it would be in, what is stored
    is the request it answers. After a crash that is done again.
    """

    stored: StoredMessage
    message: TaskMessage
    sequence_number: int = 0
    answers_at: str | None = None
    lacks_payload: bool = False

    @property
    def queue_name(self) -> str:
        """The queue whose listener is responsible for the message."""
        return self.answers_at or self.stored.queue.name

    @property
    def key(self) -> tuple[str, str]:
        return (self.stored.queue.name, self.stored.message_id)

    @cached_property
    def size(self) -> int:
        """About how many bytes of memory the message takes."""
        return event_bytes(self.message.event)

    def drop_payload(self) -> None:
        """Empties the large texts of the message, which the stored one still has."""
        event = self.message.event
        large: dict[str, Any] = {
            name: "" for name, value in vars(event).items() if isinstance(value, str) and len(value) > _LARGE_TEXT
        }
        if large:
            self._replace(replace(self.message, event=replace(event, **large)), lacks_payload=True)

    def restore_payload(self, message: TaskMessage) -> None:
        """Takes the message as it was read again."""
        self._replace(message, lacks_payload=False)

    def _replace(self, message: TaskMessage, *, lacks_payload: bool) -> None:
        self.message, self.lacks_payload = message, lacks_payload
        self.__dict__.pop("size", None)

    @property
    def room(self) -> int:
        """What an answer without a message of its own takes of the room for these."""
        event = self.message.event
        return max(LEAST_ANSWER, len(event.result or "") if isinstance(event, TaskCompleted) else 0)

    @property
    def received(self) -> ReceivedMessage:
        return ReceivedMessage(
            message_id=self.stored.message_id, message=self.message, dequeue_count=self.stored.dequeue_count
        )


@dataclass(kw_only=True, eq=False)
class Batch:
    """Messages of one instance that are taken together.

    `start` begins a new execution, and the batch then holds only what is for that one. Without a start it holds
    whatever has come, for any execution: the history tells which of it the current one takes. `is_behind`: other
    messages of the instance came before the start and may have ended it. `sentinel_etag` is known once the history has
    been read, and is None where there is none yet.
    """

    instance_id: str
    queue_name: str
    start: ExecutionStarted | None = None
    is_behind: bool = False
    messages: list[HeldMessage] = field(default_factory=list)
    sentinel_etag: str | None = None

    def takes(self, message: TaskMessage) -> bool:
        if isinstance(message.event, ExecutionStarted):
            return False
        if self.start is None:
            return True
        return message.target.execution_id in (None, self.start.orchestration_instance.execution_id)


class Sessions:
    """All control messages that this host holds; `now` is a clock in seconds that never steps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: dict[tuple[str, str], HeldMessage] = {}
        self._waiting: dict[str, deque[Batch]] = {}
        self._out: dict[str, Batch] = {}
        # Messages that have to wait for something else of their instance, in the order in which they came.
        self._kept: dict[str, list[HeldMessage]] = {}
        # Instances with a waiting batch and none out, and since when, in that order.
        self._ready: dict[str, float] = {}
        # Executions that have not begun: they may be many, and wait while others run.
        self.waiting_start_count = 0
        # Of those that have no message of their own.
        self._answer_count = self._answer_room_taken = 0
        # Of those that have one, and of those among them that are kept.
        self._bytes = self._kept_bytes = 0

    @property
    def message_count(self) -> int:
        """How many messages are on their way through.

        Those that are kept are not, nor waiting starts and answers without a message of their own.
        """
        kept = sum(map(len, self._kept.values()))
        return len(self._held) - kept - self.waiting_start_count - self._answer_count

    @property
    def message_bytes(self) -> int:
        """How many bytes the messages take that are on their way through, waiting starts included.

        Those that are kept do not count: what would free them may have to come yet.
        """
        return self._bytes - self._kept_bytes

    def has_room_for(self, answer: HeldMessage) -> bool:
        """Whether an answer without a message of its own may be added."""
        return self._answer_room_taken + answer.room <= ANSWER_ROOM

    def add(self, held: HeldMessage) -> None:
        """Takes a message in. One that is here already is only known by its newer receipt from now on."""
        if self.refresh(held.stored):
            return
        self._held[held.key] = held
        self._count(held, 1)
        instance_id = held.message.target.instance_id
        batches = self._waiting.setdefault(instance_id, deque())
        batch = next((batch for batch in reversed(batches) if batch.takes(held.message)), None)
        if batch is None:
            batch = self._new_batch(held, is_behind=bool(batches) or instance_id in self._out)
            batches.append(batch)
            self.waiting_start_count += batch.start is not None
        batch.messages.append(held)
        self._make_ready(instance_id)

    def _new_batch(self, held: HeldMessage, *, is_behind: bool) -> Batch:
        event = held.message.event
        return Batch(
            instance_id=held.message.target.instance_id,
            queue_name=held.queue_name,
            start=event if isinstance(event, ExecutionStarted) else None,
            is_behind=is_behind,
        )

    def refresh(self, stored: StoredMessage) -> bool:
        """Whether a message is held already; then its receipt is replaced by this newer one."""
        known = self._held.get((stored.queue.name, stored.message_id))
        if known is None:
            return False
        known.stored.replace_by(stored)
        return True

    def take(self, is_due: Callable[[Batch, float], bool] = lambda batch, ready_at: True) -> Batch | None:
        """The batch that waits longest of those that are due, its instance not out; it is out from now on."""
        for instance_id, ready_at in self._ready.items():
            if is_due(self._waiting[instance_id][0], ready_at):
                break
        else:
            return None
        del self._ready[instance_id]
        batch = self._waiting[instance_id].popleft()
        self._drop_if_empty(instance_id)
        self._out[instance_id] = batch
        self.waiting_start_count -= batch.start is not None
        batch.messages[:0] = self._pop_kept(instance_id)
        return batch

    def absorb(self, batch: Batch) -> None:
        """Adds to a batch that is out what has come since, up to the next start."""
        batches = self._waiting.get(batch.instance_id)
        while batches and batches[0].start is None:
            batch.messages.extend(batches.popleft().messages)
        self._drop_if_empty(batch.instance_id)

    def put_back(self, batch: Batch) -> None:
        """Undoes `take`."""
        del self._out[batch.instance_id]
        self.waiting_start_count += batch.start is not None
        self._waiting.setdefault(batch.instance_id, deque()).appendleft(batch)
        self._make_ready(batch.instance_id)

    def is_out(self, instance_id: str) -> bool:
        return instance_id in self._out

    @property
    def batches_out(self) -> tuple[Batch, ...]:
        return tuple(self._out.values())

    def batch_out(self, instance_id: str) -> Batch:
        """The batch of this instance that was taken and neither finished nor put back."""
        return self._out[instance_id]

    def finish(self, batch: Batch, kept_ids: frozenset[str] = frozenset()) -> None:
        """Forgets a batch that was out, but for messages that join the next one; the instance may be taken again."""
        del self._out[batch.instance_id]
        kept = [held for held in batch.messages if held.stored.message_id in kept_ids]
        self._forget(held for held in batch.messages if held.stored.message_id not in kept_ids)
        if kept:
            self._keep(batch.instance_id, kept)
        if batch.instance_id in self._waiting:
            self._make_ready(batch.instance_id)

    def _keep(self, instance_id: str, messages: list[HeldMessage]) -> None:
        if self._kept_bytes + _total_size(messages) > KEPT_ROOM:
            self._bytes -= _total_size(messages)
            for held in messages:
                held.drop_payload()
            self._bytes += _total_size(messages)
        self._kept[instance_id] = messages
        self._kept_bytes += _total_size(messages)

    def restore(self, held: HeldMessage, message: TaskMessage) -> None:
        """Gives a message of a batch that is out the payload back that it had to drop while it was kept."""
        self._bytes -= held.size
        held.restore_payload(message)
        self._bytes += held.size

    def is_idle(self, queue_name: str) -> bool:
        """Whether no batch of this queue is out."""
        return not any(batch.queue_name == queue_name for batch in self._out.values())

    def remove_waiting(self, queue_name: str) -> list[HeldMessage]:
        """Forgets, and returns, what has come from this queue and is not out."""
        removed = self._remove_kept(queue_name)
        for instance_id in tuple(self._waiting):
            batches = self._waiting[instance_id]
            kept = deque(batch for batch in batches if batch.queue_name != queue_name)
            removed.extend(held for batch in batches if batch.queue_name == queue_name for held in batch.messages)
            self._waiting[instance_id] = kept
            self._drop_if_empty(instance_id)
        self.waiting_start_count -= sum(isinstance(held.message.event, ExecutionStarted) for held in removed)
        self._forget(removed)
        return removed

    def _remove_kept(self, queue_name: str) -> list[HeldMessage]:
        removed: list[HeldMessage] = []
        for instance_id in tuple(self._kept):
            # All messages of an instance come from one queue.
            if self._kept[instance_id][0].queue_name == queue_name:
                removed += self._pop_kept(instance_id)
        return removed

    def _pop_kept(self, instance_id: str) -> list[HeldMessage]:
        kept = self._kept.pop(instance_id, [])
        self._kept_bytes -= _total_size(kept)
        return kept

    def _forget(self, messages: Iterable[HeldMessage]) -> None:
        for held in tuple(messages):
            if self._held.pop(held.key, None):
                self._count(held, -1)

    def _count(self, held: HeldMessage, sign: int) -> None:
        if held.answers_at:
            self._answer_count += sign
            self._answer_room_taken += sign * held.room
        else:
            self._bytes += sign * held.size

    def _make_ready(self, instance_id: str) -> None:
        if instance_id not in self._out:
            self._ready.setdefault(instance_id, self._now())

    def _drop_if_empty(self, instance_id: str) -> None:
        if not self._waiting.get(instance_id):
            self._waiting.pop(instance_id, None)
            self._ready.pop(instance_id, None)


def _total_size(messages: Iterable[HeldMessage]) -> int:
    return sum(held.size for held in messages if not held.answers_at)
