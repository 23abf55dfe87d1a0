"""The two seams of durablehost: `TaskHub`, where state is durable, and `Executor`, where user code runs.

The docstrings of this file are the contract; one suite (`tests/contract`) checks every implementation. Times are
aware and in UTC; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import HistoryEvent
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.partitions import Lease


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A message as the hub delivered it.

    `message_id` names the stored message: the same one delivered twice has the same id. `dequeue_count` counts its
    deliveries, this one included; later counts may leave out a first delivery within the process of the sender.
    """

    message_id: str
    message: TaskMessage
    dequeue_count: int


@dataclass(frozen=True, kw_only=True)
class OrchestrationWorkItem:
    """Messages for one instance, with the history they continue.

    Until the item is given back, this hub object hands out no other item of the same instance. `history` is that of the
    current execution, in order, without rows of any other execution; it is empty if a message starts a new one, which
    is then the current one. `execution_id` is its id, or None if the instance has none. Messages may name other
    executions: the caller decides what becomes of those.

    `replaces` is the execution that such a start replaces, or None if there is none.
    """

    instance_id: str
    execution_id: str | None
    history: tuple[HistoryEvent, ...]
    messages: tuple[ReceivedMessage, ...]
    replaces: str | None = None


@dataclass(frozen=True, kw_only=True)
class ActivityWorkItem:
    """One activity request; `received.message.event` is a `TaskScheduled`."""

    received: ReceivedMessage


@dataclass(frozen=True, kw_only=True)
class InstanceRecord:
    """The stored facts about an instance, without its history. Payloads are stored text: JSON, or raw text for reasons.

    `parent_id` is the instance that has called this one. `scheduled_start` is the time before which it must not begin.
    `problem` describes the part of the stored record that cannot be read; the members concerned have empty values.
    """

    instance_id: str
    execution_id: str | None
    name: str
    version: str | None
    runtime_status: RuntimeStatus
    created_at: datetime
    last_updated_at: datetime
    completed_at: datetime | None = None
    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    generation: int = 0
    parent_id: str | None = None
    scheduled_start: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstanceQuery:
    """Which instances to list; None and empty mean no condition. All times are inclusive; `name` is the whole name."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    name: str | None = None
    statuses: frozenset[RuntimeStatus] = field(default_factory=frozenset)
    id_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstancePage:
    """One page of a listing, in key order. It may be short, even empty, and still have a `continuation_token`."""

    records: tuple[InstanceRecord, ...]
    continuation_token: str | None = None


@dataclass(frozen=True, kw_only=True)
class PeekedMessage:
    """A message that was looked at where it is, not received.

    `event` is None if it is too large to be looked at; `event_type` is the name of its type. `dequeue_count` counts its
    deliveries so far.
    """

    event_type: str
    event: HistoryEvent | None
    dequeue_count: int


@dataclass(frozen=True, kw_only=True)
class HeldHere:
    """A message that this hub object has received.

    `is_out`: an episode or an activity works on it, for `seconds_out` if that is known. `is_kept`: an episode has
    left it for a later one.
    """

    event: HistoryEvent
    is_out: bool = False
    is_kept: bool = False
    seconds_out: float | None = None


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The messages of one instance in one queue.

    `visible` are those that any host could receive now, oldest first; `is_whole` is False if the queue has more visible
    messages than can be looked at, so that some may be missing. `held` are those that this hub object has received.
    `total`: at most so many messages of all instances are in the queue, invisible ones included; None: not known.
    """

    name: str
    visible: tuple[PeekedMessage, ...] = ()
    is_whole: bool = True
    held: tuple[HeldHere, ...] = ()
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the storage shows of the queues and hosts of one instance.

    `control` is the queue of its partition, which has the same name as its lease in `leases`. `leases` is empty if the
    storage has none that this host can read. `ended_owners` are the owners of leases whose processes are known to have
    ended. `own_id` is the name under which this hub object itself takes leases. The visibility timeout of control
    messages, in seconds, is that of this hub object; other hosts may have others.
    """

    control: QueueView
    work_items: QueueView
    leases: tuple[Lease, ...] = ()
    ended_owners: frozenset[str] = frozenset()
    own_id: str | None = None
    control_visibility_seconds: float


class TaskHub(Protocol):
    """Durable storage of one task hub, shared with other hosts.

    Delivery is at least once: after a crash, or when its visibility timeout ends, a message is delivered again. Every
    write is conditional or idempotent. Any method may raise `StorageUnavailable`; then it is unknown what was written,
    and calling it again is safe.
    """

    async def create(self) -> None:
        """Creates the missing tables, queues and containers of the hub. Safe to repeat and to call concurrently."""

    async def start(self) -> None:
        """Starts to receive messages: claims partitions and listens to their control queues. Returns at once."""

    async def stop(self) -> None:
        """Stops receiving and releases the partitions, so that another host can claim them at once.

        Messages that were received and not completed become visible again at once, or when their visibility timeout
        ends. Called after the dispatchers have drained. Safe to call twice.
        """

    async def fetch_orchestration(self) -> OrchestrationWorkItem:
        """Waits for the next instance that has messages and is not handed out already, with all its received messages.

        A start (`ExecutionStarted`) opens an item of its own, with those messages that are for its execution or name
        none. It begins a new execution unless it is late (`core.lineage.is_overtaken`); one whose instance was
        terminated before it began is dropped. Messages are in the order in which they were stored, as far as the queue
        keeps it. The item must be given back by `complete_orchestration` or `abandon_orchestration`.
        """

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        kept: Sequence[ReceivedMessage] = (),
    ) -> None:
        """Makes a checkpoint durable: outbox sent, then history written, then the record merged, then messages deleted.

        The events of a stage are written before the messages that follow it are sent. On return all of it is stored
        and the item's messages are deleted, except two kinds. The `deferred` ones become visible again after a delay
        that grows with their `dequeue_count`. The `kept` ones stay stored, and this hub object keeps them: they are
        part of the next item of the instance, but do not cause one. A crash in between repeats the episode and loses
        nothing. An empty checkpoint only deletes the messages. The instance may be handed out again.

        Raises:
            StaleCheckpoint: another host has advanced the instance since `item` was fetched. No history was written,
                and the item still has to be abandoned.
        """

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Returns the item: its messages become visible again after a delay that grows with their `dequeue_count`."""

    async def renew_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Keeps the item's messages invisible for another full visibility timeout.

        Does nothing if the item was given back meanwhile: a renewal may come too late.
        """

    async def fetch_activity(self) -> ActivityWorkItem:
        """Waits for the next activity request. It must be given back by `complete_activity` or `abandon_activity`."""

    async def complete_activity(self, item: ActivityWorkItem, result: TaskMessage) -> None:
        """Sends the result to its target; the request is deleted only after the result, or its effect, is stored.

        The result of a slow activity is stored on return. The result of a quick one, if its target runs in this
        process, may have no message of its own: the next episode stores it soon. A crash before the request is deleted
        makes the activity run again; its second result is dropped by its task id.
        """

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        """Gives the request back: it becomes visible again after a delay that grows with its `dequeue_count`."""

    async def renew_activity(self, item: ActivityWorkItem) -> None:
        """Keeps the request invisible for another full visibility timeout, unless it was given back meanwhile."""

    async def start_instance(self, start: TaskMessage, *, overridable: frozenset[RuntimeStatus]) -> None:
        """Stores a start (an `ExecutionStarted` for a new execution id), then the Pending row that confirms it.

        An existing instance whose status is in `overridable` is replaced: the new execution does not see its history. A
        start without a generation gets the next one of its id, beginning with 0.

        Raises:
            InstanceExists: the instance exists in any other status. Nothing was written.
        """

    async def send(self, message: TaskMessage) -> None:
        """Stores a message for an instance. On return it survives a crash; it is delivered at least once."""

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        """The record of an instance, with its large payloads; None if there is none.

        A damaged record is no error: its `problem` describes the damage.
        """

    async def peek_instance(self, instance_id: str) -> InstanceRecord | None:
        """The record of an instance as it is stored: large payloads are only references. None if there is none."""

    async def list_instances(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None = None,
        with_input: bool = True,
        with_payloads: bool = True,
    ) -> InstancePage:
        """One page of the instances that match, in the order of their keys, including damaged records.

        `with_input` False leaves out inputs, `with_payloads` False inputs and outputs.

        Raises:
            RequestError: 400, if the token is not one that an earlier page gave.
        """

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        """The history of the current execution, in order; empty if there is none.

        Raises:
            UnreadableState: the history is damaged.
        """

    async def look_around(self, instance_id: str) -> Surroundings:
        """What the queues and leases show of an instance. Only looks: nothing is received, written or delayed by it.

        Missing queues and leases are no error. Messages that cannot be read are left out.
        """

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        """Makes a failed instance continue from its first failure, without the decisions that followed from it.

        On return its history is running again, and so are those of the failed children that it awaits, and of theirs: a
        `GenericEvent` replaces each event that `core.rewind` undoes. Each of these instances has a message, a
        `GenericEvent` with the reason as its data, that opens its next episode, which schedules the undone work again
        under its old task ids. Their records are Pending without output and completion time, or as that episode has
        written them. A child that can give no result any more (terminated, purged, replaced) is started anew.

        The caller has checked that the record is Failed. It stays so until everything is stored, or another message
        opens an episode: after a crash this call or, then, `finish_rewind` completes the rewind. At worst an instance
        is woken once too often.

        Raises:
            RequestError: 412, if the history cannot be run again safely. Nothing was changed.
            StaleCheckpoint: another host has changed one of the histories meanwhile; the call can be repeated.
        """

    async def finish_rewind(self, instance_id: str, reason: str) -> bool:
        """Wakes the children of a running instance that an interrupted `rewind_instance` has rewound but not woken.

        Returns False if there are none: then nothing was changed.
        """

    async def purge_instance(self, instance_id: str) -> bool:
        """Removes history, blobs and record of an instance; False if it is unknown.

        The caller has checked that the instance is finished. If a start replaces it meanwhile, that execution stays.
        """


class Executor(Protocol):
    """Where user code runs."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Calls a function once and waits for its end. An exception of user code is in the result, not raised.

        Raises:
            FunctionTimeout: the function ran longer than `functionTimeout`; its process was killed.
            WorkerCrashed: the process ended first; whether the function had effects is not known.
            WorkerUnresponsive: no process could take the call.
        """
