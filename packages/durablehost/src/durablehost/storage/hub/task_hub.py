"""The task hub in Azure Storage, in the layout of DurableTask.AzureStorage.

Rule of this file: `complete_orchestration` is the one place where a checkpoint becomes durable, in an order in which no
crash loses work. Mirrors AzureStorageOrchestrationService, with two differences: the app lease of the hub is created
but not acquired (under a foreign id it would keep a real host waiting), and histories that were just written are
cached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from durablehost.clock import Clock
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import HistoryEvent
from durablehost.core.ids import is_entity_id
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.partitions import PartitionKeeper
from durablehost.engine.ports import (
    ActivityWorkItem,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    OrchestrationWorkItem,
    ReceivedMessage,
    Surroundings,
)
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.names import HubNames, blob_folder, escape_key
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.outage import Outage
from durablehost.storage.account.refusal import Gone
from durablehost.storage.account.services import Services, open_services
from durablehost.storage.concurrency import TaskOwner, call_each
from durablehost.storage.hub.rebuilding import Rebuilder
from durablehost.storage.hub.resources import create_resources
from durablehost.storage.hub.rewinding import Rewinder
from durablehost.storage.hub.start_writer import StartWriter
from durablehost.storage.hub.surroundings import Observer
from durablehost.storage.hub.unreadable import UnreadableHistories
from durablehost.storage.messages.due_batches import DueBatches
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.inbox import ControlInbox, MessageReader
from durablehost.storage.messages.journal import JournalFolder
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.messages.pacing import Pace
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.receiving import Receiver
from durablehost.storage.messages.requests import RequestReader
from durablehost.storage.messages.sessions import Batch, Sessions
from durablehost.storage.messages.settling import Settler
from durablehost.storage.messages.take_over import TakeOver
from durablehost.storage.messages.work_items import LONGEST_BUFFERED_SECONDS, WorkItemInbox
from durablehost.storage.rows.history_cache import HistoryCache
from durablehost.storage.rows.history_table import History, HistoryTable
from durablehost.storage.rows.instance_table import InstanceTable
from durablehost.storage.rows.lease_table import LeaseTable
from durablehost.storage.rows.payloads import PayloadStore
from durablehost.storage.rows.table import StorageTable


@asynccontextmanager
async def open_task_hub(options: StorageOptions, clock: Clock) -> AsyncIterator[AzureStorageTaskHub]:
    """Yields a hub that is neither created nor started, and stops and disconnects it at the end of the block."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(options.connection))
        journals = stack.enter_context(_journals(options, services))
        hub = AzureStorageTaskHub(options, clock, services, journals)
        stack.push_async_callback(hub.stop)
        yield hub


class AzureStorageTaskHub:
    """Implements `durablehost.engine.ports.TaskHub`, whose docstrings are the contract."""

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
            StorageTable(services.table_service, names.history_table),
            services.tables.get_table_client(names.history_table),
            self._payloads,
            clock,
        )
        self._instances = InstanceTable(
            StorageTable(services.table_service, names.instances_table),
            services.tables.get_table_client(names.instances_table),
            self._payloads,
            clock,
            names.hub,
        )
        self._queues = HubQueues(services.queue_service, names, options.partition_count, journals.own)
        self._leases = LeaseTable(
            StorageTable(services.table_service, names.partitions_table),
            names.control_queue_prefix,
            self._queues.control_queue_names,
        )
        self._sessions = Sessions(time.monotonic)
        self._pace = Pace(time.monotonic, lambda: self._sessions.are_results_few)
        self._outbox = Outbox(self._queues, self._payloads, clock, self._pace)
        self._cache = HistoryCache()
        self._rewinder = Rewinder(self._histories, self._instances, self._outbox, clock, self._cache)
        self._due = DueBatches(self._sessions, self._pace)
        self._tasks = TaskOwner()
        self._reader = reader = MessageReader(self._payloads, self._queues)
        self._control = ControlInbox(
            reader=reader,
            queues=self._queues,
            sessions=self._sessions,
            batches=self._due,
            instances=self._instances,
            clock=clock,
            tasks=self._tasks,
            options=options,
        )
        self._work_items = WorkItemInbox(
            RequestReader(reader, self._queues, self._outbox, clock),
            self._queues.release,
            self._tasks,
            # Well before its visibility timeout, when another host could start it too.
            longest_buffered_seconds=min(LONGEST_BUFFERED_SECONDS, options.work_item_visibility_seconds / 2),
        )
        self._starter = StartWriter(self._instances, self._outbox, self._control)
        self._settler = Settler(self._queues, self._outbox, self._work_items)
        self._unreadable = UnreadableHistories(self._histories, self._instances, self._outbox, self._settler, clock)
        self._receiver = Receiver(
            options=options,
            queues=self._queues,
            control=self._control,
            work_items=self._work_items,
            settler=self._settler,
            tasks=self._tasks,
            cache=self._cache,
        )

        def has_ended(owner: str) -> bool:
            return options.is_abandoned_owner(owner) or journals.is_dead(owner)

        self._keeper = PartitionKeeper(
            self._leases,
            self._receiver,
            clock,
            worker_id=options.worker_id,
            is_abandoned_owner=has_ended,
        )
        self._observer = Observer(
            options=options,
            queues=self._queues,
            leases=self._leases,
            sessions=self._sessions,
            work_items=self._work_items,
            has_ended=has_ended,
        )
        self._take_over = TakeOver(journals, self._queues, self._keeper.hurry)
        self._look_task: asyncio.Task[None] | None = None
        self._lease_task: asyncio.Task[None] | None = None
        self._rebuilder = Rebuilder(self._rebuild, self._tasks)
        # Batches and requests that were out when the hub was created anew: they end without effect.
        self._void_batches: set[Batch] = set()
        self._void_requests: set[str] = set()

    async def create(self) -> None:
        await create_resources(self._services, self._names, self._queues, self._leases)

    def look_for_dead_hosts(self) -> None:
        """Begins to make the messages of dead hosts of this machine visible; `start` does so if this was not called."""
        if self._look_task is None:
            self._look_task = self._tasks.spawn_loop(self._take_over.run, "look for dead hosts")

    async def start(self) -> None:
        self.look_for_dead_hosts()
        await self._take_over.wait_for_first_look()
        self._rebuilder.start()
        for service in (self._services.queue_service, self._services.table_service):
            service.on_gone, service.outage = self._rebuilder.notice, Outage(service.endpoint)
        self._begin_to_receive()

    def _begin_to_receive(self) -> None:
        self._lease_task = self._tasks.spawn_loop(self._keeper.run, "keep partition leases")
        self._receiver.listen_to_work_items()

    async def _rebuild(self) -> None:
        """Creates the missing parts of the hub, drops all messages in memory, and receives again."""
        await self.create()
        # There may be leases of partitions that this host has not created; it listens to their queues, too.
        for lease in await self._leases.read_all():
            await self._queues.queue(lease.partition).create()
        if self._lease_task is not None:
            await self._tasks.cancel(self._lease_task)
        await self._receiver.drop_all()
        self._void_batches.update(self._sessions.batches_out)
        self._void_requests.update(self._work_items.held_ids)
        self._pace.forget_requests()
        self._begin_to_receive()

    async def _despite_rebuild(self, call: Callable[[], Awaitable[object]]) -> None:
        """Calls once more, after the hub has been created anew, if a part of it was gone."""
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
        for service in (self._services.queue_service, self._services.table_service):
            service.on_gone = service.outage = None
        await self._rebuilder.stop()
        await self._tasks.cancel(self._lease_task)
        self._lease_task = None
        await self._receiver.cease_work_items()
        await self._receiver.cease_all()
        await self._keeper.release_all()
        self._receiver.stop()
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
        batch.sentinel_etag, batch.blobs = history.sentinel_etag, history.blobs
        return OrchestrationWorkItem(
            instance_id=batch.instance_id,
            execution_id=history.execution_id,
            history=history.events,
            messages=tuple(held.received for held in batch.messages),
            replaces=history.replaces,
        )

    async def _readable_history(self, batch: Batch) -> History | None:
        """Returns the history that a batch continues; None if the batch is settled already, without an episode."""
        try:
            if batch.is_behind and await self._has_ended_before_its_start(batch):
                await call_each(self._settler.complete, batch.messages)
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
        """Reads the payloads again that were dropped from kept messages."""
        for held in batch.messages:
            if held.lacks_payload:
                self._sessions.restore(held, (await self._reader.open(held.stored)).message)

    async def _has_ended_before_its_start(self, batch: Batch) -> bool:
        """True if a client has ended the execution while its start was waiting behind earlier messages."""
        if batch.start is None:
            return False
        found = await self._instances.find(batch.instance_id)
        wanted = batch.start.orchestration_instance.execution_id
        return found is not None and found.record.execution_id == wanted and found.record.runtime_status.is_finished

    async def _history_for(self, batch: Batch) -> History:
        if batch.start is not None:
            return await self._histories.load_for(batch.instance_id, batch.start)
        cached = self._cache.get(batch.instance_id)
        # A message for another execution may mean that the cached history is out of date.
        if cached and all(held.message.target.execution_id in (None, cached.execution_id) for held in batch.messages):
            return cached
        return await self._histories.load(batch.instance_id)

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        kept: Sequence[ReceivedMessage] = (),
    ) -> None:
        batch = self._sessions.batch_out(item.instance_id)
        if self._rebuilder.is_running or batch in self._void_batches:
            await self._drop(batch)
            return
        # The order guarantees that work left undone by a crash is repeated: the messages are deleted last.
        blobs: dict[str, str] = {}
        ahead: tuple[HistoryEvent, ...] = ()
        sent = 0
        is_replaced = _execution_id(item, checkpoint) != item.execution_id
        for stage in checkpoint.stages:
            await self._outbox.send_all(checkpoint.outbox[sent : stage.sent])
            past, events = item.history + ahead, stage.events[len(ahead) :]
            execution_id = item.execution_id or stage.execution_id or ""
            blobs |= await self._append(batch, item, execution_id, past, events, overwrites=is_replaced, is_last=False)
            ahead, sent = stage.events, stage.sent
        await self._outbox.send_all(checkpoint.outbox[sent:])
        blobs |= await self._append_history(batch, item, checkpoint, ahead)
        if checkpoint.update:
            await self._instances.merge(item.instance_id, checkpoint.update, blobs)
        await self._payloads.delete_each(batch.replaced_blobs)
        kept_ids = await self._settle(batch, frozenset(_ids(deferred)), frozenset(_ids(kept)))
        self._finish(batch, kept_ids, is_over=_is_over(checkpoint))

    async def _append_history(
        self, batch: Batch, item: OrchestrationWorkItem, checkpoint: Checkpoint, ahead: tuple[HistoryEvent, ...]
    ) -> Mapping[str, str]:
        """Stores the new events; returns the blobs of their large payloads. `ahead` is stored already."""
        if not checkpoint.new_events:
            return {}
        execution_id = _execution_id(item, checkpoint)
        # A new execution overwrites the rows of the previous one.
        is_same = execution_id == item.execution_id
        if not is_same:
            batch.replaced_blobs, batch.blobs = batch.blobs, ()
        past = item.history + ahead if is_same else ()
        new_events = checkpoint.new_events[len(ahead) :] if is_same else checkpoint.new_events
        blobs = await self._append(batch, item, execution_id, past, new_events, overwrites=not is_same)
        self._remember(batch, checkpoint, execution_id, past + new_events)
        return blobs

    async def _append(
        self,
        batch: Batch,
        item: OrchestrationWorkItem,
        execution_id: str,
        past: tuple[HistoryEvent, ...],
        events: tuple[HistoryEvent, ...],
        *,
        overwrites: bool,
        is_last: bool = True,
    ) -> Mapping[str, str]:
        """Stores events after those of the past; `is_last` if they complete the checkpoint."""
        if not events:
            return {}
        appended = await self._histories.append(
            item.instance_id,
            execution_id,
            events,
            first_index=len(past),
            sentinel_etag=batch.sentinel_etag,
            completes_checkpoint=is_last,
            # The rows of an instance that has none yet cannot be in the way.
            overwrites=overwrites and batch.sentinel_etag is not None,
        )
        batch.sentinel_etag = appended.sentinel_etag
        batch.blobs += appended.own_blobs
        return appended.blob_by_payload

    def _remember(
        self, batch: Batch, checkpoint: Checkpoint, execution_id: str, events: tuple[HistoryEvent, ...]
    ) -> None:
        if _is_over(checkpoint):
            # Not cached: a rewind by a real host changes the rows of a finished instance, but not its sentinel.
            self._cache.drop(batch.instance_id)
            return
        history = History(
            execution_id=execution_id, events=events, sentinel_etag=batch.sentinel_etag, blobs=batch.blobs
        )
        self._cache.put(batch.instance_id, history)

    async def _settle(self, batch: Batch, deferred_ids: frozenset[str], kept_ids: frozenset[str]) -> frozenset[str]:
        """Abandons, keeps or deletes each message; returns the ids of the kept ones."""

        async def settle(held: HeldMessage) -> None:
            if held.stored.message_id in deferred_ids:
                await self._settler.abandon(held)
            elif held.stored.message_id not in kept_ids:
                await self._settler.complete(held)
            elif held.stored.message_id not in can_keep:
                await self._settler.store(held)

        # The partition may have been lost meanwhile: its new owner needs the messages.
        is_own = self._receiver.is_listening_to(batch.queue_name)
        can_keep = {held.stored.message_id for held in batch.messages if is_own and not held.is_quick_result}
        await call_each(settle, batch.messages)
        return kept_ids & can_keep

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
        """Ends an episode that began before the hub was created anew; its checkpoint is not stored."""
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

    async def complete_activity(self, item: ActivityWorkItem, result: TaskMessage) -> None:
        held = self._work_items.held(item.received.message_id)
        if self._rebuilder.is_running or item.received.message_id in self._void_requests:
            self._void_requests.discard(item.received.message_id)
            await self._settler.drop([held])
            self._work_items.finish(held.stored.message_id)
            return
        held_result = HeldMessage(stored=held.stored, message=result, result_queue=self._queues.queue_for(result).name)
        listener = self._queues.listener_of(result) if self._needs_no_message(held_result) else None
        if listener and listener.hand_over(held_result):
            return
        # If sending fails, the request is still held, and can be abandoned.
        await self._outbox.send(result)
        await held.stored.queue.delete(held.stored)
        self._work_items.finish(held.stored.message_id)

    def _needs_no_message(self, result: HeldMessage) -> bool:
        seconds_taken = self._work_items.seconds_out(result.stored.message_id)
        return seconds_taken <= self._options.longest_repeatable_seconds and self._sessions.has_room_for(result)

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
        await self._despite_rebuild(lambda: self._outbox.send(message))

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        return await self._instances.get(instance_id)

    async def peek_instance(self, instance_id: str) -> InstanceRecord | None:
        found = await self._instances.find(instance_id)
        return found.record if found else None

    async def list_instances(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None = None,
        with_input: bool = True,
        with_payloads: bool = True,
    ) -> InstancePage:
        return await self._instances.list_page(
            query,
            page_size=page_size,
            continuation_token=continuation_token,
            with_input=with_input,
            with_payloads=with_payloads,
        )

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        return (await self._histories.load(instance_id)).events

    async def look_around(self, instance_id: str) -> Surroundings:
        return await self._observer.look_around(instance_id)

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        await self._rewinder.rewind(instance_id, reason)

    async def finish_rewind(self, instance_id: str, reason: str) -> bool:
        return await self._rewinder.finish(instance_id, reason)

    async def purge_instance(self, instance_id: str) -> bool:
        found = await self._instances.find(instance_id)
        if found is None:
            return False
        self._cache.drop(instance_id)
        # A start may replace the instance meanwhile: that execution stays. An entity may process a request: it goes.
        is_entity = is_entity_id(instance_id)
        if not await self._histories.delete(instance_id, even_if_changed=is_entity):
            return True
        # The names of blobs begin with the id or with its key, depending on the host that stored them.
        for folder in {blob_folder(instance_id), blob_folder(escape_key(instance_id))}:
            await self._payloads.delete_all(f"{folder}/")
        # Last: as long as the row exists, an interrupted purge can be repeated.
        await self._instances.delete(instance_id, None if is_entity else found.etag)
        return True


def _journals(options: StorageOptions, services: Services) -> JournalFolder:
    """The journals of this hub; this host's own is written to a file only between enter and exit."""
    return JournalFolder(
        options.journal_folder,
        worker_id=options.worker_id,
        hub_name=options.hub_name,
        queue_endpoint=services.endpoints.queue,
    )


def _execution_id(item: OrchestrationWorkItem, checkpoint: Checkpoint) -> str:
    """The execution to which the new events of a checkpoint belong."""
    return checkpoint.update.execution_id if checkpoint.update else item.execution_id or ""


def _is_over(checkpoint: Checkpoint) -> bool:
    status = checkpoint.update.runtime_status if checkpoint.update else None
    return status is not None and status.is_finished


def _ids(messages: Sequence[ReceivedMessage]) -> Iterator[str]:
    return (each.message_id for each in messages)
