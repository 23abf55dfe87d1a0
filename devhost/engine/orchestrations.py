"""Moves orchestrations on: one work item in, the orchestrator function run, one checkpoint stored.

What an episode comes to is decided in the core; here are only the calls over the two seams, in their order. Mirrors
TaskOrchestrationDispatcher and the admission part of AzureStorageOrchestrationService.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from devhost.app.model import Function
from devhost.clock import Clock
from devhost.core.checkpoint import Checkpoint, InstanceUpdate
from devhost.core.episode import Episode, failed, terminated
from devhost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from devhost.core.lineage import descends
from devhost.core.state import MAX_DELIVERIES_TO_NOTHING, Admission, OrchestrationState, admit, fold
from devhost.core.status import RuntimeStatus
from devhost.engine.occupied import refusal_of_start
from devhost.engine.ports import Executor, InstanceRecord, OrchestrationWorkItem, ReceivedMessage, TaskHub
from devhost.engine.trials import Trials
from devhost.engine.turns import Turns
from devhost.errors import StaleCheckpoint, StorageUnavailable

MARKS = (ExecutionSuspended, ExecutionResumed)


class Orchestrations:
    """Processes the work items of orchestrations. `functions` holds the orchestrators by name in lower case."""

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        functions: Mapping[str, Function],
        clock: Clock,
        *,
        max_actions: int = 100_000,
        stores_inputs: bool = False,
        default_version: str = "",
    ) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock
        self._max_actions = max_actions
        self._stores_inputs = stores_inputs
        self._default_version = default_version

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        if refusal := await refusal_of_start(item, self._hub):
            others = [each for each in item.messages if not isinstance(each.message.event, ExecutionStarted)]
            await self._hub.complete_orchestration(item, Checkpoint(outbox=(refusal,)), deferred=others)
            return
        state = fold(item.history)
        admission = admit(state, [(received.message, received.dequeue_count) for received in item.messages])
        self._trials.begin(item.instance_id, item.messages)
        if admission.is_empty and not state.is_episode_open:
            outcome = await self._without_turn(item, state, admission)
        else:
            turns = self._turns(item, state)
            held = await _take_turns(turns, item, state, admission)
            checkpoint = turns.checkpoint
            if checkpoint.update is None and admission.kept_count < len(item.messages):
                # What is dropped may come from a turn that a crash has cut before its record was written.
                checkpoint = _repair(await self._hub.get_instance(item.instance_id), item, state)
            outcome = _Outcome(checkpoint=checkpoint, deferred=admission.deferred, held=tuple(held))
        await self._hub.complete_orchestration(
            item,
            outcome.checkpoint,
            deferred=[item.messages[position] for position in outcome.deferred],
            held=[item.messages[position] for position in outcome.held],
        )
        self._trials.done(item.instance_id)

    async def give_up(self, item: OrchestrationWorkItem, problem: str) -> None:
        """Stores the failure of an instance whose turn cannot be carried out; `problem` is a sentence about it.

        As little as possible is stored of what has led to it. If the start itself cannot be stored, only the record
        says that it failed.
        """
        state = fold(item.history)
        start = next((event for event in _events(item) if isinstance(event, ExecutionStarted)), None)
        started = state.started or start
        if started is None or state.status.is_terminal:
            await self._hub.complete_orchestration(item, Checkpoint())
            return
        episode = self._episode(item, started, states_start=state.started is None)
        end = failed(started.name, problem)
        arrived = (started,) if state.started is None else ()
        checkpoint = replace(episode, arrived=arrived).end(end).checkpoint
        try:
            await self._hub.complete_orchestration(item, checkpoint)
        except (StorageUnavailable, StaleCheckpoint):
            raise
        except Exception:
            if state.started is not None or checkpoint.update is None:
                raise
            update = replace(checkpoint.update, started=None)
            await self._hub.complete_orchestration(item, replace(checkpoint, new_events=(), update=update))

    def _turns(self, item: OrchestrationWorkItem, state: OrchestrationState) -> Turns:
        start = next((event for event in _events(item) if isinstance(event, ExecutionStarted)), None)
        started = state.started or start
        assert started is not None
        episode = self._episode(item, started, states_start=start is not None)
        return Turns(self._trials, self._functions, episode)

    def _episode(self, item: OrchestrationWorkItem, started: ExecutionStarted, *, states_start: bool) -> Episode:
        return Episode(
            started=started,
            history=item.history,
            arrived=None,
            now=self._clock.now(),
            max_actions=self._max_actions,
            stores_inputs=self._stores_inputs,
            default_version=self._default_version,
            states_start=states_start,
        )

    async def _without_turn(
        self, item: OrchestrationWorkItem, state: OrchestrationState, admission: Admission
    ) -> _Outcome:
        """What messages lead to that no execution in the history takes: the record may know of one that is to begin."""
        record = await self._hub.get_instance(item.instance_id)
        events = _events(item)
        if record is not None and _is_yet_to_begin(record, state):
            ends = (event for p in admission.unclaimed if isinstance(event := events[p], ExecutionTerminated))
            if termination := next(ends, None):
                update = self._ended_before_start(record, termination)
                return _Outcome(checkpoint=Checkpoint(update=update), deferred=admission.deferred)
            return _Outcome(deferred=admission.deferred, held=admission.unclaimed)
        if record is not None or state.started is not None:
            return _Outcome(checkpoint=_repair(record, item, state), deferred=admission.deferred)
        # An event may even be ahead of the record.
        early = [p for p in admission.unclaimed if _may_precede_its_record(item.messages[p])]
        return _Outcome(deferred=(*admission.deferred, *early))

    def _ended_before_start(self, record: InstanceRecord, termination: ExecutionTerminated) -> InstanceUpdate:
        return InstanceUpdate(
            execution_id=record.execution_id or "",
            last_updated_at=termination.timestamp,
            runtime_status=RuntimeStatus.TERMINATED,
            output=termination.input,
            completed_at=self._clock.now(),
        )


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What a work item comes to: a checkpoint, and by position the messages that are not to be deleted with it."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    deferred: tuple[int, ...] = ()
    held: tuple[int, ...] = ()


def _is_yet_to_begin(record: InstanceRecord, state: OrchestrationState) -> bool:
    """True if a start has been accepted, and neither its execution nor one that continues it is in the history yet."""
    is_known = record.execution_id == state.execution_id or descends(state.execution_id, record.execution_id)
    return record.runtime_status is RuntimeStatus.PENDING and not is_known


def _repair(record: InstanceRecord | None, item: OrchestrationWorkItem, state: OrchestrationState) -> Checkpoint:
    """Writes the record anew if it lags behind its history: messages that move nothing may be what a crash left."""
    if state.started is None:
        return Checkpoint()
    if any(isinstance(event, ExecutionStarted) for event in _events(item)):
        # A start that comes again: nothing of the execution may have reached the record yet, not even its name.
        lags = record is None or record.execution_id == state.execution_id
    else:
        lags = record is not None and _has_other_status(record, state)
    if lags or (record is not None and descends(state.execution_id, record.execution_id)):
        return Checkpoint(update=restated(state.started, state.status, item.history))
    return Checkpoint()


def _has_other_status(record: InstanceRecord, state: OrchestrationState) -> bool:
    is_same = record.execution_id == state.execution_id and not record.runtime_status.is_terminal
    return is_same and record.runtime_status is not state.status


def _may_precede_its_record(received: ReceivedMessage) -> bool:
    return isinstance(received.message.event, EventRaised) and received.dequeue_count <= MAX_DELIVERIES_TO_NOTHING


async def _take_turns(
    turns: Turns, item: OrchestrationWorkItem, state: OrchestrationState, admission: Admission
) -> list[int]:
    """Takes all turns that the admitted messages lead to; returns the positions of those that have to wait.

    A suspended instance takes nothing but its resumption and its end. Once the execution has ended nothing waits: what
    it has not taken is for no later execution of the instance.
    """
    events = _events(item)
    delivered = tuple(events[position] for position in admission.delivered)
    if state.is_episode_open:
        await turns.finish_cut_short()
    termination = next((event for event in delivered if isinstance(event, ExecutionTerminated)), None)
    if termination is not None and not turns.has_ended:
        turns.end(delivered, terminated(termination))
    is_suspended = state.status is RuntimeStatus.SUSPENDED
    marks = [event for position in admission.marks if isinstance(event := events[position], MARKS)]
    if is_suspended and not turns.has_ended:
        is_suspended = _apply(marks, turns, is_suspended)
        marks = []
        if is_suspended:
            return [*admission.delivered, *admission.raised]
    if (delivered or state.has_suspended_events) and not turns.has_ended:
        await turns.deliver(delivered)
    held = await _raise_events(turns, events, admission.raised)
    if not turns.has_ended:
        _apply(marks, turns, is_suspended)
    return [] if turns.has_ended else held


async def _raise_events(turns: Turns, events: Sequence[HistoryEvent], positions: Sequence[int]) -> list[int]:
    """Delivers external events one by one for as long as one of them is awaited; returns the others."""
    held = list(positions)
    while not turns.has_ended:
        for position in held:
            event = events[position]
            assert isinstance(event, EventRaised)
            if await turns.deliver_if_awaited(event):
                held.remove(position)
                break
        else:
            return held
    return []


def _apply(marks: Sequence[ExecutionSuspended | ExecutionResumed], turns: Turns, is_suspended: bool) -> bool:
    """Records those marks that change anything; returns whether the instance is suspended then."""
    for mark in marks:
        if isinstance(mark, ExecutionSuspended) is not is_suspended:
            turns.mark(mark)
            is_suspended = not is_suspended
    return is_suspended


def _events(item: OrchestrationWorkItem) -> list[HistoryEvent]:
    return [received.message.event for received in item.messages]


def restated(started: ExecutionStarted, status: RuntimeStatus, history: tuple[HistoryEvent, ...]) -> InstanceUpdate:
    """What the record of an instance should say, from its history alone."""
    completed = next((event for event in reversed(history) if isinstance(event, ExecutionCompleted)), None)
    return InstanceUpdate(
        execution_id=started.orchestration_instance.execution_id or "",
        last_updated_at=history[-1].timestamp,
        started=started,
        runtime_status=status,
        output=completed.result if completed else None,
        completed_at=completed.timestamp if completed else None,
    )
