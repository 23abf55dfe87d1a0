"""Processes orchestrations: one work item in, the orchestrator function run, one checkpoint stored.

The core decides; this file makes the calls over the two seams, in their order. Mirrors TaskOrchestrationDispatcher and
the admission part of AzureStorageOrchestrationService.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from durablehost.app.model import Function
from durablehost.clock import Clock
from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.episode import Episode, failed
from durablehost.core.episode_plan import plan_episodes
from durablehost.core.episode_spans import spans_of_episode
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
)
from durablehost.core.lineage import descends
from durablehost.core.rules import DEFAULT_RULES, Rules
from durablehost.core.spans import Span
from durablehost.core.state import MAX_DELIVERIES_TO_NOTHING, Admission, OrchestrationState, admit, fold, restated
from durablehost.core.status import RuntimeStatus
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.azure_warnings import AzureWarnings
from durablehost.engine.episodes import Appetites, Episodes
from durablehost.engine.occupied import is_late_start, refusal_of_start
from durablehost.engine.ports import Executor, InstanceRecord, OrchestrationWorkItem, ReceivedMessage, TaskHub
from durablehost.engine.tracing import NO_TRACES, Tracer, open_start
from durablehost.engine.trials import Trials
from durablehost.errors import StaleCheckpoint, StorageUnavailable

_log = logging.getLogger("Host.Engine")


class Orchestrations:
    """Processes the work items of orchestrations. `functions` holds the orchestrators by name in lower case.

    `awaited` is told which external events and attempts they wait for.
    """

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        functions: Mapping[str, Function],
        clock: Clock,
        rules: Rules = DEFAULT_RULES,
        awaited: AwaitedEvents | None = None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock
        self._rules = rules
        self._warnings = AzureWarnings()
        self._appetites = Appetites()
        self._awaited = awaited or AwaitedEvents()
        self._tracer = tracer

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        if await is_late_start(item, self._hub):
            # Not dropped at once: the history of the parent may not show yet that its execution has been replaced.
            later = [each for each in item.messages if not _is_start(each) or _may_be_awaited_soon(each)]
            await self._hub.complete_orchestration(item, Checkpoint(), deferred=later)
            return
        if refusal := await refusal_of_start(item, self._hub):
            others = [each for each in item.messages if not _is_start(each)]
            await self._hub.complete_orchestration(item, Checkpoint(outbox=(refusal,)), deferred=others)
            return
        state = fold(item.history)
        admission = admit(state, [(received.message, received.dequeue_count) for received in item.messages])
        self._trials.begin(item.instance_id, item.messages)
        episodes = None
        if admission.is_empty and not state.is_episode_open:
            outcome = await self._without_episode(item, state, admission)
        else:
            events, spans = self._opened(item, state)
            episodes = self._episodes(item, state, events)
            episodes.spans += spans
            kept = await episodes.carry_out(plan_episodes(state, events, admission))
            checkpoint = episodes.checkpoint
            if checkpoint.update is None and admission.kept_count < len(item.messages):
                # The dropped messages may be those of an episode that a crash cut short before it wrote the record.
                checkpoint = _repair(await self._hub.get_instance(item.instance_id), item, state)
            outcome = _Outcome(checkpoint=checkpoint, deferred=admission.deferred, kept=kept)
        await self._hub.complete_orchestration(
            item,
            outcome.checkpoint,
            deferred=[item.messages[position] for position in outcome.deferred],
            kept=[item.messages[position] for position in outcome.kept],
        )
        if episodes is not None:
            self._note_awaited(item, episodes)
            self._tracer.record(episodes.spans)
        self._trials.done(item.instance_id)

    def _note_awaited(self, item: OrchestrationWorkItem, episodes: Episodes) -> None:
        execution_id, count = episodes.execution_id, episodes.event_count
        if episodes.awaited is None:
            self._awaited.carry_over(item.instance_id, execution_id, len(item.history), count)
        else:
            self._awaited.note(
                item.instance_id,
                execution_id,
                count,
                episodes.awaited,
                self._clock.now(),
                retries=episodes.retries,
                has_finished=episodes.has_finished,
            )

    async def give_up(self, item: OrchestrationWorkItem, problem: str) -> None:
        """Fails an instance whose episode cannot be processed; `problem` is a sentence about it.

        Of the messages at most the start is stored. If that cannot be stored either, only the record shows the failure.
        """
        state = fold(item.history)
        events, spans = self._opened(item, state)
        start = next((event for event in events if isinstance(event, ExecutionStarted)), None)
        started = state.started or start
        if started is None or state.status.is_finished:
            await self._hub.complete_orchestration(item, Checkpoint())
            self._trials.done(item.instance_id)
            return
        episode = self._episode(item, state, started, states_start=state.started is None)
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
        self._trials.done(item.instance_id)
        if self._tracer.is_on:
            self._tracer.record((*spans, *spans_of_episode(started, item.history, checkpoint.new_events)))

    def _opened(
        self, item: OrchestrationWorkItem, state: OrchestrationState
    ) -> tuple[list[HistoryEvent], tuple[Span, ...]]:
        """The arrived events, a start that is not recorded yet with a span of its own; and the span of its creation."""
        events = _events(item)
        return (events, ()) if state.started else open_start(events, self._tracer, self._clock.now())

    def _episodes(
        self, item: OrchestrationWorkItem, state: OrchestrationState, events: Sequence[HistoryEvent]
    ) -> Episodes:
        start = next((event for event in events if isinstance(event, ExecutionStarted)), None)
        started = state.started or start
        assert started is not None
        episode = self._episode(item, state, started, states_start=start is not None)
        if start is not None and not self._rules.runs_in_azure(start.version):
            self._warnings.version_not_run(start.name, version=start.version or "", default=self._rules.default_version)
        return Episodes(self._trials, self._functions, episode, self._warnings, self._appetites, self._tracer)

    def _episode(
        self, item: OrchestrationWorkItem, state: OrchestrationState, started: ExecutionStarted, *, states_start: bool
    ) -> Episode:
        now = self._clock.now()
        return Episode(
            started=started,
            history=item.history,
            arrived=None,
            # What follows an episode that a crash cut short has its time, as it had before the crash.
            now=state.open_since or now,
            request_time=now,
            rules=self._rules,
            states_start=states_start,
        )

    async def _without_episode(
        self, item: OrchestrationWorkItem, state: OrchestrationState, admission: Admission
    ) -> _Outcome:
        """The outcome of messages that no execution in the history accepts: the record may name one yet to begin."""
        record = await self._hub.get_instance(item.instance_id)
        if record is not None and _is_yet_to_begin(record, state):
            if update := self._end_without_history(item, record, admission):
                return _Outcome(checkpoint=Checkpoint(update=update), deferred=admission.deferred)
            return _Outcome(deferred=admission.deferred, kept=admission.unclaimed)
        if record is not None and await self._has_lost_its_history(record, state):
            if update := self._end_without_history(item, record, admission):
                return _Outcome(checkpoint=Checkpoint(update=update), deferred=admission.deferred)
            _log.error(
                "Instance '%s' is %s, but its history is gone: a message to it is dropped. To get rid of the instance, "
                "terminate it and then purge its history.",
                item.instance_id,
                record.runtime_status.value,
            )
        if record is not None or state.started is not None:
            return _Outcome(checkpoint=_repair(record, item, state), deferred=admission.deferred)
        # An event may even arrive before the record is written.
        early = [p for p in admission.unclaimed if _may_precede_record(item.messages[p])]
        return _Outcome(deferred=(*admission.deferred, *early))

    async def _has_lost_its_history(self, record: InstanceRecord, state: OrchestrationState) -> bool:
        """True if an execution has begun, as every history is stored before its record, but is not in the storage."""
        if state.started is not None or record.runtime_status not in (RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED):
            return False
        if await self._hub.read_history(record.instance_id):
            raise StaleCheckpoint(f"Another host has begun instance '{record.instance_id}'.")
        return True

    def _end_without_history(
        self, item: OrchestrationWorkItem, record: InstanceRecord, admission: Admission
    ) -> InstanceUpdate | None:
        """The end of an instance without a history, if a client asks for it."""
        unclaimed = (item.messages[position].message.event for position in admission.unclaimed)
        termination = next((event for event in unclaimed if isinstance(event, ExecutionTerminated)), None)
        if termination is None:
            return None
        return InstanceUpdate(
            execution_id=record.execution_id or "",
            last_updated_at=termination.timestamp,
            runtime_status=RuntimeStatus.TERMINATED,
            output=termination.input,
            completed_at=self._clock.now(),
        )


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """The outcome of a work item: a checkpoint, and the positions of the messages that are not deleted with it."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    deferred: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


def _is_yet_to_begin(record: InstanceRecord, state: OrchestrationState) -> bool:
    """True if a start has been accepted, and neither its execution nor one that continues it is in the history yet."""
    is_known = record.execution_id == state.execution_id or descends(state.execution_id, record.execution_id)
    return record.runtime_status is RuntimeStatus.PENDING and not is_known


def _repair(record: InstanceRecord | None, item: OrchestrationWorkItem, state: OrchestrationState) -> Checkpoint:
    """Rewrites a record that lags behind its history: messages without effect may be left over from a crash."""
    if state.started is None:
        return Checkpoint()
    if any(isinstance(event, ExecutionStarted) for event in _events(item)):
        # A start that is delivered again: the record may lack all about the execution, even its name.
        lags = record is None or record.execution_id == state.execution_id
    else:
        lags = record is not None and _has_other_status(record, state)
    if lags or (record is not None and descends(state.execution_id, record.execution_id)):
        return Checkpoint(update=restated(state, item.history))
    return Checkpoint()


def _has_other_status(record: InstanceRecord, state: OrchestrationState) -> bool:
    is_same = record.execution_id == state.execution_id and not record.runtime_status.is_finished
    return is_same and record.runtime_status is not state.status


def _is_start(received: ReceivedMessage) -> bool:
    return isinstance(received.message.event, ExecutionStarted)


def _may_be_awaited_soon(received: ReceivedMessage) -> bool:
    return received.dequeue_count <= MAX_DELIVERIES_TO_NOTHING


def _may_precede_record(received: ReceivedMessage) -> bool:
    return isinstance(received.message.event, EventRaised) and received.dequeue_count <= MAX_DELIVERIES_TO_NOTHING


def _events(item: OrchestrationWorkItem) -> list[HistoryEvent]:
    return [received.message.event for received in item.messages]
