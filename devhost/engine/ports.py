"""The two seams of devhost: `TaskHub`, where state is durable, and `Executor`, where user code runs.

The prose of this file is the contract. Every implementation is held to it by one suite (`tests/contract`).
Times are aware and in UTC; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from devhost.app.invocation import Invocation, InvocationResult
from devhost.core.checkpoint import Checkpoint
from devhost.core.history import HistoryEvent
from devhost.core.messages import TaskMessage
from devhost.core.status import RuntimeStatus


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A message in hand.

    `message_id` names the stored message: the same one delivered twice has the same id. `dequeue_count` counts its
    deliveries, this one included; a first one that never left the process of its sender may be missing in later counts.
    """

    message_id: str
    message: TaskMessage
    dequeue_count: int


@dataclass(frozen=True, kw_only=True)
class OrchestrationWorkItem:
    """Messages for one instance, with the history they continue.

    While the item is out, no other item of the same instance is handed out by this hub object. `history` is that of the
    current execution, in order, without rows of any other execution; it is empty if a message starts a new one, which
    is then the current one. `execution_id` is its id, or None if the instance has none. Messages may name other
    executions: it is up to the caller what becomes of those.
    `replaces` is the execution that such a start takes the place of, or None if there is none.
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
    """What is known of an instance without its history. Payloads are stored text: JSON, or raw text for reasons.

    `problem` says what of the stored record cannot be read; the members concerned hold what stands for nothing.
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
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstanceQuery:
    """Which instances to list; None and empty mean no condition. Both times are inclusive."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    statuses: frozenset[RuntimeStatus] = field(default_factory=frozenset)
    id_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstancePage:
    """One page of a listing, in key order. It may be short, even empty, and still have a `continuation_token`."""

    records: tuple[InstanceRecord, ...]
    continuation_token: str | None = None


class TaskHub(Protocol):
    """Durable storage of one task hub, shared with other hosts.

    Delivery is at least once: after a crash, or when a message's invisibility runs out, it comes again. Every write is
    conditional or idempotent. Any method may raise `StorageUnavailable`; then nothing is known to have been written,
    and calling it again is safe.
    """

    async def create(self) -> None:
        """Creates every table, queue and container of the hub that is not there yet. Safe to repeat and to race."""

    async def start(self) -> None:
        """Begins to receive messages: claims partitions and listens to their control queues. Returns at once."""

    async def stop(self) -> None:
        """Ends receiving and gives the partitions back, so that another host takes them at once.

        Messages that were received and not completed become visible again at once or when their invisibility runs out.
        Called after the dispatchers have drained. Safe to call twice.
        """

    async def fetch_orchestration(self) -> OrchestrationWorkItem:
        """Waits for the next instance that has messages and is not out already, with all its messages at hand.

        A start (`ExecutionStarted`) opens an item of its own, with those messages that are for its execution or name
        none. It begins a new execution unless it comes late (`core.lineage.is_overtaken`); one whose instance was
        terminated before it began is dropped. Messages are in the order in which they were stored, as far as the queue
        tells. The item must be given back by `complete_orchestration` or `abandon_orchestration`.
        """

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        held: Sequence[ReceivedMessage] = (),
    ) -> None:
        """Makes a checkpoint durable: outbox sent, then history written, then the record merged, then messages deleted.

        On return all of it is stored and the item's messages are gone, but for two kinds. The `deferred` ones become
        visible again after a delay that grows with their `dequeue_count`. The `held` ones stay stored and with this hub
        object: they are part of the next item of the instance, but no reason for one. A crash in between repeats the
        episode and loses nothing. An empty checkpoint only deletes: that is how messages are dropped which need no
        episode. The instance may be handed out again.

        Raises:
            StaleCheckpoint: another host has advanced the instance since `item` was fetched. No history was written,
                and the item still has to be abandoned.
        """

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Gives the item up: its messages become visible again after a delay that grows with their `dequeue_count`."""

    async def renew_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Keeps the item's messages invisible for another full visibility timeout.

        Does nothing where the item was given back meanwhile: a renewal that is due can meet its end.
        """

    async def fetch_activity(self) -> ActivityWorkItem:
        """Waits for the next activity request. It must be given back by `complete_activity` or `abandon_activity`."""

    async def complete_activity(self, item: ActivityWorkItem, reply: TaskMessage) -> None:
        """Hands the reply to its target; the request is deleted only after the reply, or its effect, is stored.

        A reply that took long to come by is stored on return. One that did not, and whose target takes its turns in
        this process, may have no message of its own: the turn that takes it in stores it, in a moment. A crash before
        the request is deleted makes the activity run again; its second reply is dropped by its task id.
        """

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        """Gives the request up: it becomes visible again after a delay that grows with its `dequeue_count`."""

    async def renew_activity(self, item: ActivityWorkItem) -> None:
        """Keeps the request invisible for another full visibility timeout, unless it was given back meanwhile."""

    async def start_instance(self, start: TaskMessage, *, overridable: frozenset[RuntimeStatus]) -> None:
        """Stores a start (an `ExecutionStarted` for a new execution id), then the Pending row that confirms it.

        An existing instance whose status is in `overridable` is replaced: the new execution will not see its history.
        A start that has no generation becomes the next one of its id; the first is 0.

        Raises:
            InstanceExists: the instance exists in any other status. Nothing was written.
        """

    async def send(self, message: TaskMessage) -> None:
        """Stores a message for an instance. On return it survives a crash; it is delivered at least once."""

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        """The record of an instance, large payloads fetched; None where there is none.

        One that is damaged is no error: its `problem` says what is wrong with it.
        """

    async def list_instances(
        self, query: InstanceQuery, *, page_size: int, continuation_token: str | None = None, with_input: bool = True
    ) -> InstancePage:
        """One page of the instances that match, in the order of their keys, damaged records among them.

        Raises:
            RequestError: 400, where the token is not one that an earlier page gave.
        """

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        """The history of the current execution, in order; empty where there is none.

        Raises:
            UnreadableState: it is damaged.
        """

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        """Makes a failed instance go on from its first failure, without what was decided because of it.

        On return its history is running again, and so are those of the failed children it waits for, and of theirs:
        what `core.rewind` undoes is a `GenericEvent` in place. Each of them has a message, a `GenericEvent` with the
        reason as its data, that opens its next episode; there the undone work is scheduled again under its old task
        ids. Their records are Pending, or what that episode has made of them, without output and end. A child that can
        no longer answer (terminated, purged, replaced) is to be started anew.

        The caller has made sure that the record is Failed. Until everything is stored it stays so: after a crash the
        call can be repeated, and at worst wakes an instance once more than needed.

        Raises:
            RequestError: 412, where the history cannot be run again soundly. Nothing was changed.
            StaleCheckpoint: somebody else has changed one of the histories meanwhile; to be repeated, if at all.
        """

    async def purge_instance(self, instance_id: str) -> bool:
        """Removes history, blobs and record of an instance; False where it is unknown.

        The caller has made sure that the instance is finished.
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
