"""Control messages in memory, grouped into the batches that episodes take: at most one batch per instance is out.

Plain data, no I/O. Mirrors DurableTask.AzureStorage.OrchestrationSessionManager.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from durablehost.core.history import MARKS, EventRaised, ExecutionStarted
from durablehost.core.messages import TaskMessage
from durablehost.storage.messages.queues import StoredMessage
from durablehost.storage.messages.received import HeldMessage, Ledger, MessageState

# Limits quick results, in characters: the memory they use, and with LEAST_RESULT_ROOM how many activities a crash
# repeats, 1,024.
RESULT_ROOM = 32 * 1024 * 1024
# Limits kept messages, in bytes of memory.
KEPT_ROOM = 64 * 1024 * 1024

# What a client sends, in an order that means something. Everything else stays in the order of its arrival.
_ORDERED = (EventRaised, *MARKS)
_IN_FLIGHT = (MessageState.EARLY, MessageState.WAITING, MessageState.OUT)


@dataclass(kw_only=True, eq=False)
class Batch:
    """Messages of one instance that one episode takes together.

    A batch with a `start` begins a new execution and contains messages for that one only. A batch without one contains
    messages for any execution; the episode selects those of the current one. `is_behind`: other messages of the
    instance came before the start and may have ended it. `sentinel_etag` is known once the history has been read, and
    is None if there is no history yet. `blobs` are those of the history, until a new execution has replaced it.
    """

    instance_id: str
    queue_name: str
    start: ExecutionStarted | None = None
    is_behind: bool = False
    messages: list[HeldMessage] = field(default_factory=list)
    sentinel_etag: str | None = None
    blobs: tuple[str, ...] = ()
    replaced_blobs: tuple[str, ...] = ()

    def accepts(self, message: TaskMessage) -> bool:
        if isinstance(message.event, ExecutionStarted):
            return False
        if self.start is None:
            return True
        return message.target.execution_id in (None, self.start.orchestration_instance.execution_id)


class Sessions:
    """The control messages of this host, by instance; `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ledger = Ledger()
        self._waiting: dict[str, deque[Batch]] = {}
        self._out: dict[str, Batch] = {}
        self._kept: dict[str, list[HeldMessage]] = {}
        # Instances with a waiting batch and none out, with the time since when, oldest first.
        self._ready: dict[str, float] = {}

    @property
    def message_count(self) -> int:
        """How many messages are early, waiting or out, without quick results and `waiting_start_count`."""
        return self._ledger.total(*_IN_FLIGHT).count - self.waiting_start_count

    @property
    def message_bytes(self) -> int:
        """How many bytes the early, waiting and out messages take, waiting starts included."""
        return self._ledger.total(*_IN_FLIGHT).byte_count

    @property
    def waiting_start_count(self) -> int:
        """How many executions have not begun. They may be many, and wait while others run."""
        return self._ledger.total(MessageState.WAITING).start_count

    def has_room_for(self, result: HeldMessage) -> bool:
        """Whether a quick result may be added."""
        return self._ledger.total(*_IN_FLIGHT).result_room + result.result_room <= RESULT_ROOM

    @property
    def are_results_few(self) -> bool:
        """Whether quick results use less than half of their room."""
        return self._ledger.total(*_IN_FLIGHT).result_room < RESULT_ROOM / 2

    def refresh(self, stored: StoredMessage) -> bool:
        """Replaces the receipt of a message that is already held; False if it is not held.

        A kept message comes again when its visibility timeout is over. Then its instance is looked at once more,
        because another host may have advanced it, and no other message may ever come.
        """
        held = self._ledger.refresh(stored)
        if held is not None and held.state is MessageState.KEPT:
            self._reconsider(held)
        return held is not None

    def _reconsider(self, kept: HeldMessage) -> None:
        """Adds an empty batch, with which the kept messages of the instance are taken."""
        instance_id = kept.message.target.instance_id
        if instance_id not in self._waiting:
            self._waiting[instance_id] = deque([Batch(instance_id=instance_id, queue_name=kept.queue_name)])
            self._make_ready(instance_id)

    def add_early(self, held: HeldMessage) -> bool:
        """Counts a message that is not due yet, to be added by `add` later; False if it is already held."""
        if held.state is MessageState.NEW:
            if self._ledger.refresh(held.stored):
                return False
            self._ledger.move(held, MessageState.EARLY)
        return True

    def remove_early(self, held: HeldMessage) -> None:
        self._ledger.move(held, MessageState.DONE)

    def add(self, held: HeldMessage) -> None:
        """Adds a message to a batch of its instance. If it is already held, only its receipt is updated."""
        if held.state is MessageState.NEW and self._ledger.refresh(held.stored):
            return
        self._ledger.move(held, MessageState.WAITING)
        instance_id = held.message.target.instance_id
        batches = self._waiting.setdefault(instance_id, deque())
        batch = next((batch for batch in reversed(batches) if batch.accepts(held.message)), None)
        if batch is None:
            batch = self._new_batch(held, is_behind=bool(batches) or instance_id in self._out)
            batches.append(batch)
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

    def take(self, is_due: Callable[[Batch, float], bool] = lambda batch, ready_at: True) -> Batch | None:
        """Takes the longest-waiting due batch whose instance is free, with the kept messages of the instance."""
        for instance_id, ready_at in self._ready.items():
            if is_due(self._waiting[instance_id][0], ready_at):
                break
        else:
            return None
        del self._ready[instance_id]
        batch = self._waiting[instance_id].popleft()
        self._drop_if_empty(instance_id)
        batch.messages[:0] = self._kept.pop(instance_id, [])
        _order_by_sending(batch.messages)
        self._ledger.move_all(batch.messages, MessageState.OUT)
        self._out[instance_id] = batch
        return batch

    def absorb(self, batch: Batch) -> None:
        """Extends a batch that is out by the messages that have arrived since, up to the next start."""
        batches = self._waiting.get(batch.instance_id)
        while batches and batches[0].start is None:
            arrived = batches.popleft().messages
            self._ledger.move_all(arrived, MessageState.OUT)
            batch.messages.extend(arrived)
            _order_by_sending(batch.messages)
        self._drop_if_empty(batch.instance_id)

    def put_back(self, batch: Batch) -> None:
        """Undoes `take`."""
        del self._out[batch.instance_id]
        self._ledger.move_all(batch.messages, MessageState.WAITING)
        self._waiting.setdefault(batch.instance_id, deque()).appendleft(batch)
        self._make_ready(batch.instance_id)

    def is_out(self, instance_id: str) -> bool:
        return instance_id in self._out

    @property
    def batches_out(self) -> tuple[Batch, ...]:
        return tuple(self._out.values())

    def batch_out(self, instance_id: str) -> Batch:
        """The batch of this instance that is out."""
        return self._out[instance_id]

    def finish(self, batch: Batch, kept_ids: frozenset[str] = frozenset()) -> None:
        """Ends a batch that was out. Messages with these ids join the instance's next batch; the others are done."""
        del self._out[batch.instance_id]
        kept = [held for held in batch.messages if held.stored.message_id in kept_ids]
        self._ledger.move_all(
            (held for held in batch.messages if held.stored.message_id not in kept_ids), MessageState.DONE
        )
        if kept:
            self._keep(batch.instance_id, kept)
        if batch.instance_id in self._waiting:
            self._make_ready(batch.instance_id)

    def _keep(self, instance_id: str, messages: list[HeldMessage]) -> None:
        self._kept[instance_id] = messages
        self._ledger.move_all(messages, MessageState.KEPT)
        if self._ledger.total(MessageState.KEPT).byte_count > KEPT_ROOM:
            for held in messages:
                self._ledger.drop_payload(held)

    def restore(self, held: HeldMessage, message: TaskMessage) -> None:
        """Restores the payload of a message of a batch that is out, dropped while the message was kept."""
        self._ledger.restore_payload(held, message)

    def of_instance(self, instance_id: str) -> list[HeldMessage]:
        """The messages of an instance that this host holds, quick results included."""
        return self._ledger.of_instance(instance_id)

    def is_idle(self, queue_name: str) -> bool:
        """Whether no batch of this queue is out."""
        return not any(batch.queue_name == queue_name for batch in self._out.values())

    def remove_waiting(self, queue_name: str) -> list[HeldMessage]:
        """Removes and returns the waiting and kept messages of this queue."""
        removed: list[HeldMessage] = []
        for instance_id in tuple(self._kept):
            # All messages of an instance come from one queue.
            if self._kept[instance_id][0].queue_name == queue_name:
                removed += self._kept.pop(instance_id)
        for instance_id in tuple(self._waiting):
            batches = self._waiting[instance_id]
            removed += [held for batch in batches if batch.queue_name == queue_name for held in batch.messages]
            self._waiting[instance_id] = deque(batch for batch in batches if batch.queue_name != queue_name)
            self._drop_if_empty(instance_id)
        self._ledger.move_all(removed, MessageState.DONE)
        return removed

    def _make_ready(self, instance_id: str) -> None:
        if instance_id not in self._out:
            self._ready.setdefault(instance_id, self._now())

    def _drop_if_empty(self, instance_id: str) -> None:
        if not self._waiting.get(instance_id):
            self._waiting.pop(instance_id, None)
            self._ready.pop(instance_id, None)


def _order_by_sending(messages: list[HeldMessage]) -> None:
    """Puts events, suspensions and resumptions in their order; what a dead host had kept arrives after newer ones."""
    places = [place for place, held in enumerate(messages) if isinstance(held.message.event, _ORDERED)]
    in_order = sorted((messages[place] for place in places), key=lambda held: held.sent_at)
    for place, held in zip(places, in_order, strict=True):
        messages[place] = held
