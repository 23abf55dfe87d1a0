"""Entities: arrived events in, operations to run out, one checkpoint at the end.

An entity is stored as an instance that never ends. Between two episodes it is no more than the input of its latest
start: its state, the owner of its lock, and requests that could not be processed yet. The rule of this file: it decides
everything and does no I/O. Mirrors TaskEntityShim and SchedulerState of the durable extension.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from durablehost.core.checkpoint import Checkpoint, InstanceUpdate, Stage
from durablehost.core.entity_lock import EntityLock
from durablehost.core.entity_messages import (
    LOCK_GRANTED,
    OPERATION_EVENT,
    RELEASE_EVENT,
    EntityRequest,
    is_reminder,
    is_request,
    release_from_text,
    reminder_name,
    request_from_json,
    request_from_text,
    request_to_json,
    request_to_text,
    response_text,
    scheduled_name,
)
from durablehost.core.entity_result import BatchResult, OperationResult
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
)
from durablehost.core.ids import EntityId
from durablehost.core.json_text import compact
from durablehost.core.lineage import derived_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.sorter import Sorter
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import NO_TIME, ticks_from_text, ticks_of, ticks_of_seconds, ticks_to_text
from durablehost.defaults import ENTITY_REORDER_WINDOW_SECONDS
from durablehost.errors import UnreadableState
from durablehost.types import JsonValue

# A scheduled request may arrive this long before its time: delays are not exact.
_NEARLY_DUE = timedelta(milliseconds=100)
# A message cannot be delayed for longer than 7 days; a request that is due later is delayed several times.
_LONGEST_DELAY = timedelta(days=6)
_LONG_DELAY_PART = timedelta(days=3)
_FIRST_EPISODE = 1
_NO_INPUT = "null"
_FIRST_EXECUTION = "first"


@dataclass(frozen=True, kw_only=True)
class EntitySnapshot:
    """The part of a stored entity that clients can read; `state` is JSON text."""

    exists: bool
    state: str | None


def read_snapshot(stored: str | None) -> EntitySnapshot:
    """Raises `UnreadableState` if the text is not the stored form of an entity."""
    document = _stored_document(stored)
    state = _text_or_none(document, "state")
    # Hosts for other languages write no `exists`: there, an entity exists if it has a state.
    return EntitySnapshot(exists=bool(document.get("exists", state is not None)), state=state)


class EntityEpisode:
    """One episode of a stored entity. `me` is the execution that this episode creates."""

    def __init__(
        self,
        me: OrchestrationInstance,
        history: Sequence[HistoryEvent],
        *,
        now: datetime,
        reorder_window_seconds: float = ENTITY_REORDER_WINDOW_SECONDS,
    ) -> None:
        """Raises `UnreadableState` if the history is not that of an entity."""
        started = next((event for event in reversed(history) if isinstance(event, ExecutionStarted)), None)
        stored = started.input if started else None
        document, snapshot = _stored_document(stored), read_snapshot(stored)
        self._is_stored = started is not None
        self._me = me
        self._now = now
        self._at = now
        self._reorder_window = timedelta(seconds=reorder_window_seconds)
        self._exists = snapshot.exists
        self._state = snapshot.state
        self._outbox: list[TaskMessage] = []
        holder = _text_or_none(document, "lockedBy")
        try:
            self._lock = EntityLock(holder, document.get("granted"))
            self._queue = deque(request_from_json(each) for each in document.get("queue") or ())
            self._sorter = Sorter(document.get("sorter"), window=ticks_of_seconds(reorder_window_seconds))
            # When the reminder that is on its way will come.
            self._reminded_at = ticks_from_text(document.get("reminder"))
        except Exception as error:
            # The stored text may contain anything: whatever fails here, the text is at fault.
            raise UnreadableState(
                f"Entity '{me.instance_id}' is stored in an unreadable form; purge it to start over: {error!r}"
            ) from error

    @property
    def entity(self) -> EntityId:
        return EntityId.of_instance(self._me.instance_id)

    def begin_round(self, at: datetime | None = None) -> None:
        """Sets when what follows is received: at the time of an episode that a crash cut short, or, for None, now."""
        self._at = at or self._now

    def receive(self, event: EventRaised) -> None:
        """Receives an event; one that is no request, release or reminder only starts the episode.

        Raises:
            PoisonMessage: the event cannot be read.
        """
        if is_request(event.name):
            request = request_from_text(event.input)
            if request.parent_trace_context is None:
                request = replace(request, parent_trace_context=event.parent_trace_context)
            self._receive_request(request, is_scheduled=event.name != OPERATION_EVENT)
        elif event.name == RELEASE_EVENT:
            self._lock.release(release_from_text(event.input))
        elif is_reminder(event.name):
            self._reminded_at = NO_TIME
            for each in self._sorter.expire(ticks_of(self._at)):
                self._enqueue(each)

    def _receive_request(self, request: EntityRequest, *, is_scheduled: bool) -> None:
        if request.due_at is not None and request.due_at - self._at > _NEARLY_DUE:
            self._put_off(request, request.due_at)
        elif is_scheduled:
            self._enqueue(request)
        else:
            for each in self._sorter.receive(request):
                self._enqueue(each)

    def _put_off(self, request: EntityRequest, due_at: datetime) -> None:
        at = due_at if due_at - self._at <= _LONGEST_DELAY else self._at + _LONG_DELAY_PART
        self._send(self._me.instance_id, None, scheduled_name(at), request_to_text(request))

    def _enqueue(self, request: EntityRequest) -> None:
        if request.is_lock and self._is_repeated(request):
            return
        holder = self._lock.holder
        if holder is None or request.parent != holder:
            self._queue.append(request)
            return
        # The lock holder's requests go first, in their own order.
        position = next((i for i, each in enumerate(self._queue) if each.parent != holder), len(self._queue))
        self._queue.insert(position, request)

    def _is_repeated(self, lock: EntityRequest) -> bool:
        waiting = ((each.id, each.position) for each in self._queue if each.is_lock)
        return self._lock.was_granted(lock) or (lock.id, lock.position) in waiting

    def take(self, limit: int) -> tuple[EntityRequest, ...]:
        """Removes the next operations to run from the queue, at most `limit`; none if nothing may be run.

        A lock is granted when all requests before it have been run.
        """
        batch: list[EntityRequest] = []
        while self._may_go_on() and len(batch) < limit:
            if not self._queue[0].is_lock:
                batch.append(self._queue.popleft())
            elif batch:
                break
            else:
                self._grant(self._queue.popleft())
        return tuple(batch)

    def _may_go_on(self) -> bool:
        return bool(self._queue) and self._lock.holder in (None, self._queue[0].parent)

    def _grant(self, lock: EntityRequest) -> None:
        """Locks the entity for the requester, and forwards the request to the next entity of its set."""
        self._lock.grant(lock)
        handed_on = replace(lock, position=lock.position + 1)
        if handed_on.position < len(lock.lock_set):
            following = lock.lock_set[handed_on.position]
            self._send(following.instance_id, None, OPERATION_EVENT, request_to_text(handed_on))
        else:
            self._respond(lock, OperationResult(result=LOCK_GRANTED))

    def payload(self, batch: Sequence[EntityRequest]) -> str:
        """The `context` of the entity function."""
        entity = self.entity
        return json.dumps(
            {
                "self": {"name": entity.name, "key": entity.key},
                "exists": self._exists,
                "state": self._state,
                "batch": [
                    {"name": each.operation or "", "input": each.input, "isSignal": each.is_signal} for each in batch
                ],
            }
        )

    def complete(self, batch: Sequence[EntityRequest], result: BatchResult) -> None:
        """Adopts the state that a run left behind, and sends the results to the callers."""
        self._exists, self._state = result.exists, result.state
        for request, operation in zip(batch, result.results, strict=True):
            self._respond(request, operation)

    def fail(self, batch: Sequence[EntityRequest], message: str) -> None:
        """Sends an error to the callers of a batch that could not be run; the state stays unchanged."""
        for request in batch:
            self._respond(request, OperationResult(result=compact(message), is_error=True))

    def checkpoint(self, arrived: Sequence[EventRaised] = ()) -> Checkpoint:
        """Everything that the episode makes durable: the next execution, whose input is what is kept of the entity.

        `arrived` is what has come since the history: it is stored before any result is sent.
        """
        stages = (self._opening(arrived),) if arrived and self._outbox else ()
        self._remind()
        started = self._start(self._me, compact(self._document()))
        return Checkpoint(
            new_events=(
                OrchestratorStarted(timestamp=self._now),
                started,
                OrchestratorCompleted(timestamp=self._now),
            ),
            outbox=tuple(self._outbox),
            stages=stages,
            update=InstanceUpdate(
                execution_id=self._me.execution_id or "",
                last_updated_at=self._now,
                custom_status=compact(self._status()),
                started=started,
                runtime_status=RuntimeStatus.RUNNING,
            ),
        )

    def _remind(self) -> None:
        """Wakes this entity when a request has waited long enough for another one, which may have gone with a purge.

        One reminder at a time: if requests still wait when it comes, the next one is sent.
        """
        if self._sorter.is_waiting and self._reminded_at <= ticks_of(self._now):
            at = self._now + min(self._reorder_window, _LONGEST_DELAY)
            self._reminded_at = ticks_of(at)
            self._send(self._me.instance_id, None, reminder_name(at), _NO_INPUT)

    def _opening(self, arrived: Sequence[EventRaised]) -> Stage:
        """Stores what has arrived for the execution that this episode replaces; a new entity has to begin one."""
        first = replace(self._me, execution_id=derived_execution_id(self._me.execution_id, _FIRST_EXECUTION))
        starts = () if self._is_stored else (self._start(first, None),)
        played = (replace(event, is_played=True) for event in arrived)
        return Stage((OrchestratorStarted(timestamp=self._now), *starts, *played))

    def _start(self, execution: OrchestrationInstance, stored: str | None) -> ExecutionStarted:
        return ExecutionStarted(
            timestamp=self._now,
            orchestration_instance=execution,
            name=self._me.instance_id,
            version="",
            input=stored,
            is_played=True,
        )

    def _document(self) -> dict[str, JsonValue]:
        out: dict[str, JsonValue] = {"exists": True} if self._exists else {}
        if self._state is not None:
            out["state"] = self._state
        if self._queue:
            out["queue"] = [request_to_json(request) for request in self._queue]
        if self._lock.holder is not None:
            out["lockedBy"] = self._lock.holder
        if granted := self._lock.granted_to_json():
            out["granted"] = granted
        out["sorter"] = self._sorter.to_json()
        if self._reminded_at > ticks_of(self._now):
            out["reminder"] = ticks_to_text(self._reminded_at)
        return out

    def _status(self) -> dict[str, JsonValue]:
        out: dict[str, JsonValue] = {"entityExists": True} if self._exists else {}
        if self._queue:
            out["queueSize"] = len(self._queue)
        if self._lock.holder is not None:
            out["lockedBy"] = self._lock.holder
        return out

    def _respond(self, request: EntityRequest, operation: OperationResult) -> None:
        if request.parent is not None and not request.is_signal:
            text = response_text(operation.result, is_error=operation.is_error)
            self._send(request.parent, request.parent_execution, request.id, text)

    def _send(self, instance_id: str, execution_id: str | None, name: str, text: str) -> None:
        self._outbox.append(
            TaskMessage(
                event=EventRaised(timestamp=self._at, name=name, input=text),
                target=OrchestrationInstance(instance_id=instance_id, execution_id=execution_id),
                sender=self._me,
                episode=_FIRST_EPISODE,
            )
        )


def _stored_document(stored: str | None) -> dict[str, Any]:
    try:
        document = json.loads(stored) if stored else {}
    except (ValueError, RecursionError) as error:
        raise UnreadableState(f"The stored form of an entity is not JSON; purge it to start over: {error!r}") from error
    if not isinstance(document, dict):
        raise UnreadableState("The stored form of an entity is not a JSON object; purge it to start over.")
    return document


def _text_or_none(document: dict[str, Any], member: str) -> str | None:
    value = document.get(member)
    if not isinstance(value, (str, type(None))):
        raise UnreadableState(f"The stored `{member}` of an entity is not a text; purge it to start over.")
    return value
