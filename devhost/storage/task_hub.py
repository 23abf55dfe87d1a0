"""The task hub in Azure Storage, in the layout of DurableTask.AzureStorage.

Rule of this file: `complete_orchestration` is the one place where a checkpoint becomes durable, in an order that no
crash can turn into lost work. Mirrors AzureStorageOrchestrationService, with two choices of its own: the app lease of
the hub is created but not taken (under a foreign id it would keep a real host waiting), and histories that were just
written are kept in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from devhost.clock import Clock
from devhost.core.checkpoint import Checkpoint
from devhost.core.history import HistoryEvent
from devhost.core.messages import TaskMessage
from devhost.core.status import RuntimeStatus
from devhost.engine.partitions import PartitionKeeper
from devhost.engine.ports import (
    ActivityWorkItem,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    OrchestrationWorkItem,
    ReceivedMessage,
)
from devhost.errors import StorageUnavailable
from devhost.storage.concurrency import TaskOwner, call_each
from devhost.storage.due_batches import DueBatches
from devhost.storage.entity_table import EntityTable
from devhost.storage.history_cache import HistoryCache
from devhost.storage.history_table import History, HistoryTable
from devhost.storage.hub_queues import HubQueues
from devhost.storage.inbox import ControlInbox, MessageReader, SetAside
from devhost.storage.instance_table import InstanceTable
from devhost.storage.journal import JournalFolder
from devhost.storage.lease_table import LeaseTable
from devhost.storage.names import HubNames, blob_folder, escape_key
from devhost.storage.options import StorageOptions
from devhost.storage.outbox import Outbox
from devhost.storage.pacing import Pace
from devhost.storage.payloads import PayloadStore
from devhost.storage.rebuilding import Rebuilder
from devhost.storage.receiving import Receiver
from devhost.storage.refusal import Gone
from devhost.storage.requests import RequestReader
from devhost.storage.resources import create_resources
from devhost.storage.rewinding import Rewinder
from devhost.storage.services import Services, open_services
from devhost.storage.sessions import Batch, HeldMessage, Sessions
from devhost.storage.settling import Settler
from devhost.storage.starting import Starter
from devhost.storage.take_over import TakeOver
from devhost.storage.unreadable import UnreadableHistories
from devhost.storage.visibility import Extender
from devhost.storage.work_items import LONGEST_HOLD_SECONDS, WorkItemInbox


@asynccontextmanager
async def open_task_hub(options: StorageOptions, clock: Clock) -> AsyncIterator[AzureStorageTaskHub]:
    """A hub that is stopped and disconnected at the end of the block. Creates and receives nothing by itself."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(options.connection))
        journals = stack.enter_context(_journals(options, services))
        hub = AzureStorageTaskHub(options, clock, services, journals)
        stack.push_async_callback(hub.stop)
        yield hub


class AzureStorageTaskHub:
    """Implements `devhost.engine.ports.TaskHub`, whose prose is the contract."""

    def __init__(
        self, options: StorageOptions, clock: Clock, services: Services, journals: JournalFolder | None = None
    ) -> None:
        names = HubNames(options.hub_name)
        journals = journals or _journals(options, services)
        self._options = options
        self._clock = clock
        self._services = services
        self._names = names
        self._payloads = PayloadStore(services.blobs.get_container_client(names.large_messages_container))
        self._histories = HistoryTable(
            EntityTable(services.table_service, names.history_table),
            services.tables.get_table_client(names.history_table),
            self._payloads,
            clock,
        )
        self._instances = InstanceTable(
            EntityTable(services.table_service, names.instances_table),
            services.tables.get_table_client(names.instances_table),
            self._payloads,
            clock,
            names.hub,
        )
        self._queues = HubQueues(services.queue_service, names, options.partition_count, journals.own)
        self._leases = LeaseTable(
            EntityTable(services.table_service, names.partitions_table),
            names.control_queue_prefix,
            self._queues.control_queue_names,
        )
        self._pace = Pace(time.monotonic)
        self._outbox = Outbox(self._queues, self._payloads, clock, self._pace)
        self._cache = HistoryCache()
        self._rewinder = Rewinder(self._histories, self._instances, self._outbox, clock, self._cache.drop)
        self._sessions = Sessions(time.monotonic)
        self._due = DueBatches(self._sessions, self._pace)
        self._tasks = TaskOwner()
        self._reader = reader = MessageReader(self._payloads, self._queues, SetAside())
        self._control = ControlInbox(
            reader,
            self._queues,
            self._sessions,
            self._instances,
            clock,
            self._pace,
            self._due.offer,
            self._tasks.spawn,
            options,
        )
        self._work_items = WorkItemInbox(
            RequestReader(reader, self._queues, self._outbox, clock),
            self._queues.release,
            self._tasks.spawn,
            # Well before it comes into sight by itself, for another host to begin it as well.
            longest_hold_seconds=min(LONGEST_HOLD_SECONDS, options.work_item_visibility_seconds / 2),
        )
        self._starter = Starter(self._instances, self._outbox, self._control)
        self._settler = Settler(self._queues, self._outbox, self._work_items)
        self._extender = Extender(self._tasks.spawn)
        self._unreadable = UnreadableHistories(self._histories, self._instances, self._outbox, self._settler, clock)
        self._receiver = Receiver(
            options,
            self._queues,
            self._sessions,
            self._control,
            self._work_items,
            self._settler,
            self._tasks,
            # Without a journal, a kill leaves everything invisible for as long as the settings say.
            self._extender if journals.own.is_kept else None,
            self._cache.clear,
        )
        self._keeper = PartitionKeeper(
            self._leases,
            self._receiver,
            clock,
            worker_id=options.worker_id,
            is_abandoned_owner=lambda owner: options.is_abandoned_owner(owner) or journals.is_dead(owner),
        )
        self._take_over = TakeOver(journals, self._queues, self._keeper.hurry)
        self._look_task: asyncio.Task[None] | None = None
        self._lease_task: asyncio.Task[None] | None = None
        self._rebuilder = Rebuilder(self._rebuild, self._tasks)
        # In hand when the hub was created anew: they end without an effect.
        self._void_batches: set[Batch] = set()
        self._void_requests: set[str] = set()

    async def create(self) -> None:
        await create_resources(self._services, self._names, self._queues, self._leases)

    def look_for_dead_hosts(self) -> None:
        """Begins to make visible what dead hosts of this machine held, if `start` is not to begin with it."""
        if self._look_task is None:
            self._look_task = self._tasks.keep(self._take_over.run, "look for dead hosts")

    async def start(self) -> None:
        self.look_for_dead_hosts()
        await self._take_over.wait_for_first_look()
        self._rebuilder.start()
        self._services.queue_service.on_gone = self._services.table_service.on_gone = self._rebuilder.notice
        self._begin_to_receive()

    def _begin_to_receive(self) -> None:
        self._lease_task = self._tasks.keep(self._keeper.run, "keep partition leases")
        self._receiver.listen_to_work_items()

    async def _rebuild(self) -> None:
        """Creates what is gone, and begins anew with what the storage has now."""
        await self.create()
        # Leases may be left of partitions that this host has not made; it listens to them all the same.
        for lease in await self._leases.read_all():
            await self._queues.queue(lease.partition).create()
        if self._lease_task is not None:
            await self._tasks.cancel(self._lease_task)
        await self._receiver.drop_all()
        self._void_batches.update(self._sessions.batches_out)
        self._void_requests.update(self._work_items.held_ids)
        self._pace.forget_requests()
        self._begin_to_receive()

    async def _despite_rebuild(self, call: Callable[[], Awaitable[None]]) -> None:
        """Calls once more if the hub was gone and has been created anew since."""
        try:
            await call()
        except Gone:
            if self._lease_task is None:
                raise
            await self._rebuilder.wait()
            await call()

    async def stop(self) -> None:
        if self._look_task is not None:
            await self._tasks.cancel(self._look_task)
            self._look_task = None
        if self._lease_task is None:
            return
        self._services.queue_service.on_gone = self._services.table_service.on_gone = None
        await self._rebuilder.stop()
        await self._tasks.cancel(self._lease_task)
        self._lease_task = None
        await self._receiver.cease_work_items()
        await self._receiver.cease_all()
        await self._keeper.release_all()
        self._extender.stop()
        self._take_over.stop()
        await self._tasks.cancel_all()
        self._due.stop()

    async def fetch_orchestration(self) -> OrchestrationWorkItem:
        while True:
            batch = await self._due.next()
            history = await self._readable_history(batch)
            if history is not None:
                return self._work_item(batch, history)

    def _work_item(self, batch: Batch, history: History) -> OrchestrationWorkItem:
        self._sessions.absorb(batch)
        batch.sentinel_etag = history.sentinel_etag
        return OrchestrationWorkItem(
            instance_id=batch.instance_id,
            execution_id=history.execution_id,
            history=history.events,
            messages=tuple(held.received for held in batch.messages),
            replaces=history.replaces,
        )

    async def _readable_history(self, batch: Batch) -> History | None:
        """The history a batch continues; None where there is nothing to do, and then the batch is out of the way."""
        try:
            if batch.is_behind and await self._has_ended_before_its_start(batch):
                await call_each(self._settler.take_in, batch.messages)
                self._finish(batch)
                return None
            await self._restore_payloads(batch)
            return await self._history_for(batch)
        except StorageUnavailable:
            self._due.put_back(batch)
            raise
        except Exception as error:
            try:
                await self._unreadable.settle(batch, error)
            finally:
                self._finish(batch)
            return None
        except BaseException:
            self._due.put_back(batch)
            raise

    async def _restore_payloads(self, batch: Batch) -> None:
        """Reads the payloads again that messages had to drop while they were kept."""
        for held in batch.messages:
            if held.lacks_payload:
                self._sessions.restore(held, await self._reader.read_again(held.stored))

    async def _has_ended_before_its_start(self, batch: Batch) -> bool:
        """True if a client has ended the execution while its start was waiting for earlier messages to be taken."""
        if batch.start is None:
            return False
        found = await self._instances.find(batch.instance_id)
        wanted = batch.start.orchestration_instance.execution_id
        return found is not None and found.record.execution_id == wanted and found.record.runtime_status.is_terminal

    async def _history_for(self, batch: Batch) -> History:
        if batch.start is not None:
            return await self._histories.load_for(batch.instance_id, batch.start)
        cached = self._cache.get(batch.instance_id)
        # A message for another execution may be newer than what is kept here.
        if cached and all(held.message.target.execution_id in (None, cached.execution_id) for held in batch.messages):
            return cached
        return await self._histories.load(batch.instance_id)

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        held: Sequence[ReceivedMessage] = (),
    ) -> None:
        batch = self._sessions.batch_out(item.instance_id)
        if self._rebuilder.is_running or batch in self._void_batches:
            await self._drop(batch)
            return
        # The order is the guarantee: whatever a crash leaves undone is done again, because the messages go last.
        await self._outbox.send_all(checkpoint.outbox)
        blobs = await self._append_history(batch, item, checkpoint)
        if checkpoint.update:
            await self._instances.merge(item.instance_id, checkpoint.update, blobs)
        kept_ids = await self._settle(batch, frozenset(_ids(deferred)), frozenset(_ids(held)))
        self._finish(batch, kept_ids, is_over=_is_over(checkpoint))

    async def _append_history(
        self, batch: Batch, item: OrchestrationWorkItem, checkpoint: Checkpoint
    ) -> Mapping[str, str]:
        """Stores the new events; returns the blobs of large payloads among them."""
        if not checkpoint.new_events:
            return {}
        execution_id = checkpoint.update.execution_id if checkpoint.update else item.execution_id or ""
        # A new execution is written over the rows of the one before.
        past = item.history if execution_id == item.execution_id else ()
        new_events = checkpoint.new_events
        batch.sentinel_etag, blobs = await self._histories.append(
            item.instance_id,
            execution_id,
            new_events,
            first_index=len(past),
            sentinel_etag=batch.sentinel_etag,
        )
        self._remember(batch, checkpoint, execution_id, past + new_events)
        return blobs

    def _remember(
        self, batch: Batch, checkpoint: Checkpoint, execution_id: str, events: tuple[HistoryEvent, ...]
    ) -> None:
        if _is_over(checkpoint):
            # The rewind of a real host changes the rows of a finished instance, but not its sentinel.
            self._cache.drop(batch.instance_id)
            return
        history = History(execution_id=execution_id, events=events, sentinel_etag=batch.sentinel_etag)
        self._cache.put(batch.instance_id, history)

    async def _settle(self, batch: Batch, deferred_ids: frozenset[str], held_ids: frozenset[str]) -> frozenset[str]:
        """Does with every message what the turn has decided; returns the ids of those that stay in hand."""

        async def settle(held: HeldMessage) -> None:
            if held.stored.message_id in deferred_ids:
                await self._settler.abandon(held)
            elif held.stored.message_id not in held_ids:
                await self._settler.take_in(held)
            elif held.answers_at:
                await self._settler.store(held)

        await call_each(settle, batch.messages)
        return held_ids - {held.stored.message_id for held in batch.messages if held.answers_at}

    def _finish(self, batch: Batch, kept_ids: frozenset[str] = frozenset(), *, is_over: bool = False) -> None:
        self._due.finish(batch, kept_ids, is_over=is_over)
        self._void_batches.discard(batch)
        for held in batch.messages:
            self._settler.forget(held)
        self._receiver.notice_room()

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        batch = self._sessions.batch_out(item.instance_id)
        self._cache.drop(item.instance_id)
        if self._rebuilder.is_running or batch in self._void_batches:
            await self._drop(batch)
            return
        try:
            await call_each(self._settler.abandon, batch.messages)
        finally:
            self._finish(batch)

    async def _drop(self, batch: Batch) -> None:
        """Ends a turn that began before the hub was created anew: nothing of it is stored."""
        try:
            await self._settler.drop(batch.messages)
        finally:
            self._finish(batch)

    async def renew_orchestration(self, item: OrchestrationWorkItem) -> None:
        if not self._sessions.is_out(item.instance_id):
            return
        batch = self._sessions.batch_out(item.instance_id)
        seconds = self._options.control_queue_visibility_seconds
        await call_each(lambda held: held.stored.queue.renew(held.stored, seconds), batch.messages)

    async def fetch_activity(self) -> ActivityWorkItem:
        taken = self._work_items.take()
        self._queues.notice_room(self._queues.work_items)
        return ActivityWorkItem(received=(await taken).received)

    async def complete_activity(self, item: ActivityWorkItem, reply: TaskMessage) -> None:
        held = self._work_items.held(item.received.message_id)
        if self._rebuilder.is_running or item.received.message_id in self._void_requests:
            self._void_requests.discard(item.received.message_id)
            await self._settler.drop([held])
            self._work_items.finish(held.stored.message_id)
            return
        answer = HeldMessage(stored=held.stored, message=reply, answers_at=self._queues.queue_for(reply).name)
        listener = self._queues.listener_of(reply) if self._needs_no_message(answer) else None
        if listener and listener.hand_over(answer):
            return
        # Where that fails, the request is still in hand to be abandoned.
        await self._outbox.send(reply)
        await held.stored.queue.delete(held.stored)
        self._work_items.finish(held.stored.message_id)

    def _needs_no_message(self, answer: HeldMessage) -> bool:
        seconds_taken = self._work_items.seconds_out(answer.stored.message_id)
        return seconds_taken <= self._options.longest_repeatable_seconds and self._sessions.has_room_for(answer)

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        held = self._work_items.held(item.received.message_id)
        try:
            await self._queues.abandon(held.stored)
        finally:
            self._void_requests.discard(item.received.message_id)
            self._work_items.finish(item.received.message_id)

    async def renew_activity(self, item: ActivityWorkItem) -> None:
        if not self._work_items.holds(item.received.message_id):
            return
        held = self._work_items.held(item.received.message_id)
        await held.stored.queue.renew(held.stored, self._options.work_item_visibility_seconds)

    async def start_instance(self, start: TaskMessage, *, overridable: frozenset[RuntimeStatus]) -> None:
        await self._despite_rebuild(lambda: self._starter.start(start, overridable))

    async def send(self, message: TaskMessage) -> None:
        async def send() -> None:
            await self._outbox.send(message)

        await self._despite_rebuild(send)

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        return await self._instances.get(instance_id)

    async def list_instances(
        self, query: InstanceQuery, *, page_size: int, continuation_token: str | None = None, with_input: bool = True
    ) -> InstancePage:
        return await self._instances.list_page(
            query, page_size=page_size, continuation_token=continuation_token, with_input=with_input
        )

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        return (await self._histories.load(instance_id)).events

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        await self._rewinder.rewind(instance_id, reason)

    async def purge_instance(self, instance_id: str) -> bool:
        if await self._instances.find(instance_id) is None:
            return False
        self._cache.drop(instance_id)
        await self._histories.delete(instance_id)
        # The names of blobs begin with the id as it is or as a key, depending on who stored them.
        for folder in {blob_folder(instance_id), blob_folder(escape_key(instance_id))}:
            await self._payloads.delete_all(f"{folder}/")
        # Last: as long as the record is there, an interrupted purge can be repeated.
        await self._instances.delete(instance_id)
        return True


def _journals(options: StorageOptions, services: Services) -> JournalFolder:
    """They are kept only once it is entered."""
    return JournalFolder(
        options.journal_folder,
        worker_id=options.worker_id,
        hub_name=options.hub_name,
        queue_endpoint=services.endpoints.queue,
    )


def _is_over(checkpoint: Checkpoint) -> bool:
    status = checkpoint.update.runtime_status if checkpoint.update else None
    return status is not None and status.is_terminal


def _ids(messages: Sequence[ReceivedMessage]) -> Iterator[str]:
    return (each.message_id for each in messages)
