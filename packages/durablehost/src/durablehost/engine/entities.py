"""Processes entities: one work item in, the entity function run over its requests, one checkpoint stored.

The core decides; this file makes the calls over the two seams. A run that fails as a whole fails its callers; the
original would retry it for ever. Mirrors the dispatching part of TaskEntityShim.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from durablehost.app.invocation import Invocation
from durablehost.app.model import Function
from durablehost.clock import Clock
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.entities import EntityEpisode
from durablehost.core.entity_messages import EntityRequest
from durablehost.core.entity_result import BatchResult, parse_batch_result
from durablehost.core.entity_rounds import Rounds, rounds_of
from durablehost.core.history import EventRaised, OrchestrationInstance
from durablehost.core.ids import EntityId
from durablehost.core.sdk_errors import explained
from durablehost.core.spans import Span, operation_span, request_name
from durablehost.core.state import OrchestrationState, fold
from durablehost.core.status import RuntimeStatus
from durablehost.defaults import ENTITY_REORDER_WINDOW_SECONDS, MAX_ENTITY_BATCH_SIZE
from durablehost.engine.entity_control import repair, status_checkpoint, wanted_status
from durablehost.engine.ports import Executor, OrchestrationWorkItem, TaskHub
from durablehost.engine.tracing import NO_TRACES, OpenSpan, Tracer, context_of, open_below, within
from durablehost.engine.trials import Trials
from durablehost.engine.unknown import unknown_entity
from durablehost.errors import FunctionGivenUp, PoisonMessage, StaleCheckpoint, StorageUnavailable, UserCodeError

_log = logging.getLogger("Host.Engine")


class Entities:
    """Processes the work items of entities. `functions` holds the entity functions by name in lower case."""

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        functions: Mapping[str, Function],
        clock: Clock,
        *,
        max_batch_size: int = MAX_ENTITY_BATCH_SIZE,
        reorder_window_seconds: float = ENTITY_REORDER_WINDOW_SECONDS,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock
        self._max_batch_size = max_batch_size
        self._reorder_window_seconds = reorder_window_seconds
        self._tracer = tracer

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        state = fold(item.history)
        events = [each.message.event for each in item.messages]
        rounds = rounds_of(item.history, events)
        wanted = wanted_status(state, events)
        self._trials.begin(item.instance_id, item.messages)
        spans: list[Span] = []
        if not rounds.is_empty and wanted in (RuntimeStatus.PENDING, RuntimeStatus.RUNNING):
            # This begins a new execution, which runs whatever the status of the one before was.
            checkpoint = await self._episode(item, rounds, spans)
        else:
            checkpoint = await self._control(item, state, wanted)
        is_waiting = wanted is RuntimeStatus.SUSPENDED
        await self._hub.complete_orchestration(
            item,
            checkpoint,
            kept=[each for each in item.messages if is_waiting and isinstance(each.message.event, EventRaised)],
        )
        self._trials.done(item.instance_id)
        self._tracer.record(spans)

    async def give_up(self, item: OrchestrationWorkItem, problem: str) -> None:
        """Fails the calls of an entity that cannot be processed; its state stays as it was.

        If the state itself cannot be read or stored, only the failures are stored.
        """
        text = f"Entity '{item.instance_id}' failed: {problem}"
        try:
            episode = self._begin(item)
            checkpoint = _refused(episode, item, text).checkpoint()
            await self._hub.complete_orchestration(item, checkpoint)
        except (StorageUnavailable, StaleCheckpoint):
            raise
        except Exception:
            without_state = replace(item, history=())
            failures = _refused(self._begin(without_state), without_state, text).checkpoint().outbox
            await self._hub.complete_orchestration(item, Checkpoint(outbox=failures))
        self._trials.done(item.instance_id)

    async def _control(
        self, item: OrchestrationWorkItem, state: OrchestrationState, wanted: RuntimeStatus
    ) -> Checkpoint:
        """Records a termination, a suspension or a resumption, or repairs the record after a crash."""
        events = [each.message.event for each in item.messages]
        if state.started is not None and wanted is not state.status:
            return status_checkpoint(item, state.started, events, self._clock.now())
        if wanted.is_finished and any(isinstance(event, EventRaised) for event in events):
            _log.warning(
                "The entity '%s' has been terminated: its requests are dropped until it is purged",
                item.instance_id,
            )
        return repair(await self._hub.get_instance(item.instance_id), state, item.history)

    async def _episode(self, item: OrchestrationWorkItem, rounds: Rounds, spans: list[Span]) -> Checkpoint:
        """Runs the requests; appends the spans of the operations to `spans`."""
        episode = self._begin(item)
        # One by one after a crash, so that only the request that causes it fails in the end.
        most = 1 if self._trials.has_crashed(item.instance_id) else self._max_batch_size
        for stored in rounds.stored:
            episode.begin_round(stored.at)
            await self._run_round(episode, stored.events, most, spans)
        episode.begin_round()
        return episode.checkpoint(await self._run_round(episode, rounds.new, most, spans))

    async def _run_round(
        self, episode: EntityEpisode, events: Sequence[EventRaised], most: int, spans: list[Span]
    ) -> Sequence[EventRaised]:
        """Receives events and runs operations until none may be run; returns the events that could be read."""
        received = [event for event in events if _is_received(episode, event)]
        while batch := episode.take(most):
            await self._run(episode, batch, spans)
        return received

    def _begin(self, item: OrchestrationWorkItem) -> EntityEpisode:
        return EntityEpisode(
            OrchestrationInstance(instance_id=item.instance_id, execution_id=uuid.uuid4().hex),
            item.history,
            now=self._clock.now(),
            reorder_window_seconds=self._reorder_window_seconds,
        )

    async def _run(self, episode: EntityEpisode, batch: Sequence[EntityRequest], spans: list[Span]) -> None:
        opened = [self._open_span(request, episode.entity) for request in batch]
        try:
            # One call runs the whole batch: it belongs to the span of the first operation.
            result = await self._call(episode, batch, opened[0])
        except UserCodeError as error:
            if len(batch) > 1:
                # The failed batch has changed nothing: run one by one, only the request at fault fails.
                for request in batch:
                    await self._run(episode, [request], spans)
                return
            _log.error("The entity '%s' could not be run: %s", episode.entity.instance_id, error)
            episode.fail(batch, str(error))
            errors: list[str | None] = [str(error)]
        else:
            episode.complete(batch, result)
            self._report(episode, batch, result)
            errors = [operation.result if operation.is_error else None for operation in result.results]
        if self._tracer.is_on:
            now = self._clock.now()
            spans += [
                operation_span(request, episode.entity, span.until(now), problem)
                for request, span, problem in zip(batch, opened, errors, strict=True)
                if span is not None
            ]

    def _open_span(self, request: EntityRequest, entity: EntityId) -> OpenSpan | None:
        name, stored = request_name(request, entity), request.parent_trace_context
        return open_below(self._tracer, stored, name, self._clock.now())

    async def _call(self, episode: EntityEpisode, batch: Sequence[EntityRequest], span: OpenSpan | None) -> BatchResult:
        name = episode.entity.name
        function = self._functions.get(name)
        if function is None:
            raise UserCodeError(unknown_entity(name, self._functions))
        invocation = Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name,
            inputs={function.trigger.name: episode.payload(batch)},
            work=episode.entity.instance_id,
            instance_id=episode.entity.instance_id,
        )
        try:
            outcome = await self._trials.invoke(within(invocation, context_of(span)))
        except FunctionGivenUp as error:
            raise _failed(name, str(error)) from error
        if outcome.failure is not None:
            raise _failed(name, explained(outcome.failure.type_name, outcome.failure.message))
        return parse_batch_result(outcome.return_value or "", len(batch))

    def _report(self, episode: EntityEpisode, batch: Sequence[EntityRequest], result: BatchResult) -> None:
        """Logs failed signals: they have no caller that could get the error."""
        for request, operation in zip(batch, result.results, strict=True):
            if request.is_signal and operation.is_error:
                entity = episode.entity.instance_id
                _log.warning("The signal '%s' to '%s' failed: %s", request.operation, entity, operation.result)


def _is_received(episode: EntityEpisode, event: EventRaised) -> bool:
    try:
        episode.receive(event)
    except PoisonMessage as error:
        entity = episode.entity.instance_id
        _log.error("A message to the entity '%s' cannot be read and is dropped: %s", entity, error)
        return False
    return True


def _refused(episode: EntityEpisode, item: OrchestrationWorkItem, text: str) -> EntityEpisode:
    """The episode after all its requests have failed with this text; messages that cannot be read are left out."""
    rounds = rounds_of(item.history, (received.message.event for received in item.messages))
    for event in chain(*(each.events for each in rounds.stored), rounds.new):
        with suppress(Exception):
            episode.receive(event)
    while batch := episode.take(MAX_ENTITY_BATCH_SIZE):
        episode.fail(batch, text)
    return episode


def _failed(name: str, text: str) -> UserCodeError:
    return UserCodeError(f"Entity function '{name}' failed: {text}")
