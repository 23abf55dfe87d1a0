"""A task hub in memory: the contract of `durablehost.engine.ports.TaskHub` without a network, on any clock.

Rule of this file: it shares no code with `durablehost.storage`, so that the contract suite compares two independent
results. A `MemoryStorage` survives a crash; a hub stands for a process: two hubs on one storage are two hosts.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from durablehost.clock import Clock
from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.history import ExecutionStarted, GenericEvent, HistoryEvent, OrchestrationInstance
from durablehost.core.lineage import is_overtaken
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.partitions import Lease
from durablehost.engine.ports import (
    ActivityWorkItem,
    HeldHere,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    OrchestrationWorkItem,
    PeekedMessage,
    QueueView,
    ReceivedMessage,
    Surroundings,
)
from durablehost.errors import InstanceExists, RequestError, StaleCheckpoint
from packages.durablehost.tests.hubs.rewind import rewind_histories

VISIBILITY_SECONDS = 300.0
_LONGEST_BACK_OFF_SECONDS = 600
_POLL_SECONDS = 0.005


class ManualClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, now: datetime = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass(kw_only=True, eq=False)
class Stored:
    """A message in a queue."""

    message_id: str
    message: TaskMessage
    visible_at: datetime
    dequeue_count: int = 0


@dataclass(kw_only=True)
class StoredHistory:
    """The rows of an instance; `version` stands for the sentinel's ETag."""

    execution_id: str
    events: tuple[HistoryEvent, ...]
    version: int


def _allow(operation: str) -> None:
    return


@dataclass(kw_only=True)
class MemoryStorage:
    """All that is durable.

    `before_write` is called with `send`, `history`, `record`, `delete` or `hide` before each write; raising an error
    simulates a crash, or a failure of storage, at that point. `owner` is the host that receives: it has the only lease.
    """

    control: list[Stored] = field(default_factory=list)
    work_items: list[Stored] = field(default_factory=list)
    histories: dict[str, StoredHistory] = field(default_factory=dict)
    records: dict[str, InstanceRecord] = field(default_factory=dict)
    before_write: Callable[[str], None] = _allow
    owner: str | None = None
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, message: TaskMessage, now: datetime) -> None:
        self.before_write("send")
        queue = self.work_items if message.is_activity_request else self.control
        visible_at = max(now, message.due_at or now)
        queue.append(Stored(message_id=f"message-{next(self.message_ids)}", message=message, visible_at=visible_at))

    def delete(self, stored: Stored) -> None:
        self.before_write("delete")
        for queue in (self.control, self.work_items):
            if stored in queue:
                queue.remove(stored)

    def hide(self, stored: Stored, until: datetime) -> None:
        self.before_write("hide")
        stored.visible_at = until


class MemoryTaskHub:
    """One host's view of a `MemoryStorage`."""

    def __init__(self, clock: Clock, storage: MemoryStorage | None = None, *, worker_id: str = "host-a") -> None:
        self.storage = storage or MemoryStorage()
        self._worker_id = worker_id
        self._clock = clock
        self._out: dict[str, tuple[int, list[Stored]]] = {}
        self._kept: dict[str, list[Stored]] = {}
        self._activities: dict[str, Stored] = {}
        self._is_started = False

    async def create(self) -> None:
        return

    async def start(self) -> None:
        self._is_started = True
        self.storage.owner = self.storage.owner or self._worker_id

    async def stop(self) -> None:
        self._is_started = False
        if self.storage.owner == self._worker_id:
            self.storage.owner = None
        for stored in itertools.chain(*self._kept.values()):
            stored.visible_at = self._clock.now()
        self._kept.clear()

    async def fetch_orchestration(self) -> OrchestrationWorkItem:
        while True:
            item = self._next_orchestration() if self._is_started else None
            if item is not None:
                return item
            await asyncio.sleep(_POLL_SECONDS)

    def _next_orchestration(self) -> OrchestrationWorkItem | None:
        first = next((each for each in self._visible(self.storage.control) if self._is_free(each)), None)
        if first is None:
            return None
        instance_id = first.message.target.instance_id
        known = self.storage.histories.get(instance_id)
        kept = self._kept.pop(instance_id, [])
        messages = kept + [stored for stored in self._batch(first) if stored not in kept]
        event = first.message.event
        begins = isinstance(event, ExecutionStarted) and not (known and _is_late(event, known.events))
        execution_id = first.message.target.execution_id if begins else known.execution_id if known else None
        self._out[instance_id] = (known.version if known else 0, messages)
        return OrchestrationWorkItem(
            instance_id=instance_id,
            execution_id=execution_id,
            history=known.events if known and not begins else (),
            messages=tuple(self._receive(each) for each in messages),
            replaces=known.execution_id if known and begins else None,
        )

    def _is_free(self, stored: Stored) -> bool:
        target = stored.message.target
        return target.instance_id not in self._out and self._is_confirmed(stored)

    def _is_confirmed(self, stored: Stored) -> bool:
        event = stored.message.event
        if not isinstance(event, ExecutionStarted) or event.parent_instance:
            return True
        record = self.storage.records.get(stored.message.target.instance_id)
        if record is None or record.execution_id != stored.message.target.execution_id:
            return False
        if record.runtime_status.is_finished:
            # Terminated before it began, or processed already.
            self.storage.delete(stored)
            return False
        return True

    def _batch(self, first: Stored) -> list[Stored]:
        """Returns all visible messages of the instance; after a start only those for its execution."""
        target = first.message.target
        wanted = {None, target.execution_id} if isinstance(first.message.event, ExecutionStarted) else None
        return [first] + [
            each
            for each in self._visible(self.storage.control)
            if each is not first
            and each.message.target.instance_id == target.instance_id
            and not isinstance(each.message.event, ExecutionStarted)
            and (wanted is None or each.message.target.execution_id in wanted)
        ]

    def _visible(self, queue: list[Stored]) -> list[Stored]:
        now = self._clock.now()
        return [each for each in queue if each.visible_at <= now]

    def _receive(self, stored: Stored) -> ReceivedMessage:
        stored.dequeue_count += 1
        stored.visible_at = self._later(VISIBILITY_SECONDS)
        return ReceivedMessage(message_id=stored.message_id, message=stored.message, dequeue_count=stored.dequeue_count)

    def _later(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        kept: Sequence[ReceivedMessage] = (),
    ) -> None:
        _, messages = self._out[item.instance_id]
        sent = 0
        for stage in checkpoint.stages:
            self._send(checkpoint.outbox[sent : stage.sent])
            self._append(item, stage.events, item.execution_id or stage.execution_id)
            sent = stage.sent
        self._send(checkpoint.outbox[sent:])
        if checkpoint.new_events:
            execution_id = checkpoint.update.execution_id if checkpoint.update else item.execution_id
            self._append(item, checkpoint.new_events, execution_id)
        if checkpoint.update:
            self.storage.before_write("record")
            self._merge(item.instance_id, checkpoint.update)
        deferred_ids = {each.message_id for each in deferred}
        kept_ids = {each.message_id for each in kept}
        for stored in messages:
            if stored.message_id in deferred_ids:
                self._back_off(stored)
            elif stored.message_id not in kept_ids:
                self.storage.delete(stored)
        self._kept[item.instance_id] = [stored for stored in messages if stored.message_id in kept_ids]
        del self._out[item.instance_id]

    def _send(self, messages: Sequence[TaskMessage]) -> None:
        for message in messages:
            self.storage.put(message, self._clock.now())

    def _append(
        self, item: OrchestrationWorkItem, new_events: tuple[HistoryEvent, ...], execution_id: str | None
    ) -> None:
        """Stores events after those that the item was fetched with."""
        version, messages = self._out[item.instance_id]
        known = self.storage.histories.get(item.instance_id)
        if (known.version if known else 0) != version:
            raise StaleCheckpoint(f"Another host has advanced instance '{item.instance_id}'.")
        self.storage.before_write("history")
        past = item.history if execution_id == item.execution_id else ()
        history = StoredHistory(execution_id=execution_id or "", events=past + new_events, version=version + 1)
        self.storage.histories[item.instance_id] = history
        self._out[item.instance_id] = (history.version, messages)

    def _merge(self, instance_id: str, update: InstanceUpdate) -> None:
        record = self.storage.records.get(instance_id)
        if update.started:
            record = _started(instance_id, update, update.started, record)
        if record is None:
            return
        self.storage.records[instance_id] = replace(
            record,
            execution_id=update.execution_id,
            custom_status=update.custom_status or record.custom_status,
            last_updated_at=update.last_updated_at,
            runtime_status=update.runtime_status or record.runtime_status,
            output=record.output if update.output is None else update.output,
            completed_at=update.completed_at or record.completed_at,
        )

    def _back_off(self, stored: Stored) -> None:
        self.storage.hide(stored, self._later(min(2**stored.dequeue_count, _LONGEST_BACK_OFF_SECONDS)))

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        _, messages = self._out.pop(item.instance_id)
        for stored in messages:
            self._back_off(stored)

    async def renew_orchestration(self, item: OrchestrationWorkItem) -> None:
        _, messages = self._out.get(item.instance_id, (0, []))
        for stored in messages:
            self.storage.hide(stored, self._later(VISIBILITY_SECONDS))

    async def fetch_activity(self) -> ActivityWorkItem:
        while True:
            visible = self._visible(self.storage.work_items) if self._is_started else []
            if visible:
                received = self._receive(visible[0])
                self._activities[received.message_id] = visible[0]
                return ActivityWorkItem(received=received)
            await asyncio.sleep(_POLL_SECONDS)

    async def complete_activity(self, item: ActivityWorkItem, result: TaskMessage) -> None:
        self.storage.put(result, self._clock.now())
        self.storage.delete(self._activities.pop(item.received.message_id))

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        self._back_off(self._activities.pop(item.received.message_id))

    async def renew_activity(self, item: ActivityWorkItem) -> None:
        if stored := self._activities.get(item.received.message_id):
            self.storage.hide(stored, self._later(VISIBILITY_SECONDS))

    async def start_instance(self, start: TaskMessage, *, overridable: frozenset[RuntimeStatus]) -> None:
        event = start.event
        assert isinstance(event, ExecutionStarted)
        instance_id = start.target.instance_id
        known = self.storage.records.get(instance_id)
        if known and known.runtime_status not in overridable:
            raise InstanceExists(instance_id, known.runtime_status.value)
        if event.generation is None:
            event = replace(event, generation=known.generation + 1 if known else 0)
        now = self._clock.now()
        self.storage.put(replace(start, event=event), now)
        self.storage.before_write("record")
        self.storage.records[instance_id] = InstanceRecord(
            instance_id=instance_id,
            execution_id=start.target.execution_id,
            name=event.name,
            version=event.version,
            runtime_status=RuntimeStatus.PENDING,
            scheduled_start=event.scheduled_start_time,
            created_at=event.timestamp,
            last_updated_at=now,
            input=event.input,
            generation=event.generation or 0,
        )

    async def send(self, message: TaskMessage) -> None:
        self.storage.put(message, self._clock.now())

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        return self.storage.records.get(instance_id)

    async def peek_instance(self, instance_id: str) -> InstanceRecord | None:
        return await self.get_instance(instance_id)

    async def list_instances(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None = None,
        with_input: bool = True,
        with_payloads: bool = True,
    ) -> InstancePage:
        matching = [self.storage.records[key] for key in sorted(self.storage.records)]
        matching = [record for record in matching if _matches(query, record)]
        start = _offset(continuation_token)
        page = matching[start : start + page_size]
        end = start + len(page)
        if not with_input or not with_payloads:
            page = [replace(record, input=None) for record in page]
        if not with_payloads:
            page = [replace(record, output=None) for record in page]
        return InstancePage(
            records=tuple(page),
            continuation_token=f"offset {end}" if end < len(matching) else None,
        )

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        return self._events(instance_id)

    async def look_around(self, instance_id: str) -> Surroundings:
        out = self._out.get(instance_id, (0, []))[1]
        here = [HeldHere(event=each.message.event, is_out=True) for each in out]
        here += [HeldHere(event=each.message.event, is_kept=True) for each in self._kept.get(instance_id, [])]
        requests = [each for each in self._activities.values() if each.message.target.instance_id == instance_id]
        running = [HeldHere(event=each.message.event, is_out=True, seconds_out=0) for each in requests]
        expires_at = self._later(VISIBILITY_SECONDS) if self.storage.owner else None
        lease = Lease(partition="control", version="1", current_owner=self.storage.owner, expires_at=expires_at)
        return Surroundings(
            control=self._view("control", self.storage.control, instance_id, here),
            work_items=self._view("work-items", self.storage.work_items, instance_id, running),
            leases=(lease,),
            own_id=self._worker_id,
            control_visibility_seconds=VISIBILITY_SECONDS,
        )

    def _view(self, name: str, queue: list[Stored], instance_id: str, held: list[HeldHere]) -> QueueView:
        visible = [each for each in self._visible(queue) if each.message.target.instance_id == instance_id]
        peeked = [
            PeekedMessage(
                event_type=each.message.event.type_name, event=each.message.event, dequeue_count=each.dequeue_count
            )
            for each in visible
        ]
        return QueueView(name=name, visible=tuple(peeked), held=tuple(held), total=len(queue))

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        for each in rewind_histories(instance_id, self._events, self._rewrite):
            record = self.storage.records.get(each)
            wake = GenericEvent(timestamp=self._clock.now(), data=reason)
            target = OrchestrationInstance(instance_id=each, execution_id=None)
            self.storage.put(TaskMessage(event=wake, target=target), self._clock.now())
            if record is not None and record.runtime_status is RuntimeStatus.FAILED:
                self.storage.before_write("record")
                self.storage.records[each] = replace(
                    record,
                    runtime_status=RuntimeStatus.PENDING,
                    last_updated_at=self._clock.now(),
                    output=None,
                    completed_at=None,
                )

    async def finish_rewind(self, instance_id: str, reason: str) -> bool:
        """Returns False: no rewind of this hub is interrupted."""
        return False

    def _events(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        history = self.storage.histories.get(instance_id)
        return history.events if history else ()

    def _rewrite(self, instance_id: str, events: tuple[HistoryEvent, ...]) -> None:
        self.storage.before_write("history")
        history = self.storage.histories[instance_id]
        self.storage.histories[instance_id] = replace(history, events=events, version=history.version + 1)

    async def purge_instance(self, instance_id: str) -> bool:
        if instance_id not in self.storage.records:
            return False
        self.storage.histories.pop(instance_id, None)
        del self.storage.records[instance_id]
        return True


def _started(
    instance_id: str, update: InstanceUpdate, start: ExecutionStarted, record: InstanceRecord | None
) -> InstanceRecord:
    return InstanceRecord(
        instance_id=instance_id,
        execution_id=update.execution_id,
        name=start.name,
        version=start.version or "",
        runtime_status=RuntimeStatus.RUNNING,
        created_at=start.timestamp,
        last_updated_at=update.last_updated_at,
        completed_at=record.completed_at if record else None,
        input=start.input if start.input is not None or record is None else record.input,
        output=record.output if record else None,
        generation=start.generation if start.generation is not None else record.generation if record else 0,
        parent_id=start.parent_instance.orchestration_instance.instance_id if start.parent_instance else None,
        scheduled_start=start.scheduled_start_time,
    )


def _is_late(start: ExecutionStarted, history: Sequence[HistoryEvent]) -> bool:
    return any(is_overtaken(start, event) for event in history if isinstance(event, ExecutionStarted))


def _matches(query: InstanceQuery, record: InstanceRecord) -> bool:
    return (
        (query.created_from is None or record.created_at >= query.created_from)
        and (query.created_to is None or record.created_at <= query.created_to)
        and (query.updated_from is None or record.last_updated_at >= query.updated_from)
        and (not query.name or record.name == query.name)
        and (not query.statuses or record.runtime_status in query.statuses)
        and (not query.id_prefix or record.instance_id.startswith(query.id_prefix))
    )


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    word, _, number = token.partition(" ")
    if word != "offset" or not number.isdigit():
        raise RequestError(400, "The continuation token is not valid.")
    return int(number)
