"""Moves orchestrations on: one work item in, the orchestrator function run, one checkpoint stored.

What an episode comes to is decided in the core; here are only the calls over the two seams, in their order. Mirrors
TaskOrchestrationDispatcher and the admission part of AzureStorageOrchestrationService.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from devhost.app.model import Function
from devhost.clock import Clock
from devhost.core.checkpoint import Checkpoint, InstanceUpdate
from devhost.core.episode import Episode, terminated
from devhost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from devhost.core.state import Admission, OrchestrationState, admit, fold
from devhost.core.status import RuntimeStatus
from devhost.engine.ports import Executor, InstanceRecord, OrchestrationWorkItem, TaskHub
from devhost.engine.turns import Turns

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
        self._executor = executor
        self._functions = functions
        self._clock = clock
        self._max_actions = max_actions
        self._stores_inputs = stores_inputs
        self._default_version = default_version

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        state = fold(item.history)
        admission = admit(state, [(received.message, received.dequeue_count) for received in item.messages])
        held: list[int] = []
        if admission.is_empty and not state.is_episode_open:
            checkpoint = await self._repair(item, state)
        else:
            turns = self._turns(item, state)
            held = await _take_turns(turns, item, state, admission)
            checkpoint = turns.checkpoint
        await self._hub.complete_orchestration(
            item,
            checkpoint,
            deferred=[item.messages[position] for position in admission.deferred],
            held=[item.messages[position] for position in held],
        )

    def _turns(self, item: OrchestrationWorkItem, state: OrchestrationState) -> Turns:
        start = next((event for event in _events(item) if isinstance(event, ExecutionStarted)), None)
        started = state.started or start
        assert started is not None
        episode = Episode(
            started=started,
            history=item.history,
            arrived=None,
            now=self._clock.now(),
            max_actions=self._max_actions,
            stores_inputs=self._stores_inputs,
            default_version=self._default_version,
            states_start=start is not None,
        )
        return Turns(self._executor, self._functions, episode)

    async def _repair(self, item: OrchestrationWorkItem, state: OrchestrationState) -> Checkpoint:
        """Messages that move nothing may still be what a crash left: a record that lags behind its history."""
        record = await self._hub.get_instance(item.instance_id)
        if record is None or record.runtime_status.is_terminal:
            return Checkpoint()
        if state.started is None:
            termination = next(
                (r.message.event for r in item.messages if isinstance(r.message.event, ExecutionTerminated)), None
            )
            return Checkpoint(update=self._ended_before_start(record, termination)) if termination else Checkpoint()
        if record.execution_id != state.execution_id or record.runtime_status is state.status:
            return Checkpoint()
        return Checkpoint(update=restated(state.started, state.status, item.history))

    def _ended_before_start(self, record: InstanceRecord, termination: ExecutionTerminated) -> InstanceUpdate:
        return InstanceUpdate(
            execution_id=record.execution_id or "",
            last_updated_at=termination.timestamp,
            runtime_status=RuntimeStatus.TERMINATED,
            output=termination.input,
            completed_at=self._clock.now(),
        )


async def _take_turns(
    turns: Turns, item: OrchestrationWorkItem, state: OrchestrationState, admission: Admission
) -> list[int]:
    """Takes all turns that the admitted messages lead to; returns the positions of those that have to wait.

    A suspended instance takes nothing but its resumption and its end.
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
    if delivered and not turns.has_ended:
        await turns.deliver(delivered)
    held = await _raise_events(turns, events, admission.raised)
    if not turns.has_ended:
        _apply(marks, turns, is_suspended)
    return held


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
