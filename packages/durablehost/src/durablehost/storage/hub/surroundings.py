"""Looks at the queues and leases around one instance. Rule of this file: it only looks.

A queue shows its first 32 visible messages to one who does not receive them. It shows no invisible ones, only how many
messages there are in all, and payloads in blobs are not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from durablehost.engine.partitions import Lease
from durablehost.engine.ports import HeldHere, PeekedMessage, QueueView, Surroundings
from durablehost.errors import PoisonMessage
from durablehost.storage.account.names import blob_folder, escape_key
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.refusal import Missing
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.queues import MAX_MESSAGES_PER_GET, MessageQueue, StoredMessage
from durablehost.storage.messages.received import HeldMessage, MessageState
from durablehost.storage.messages.sessions import Sessions
from durablehost.storage.messages.work_items import WorkItemInbox
from durablehost.storage.rows.lease_table import LeaseTable
from durablehost.storage.rows.message_json import OffloadedEnvelope, envelope_from_text

_BLOB_SUFFIX = ".json.gz"


class Observer:
    """Looks around in one hub. `has_ended` returns whether an owner of leases is known to have ended."""

    def __init__(
        self,
        *,
        options: StorageOptions,
        queues: HubQueues,
        leases: LeaseTable,
        sessions: Sessions,
        work_items: WorkItemInbox,
        has_ended: Callable[[str], bool],
    ) -> None:
        self._options = options
        self._queues = queues
        self._leases = leases
        self._sessions = sessions
        self._work_items = work_items
        self._has_ended = has_ended

    async def look_around(self, instance_id: str) -> Surroundings:
        leases, control, work_items = await asyncio.gather(
            self._leases.peek_all(),
            self._look_into(self._queues.control_queue_of(instance_id), instance_id, self._control_messages),
            self._look_into(self._queues.work_items, instance_id, self._requests),
        )
        return Surroundings(
            control=control,
            work_items=work_items,
            leases=tuple(leases),
            ended_owners=frozenset(owner for owner in _owners(leases) if self._has_ended(owner)),
            own_id=self._options.worker_id,
            control_visibility_seconds=self._options.control_queue_visibility_seconds,
        )

    async def _look_into(
        self, queue: MessageQueue, instance_id: str, held: Callable[[str], tuple[HeldHere, ...]]
    ) -> QueueView:
        try:
            stored, total = await asyncio.gather(queue.peek(), queue.count())
        except Missing:
            return QueueView(name=queue.name, held=held(instance_id))
        seen = [peeked for each in stored if (peeked := _peeked(each, instance_id))]
        is_whole = len(stored) < MAX_MESSAGES_PER_GET
        return QueueView(name=queue.name, visible=tuple(seen), is_whole=is_whole, held=held(instance_id), total=total)

    def _control_messages(self, instance_id: str) -> tuple[HeldHere, ...]:
        return tuple(_held_here(held, None) for held in self._sessions.of_instance(instance_id))

    def _requests(self, instance_id: str) -> tuple[HeldHere, ...]:
        return tuple(
            _held_here(
                held,
                self._work_items.seconds_out(held.stored.message_id) if held.state is MessageState.OUT else None,
            )
            for held in self._work_items.of_instance(instance_id)
        )


def _owners(leases: Sequence[Lease]) -> set[str]:
    return {lease.current_owner for lease in leases if lease.current_owner}


def _held_here(held: HeldMessage, seconds_out: float | None) -> HeldHere:
    return HeldHere(
        event=held.message.event,
        is_out=held.state is MessageState.OUT,
        is_kept=held.state is MessageState.KEPT,
        seconds_out=seconds_out,
    )


def _peeked(stored: StoredMessage, instance_id: str) -> PeekedMessage | None:
    """The message, if it is for this instance and can be read."""
    try:
        envelope = envelope_from_text(stored.text)
    except PoisonMessage:
        return None
    if isinstance(envelope, OffloadedEnvelope):
        event_type = _type_of_blob(envelope.blob_name, instance_id)
        event = None
    else:
        if envelope.message.target.instance_id != instance_id:
            return None
        event_type, event = envelope.message.event.type_name, envelope.message.event
    if event_type is None:
        return None
    return PeekedMessage(event_type=event_type, event=event, dequeue_count=stored.dequeue_count)


def _type_of_blob(name: str, instance_id: str) -> str | None:
    """The type of the event in the blob of a message for this instance; None if it is of another instance."""
    path = PurePosixPath(name)
    # The names of blobs begin with the id or with its key, depending on the host that stored them.
    folders = {blob_folder(instance_id), blob_folder(escape_key(instance_id))}
    if str(path.parent) not in folders or not path.name.startswith("message-"):
        return None
    return path.name.removesuffix(_BLOB_SUFFIX).rpartition("-")[2]
