"""Moves entities on: one work item in, the entity function run over what was asked of it, one checkpoint stored.

What a turn comes to is decided in the core; here are only the calls over the two seams. A run that fails as a whole
fails those who called, where the original would try for ever. Mirrors the dispatching part of TaskEntityShim.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from devhost.app.invocation import Invocation
from devhost.app.model import Function
from devhost.clock import Clock
from devhost.core.checkpoint import Checkpoint
from devhost.core.entities import REORDER_WINDOW_SECONDS, EntityTurn
from devhost.core.entity_messages import Request
from devhost.core.entity_result import BatchResult, parse_batch_result
from devhost.core.history import EventRaised, OrchestrationInstance
from devhost.core.sdk_errors import explained
from devhost.core.state import OrchestrationState, fold
from devhost.core.status import RuntimeStatus
from devhost.engine.entity_control import repair, status_checkpoint, wanted_status
from devhost.engine.ports import Executor, OrchestrationWorkItem, TaskHub
from devhost.engine.trials import Trials
from devhost.errors import FunctionGivenUp, PoisonMessage, StaleCheckpoint, StorageUnavailable, UserCodeError

MAX_BATCH_SIZE = 5000

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
        max_batch_size: int = MAX_BATCH_SIZE,
        reorder_window_seconds: float = REORDER_WINDOW_SECONDS,
    ) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock
        self._max_batch_size = max_batch_size
        self._reorder_window_seconds = reorder_window_seconds

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        state = fold(item.history)
        events = [each.message.event for each in item.messages]
        raised = [event for event in events if isinstance(event, EventRaised)]
        wanted = wanted_status(state, events)
        self._trials.begin(item.instance_id, item.messages)
        if raised and wanted in (RuntimeStatus.PENDING, RuntimeStatus.RUNNING):
            # A new execution: whatever the one before was, this one runs.
            checkpoint = await self._turn(item, raised)
        else:
            checkpoint = await self._control(item, state, wanted)
        is_waiting = wanted is RuntimeStatus.SUSPENDED
        await self._hub.complete_orchestration(
            item,
            checkpoint,
            held=[each for each in item.messages if is_waiting and isinstance(each.message.event, EventRaised)],
        )
        self._trials.done(item.instance_id)

    async def give_up(self, item: OrchestrationWorkItem, problem: str) -> None:
        """Answers those who called an entity that cannot be carried on; its state stays as it was.

        If that state is what cannot be read or stored, only the answers are stored.
        """
        text = f"Entity '{item.instance_id}' failed: {problem}"
        try:
            turn = self._begin(item)
            checkpoint = _refused(turn, item, text).checkpoint()
            await self._hub.complete_orchestration(item, checkpoint)
        except (StorageUnavailable, StaleCheckpoint):
            raise
        except Exception:
            turn = self._begin(replace(item, history=()))
            answers = _refused(turn, item, text).checkpoint().outbox
            await self._hub.complete_orchestration(item, Checkpoint(outbox=answers))

    async def _control(
        self, item: OrchestrationWorkItem, state: OrchestrationState, wanted: RuntimeStatus
    ) -> Checkpoint:
        """Records the end, the suspension or the resumption of an entity, or what of them a crash left undone."""
        events = [each.message.event for each in item.messages]
        if state.started is not None and wanted is not state.status:
            return status_checkpoint(item, state.started, events, self._clock.now())
        if wanted.is_terminal and any(isinstance(event, EventRaised) for event in events):
            _log.warning(
                "The entity '%s' has been terminated: what is asked of it is dropped until it is purged",
                item.instance_id,
            )
        return repair(await self._hub.get_instance(item.instance_id), state, item.history)

    async def _turn(self, item: OrchestrationWorkItem, events: Sequence[EventRaised]) -> Checkpoint:
        turn = self._begin(item)
        for event in events:
            try:
                turn.receive(event)
            except PoisonMessage as error:
                _log.error("A message to the entity '%s' cannot be read and is dropped: %s", item.instance_id, error)
        # One by one after a crash, so that only the request that causes it fails in the end.
        most = 1 if self._trials.has_crashed(item.instance_id) else self._max_batch_size
        while batch := turn.take(most):
            await self._run(turn, batch)
        return turn.checkpoint()

    def _begin(self, item: OrchestrationWorkItem) -> EntityTurn:
        return EntityTurn(
            OrchestrationInstance(instance_id=item.instance_id, execution_id=uuid.uuid4().hex),
            item.history,
            now=self._clock.now(),
            reorder_window_seconds=self._reorder_window_seconds,
        )

    async def _run(self, turn: EntityTurn, batch: Sequence[Request]) -> None:
        try:
            result = await self._call(turn, batch)
        except UserCodeError as error:
            if len(batch) > 1:
                # Nothing of the batch has been taken into the state; only the request at fault is to fail.
                for request in batch:
                    await self._run(turn, [request])
                return
            _log.error("The entity '%s' could not be run: %s", turn.entity.instance_id, error)
            turn.fail(batch, str(error))
        else:
            turn.complete(batch, result)
            self._report(turn, batch, result)

    async def _call(self, turn: EntityTurn, batch: Sequence[Request]) -> BatchResult:
        name = turn.entity.name
        function = self._functions.get(name)
        if function is None:
            raise UserCodeError(unknown_entity(name, self._functions))
        invocation = Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name,
            inputs={function.trigger.name: turn.payload(batch)},
            work=turn.entity.instance_id,
        )
        try:
            outcome = await self._trials.invoke(invocation)
        except FunctionGivenUp as error:
            raise _failed(name, str(error)) from error
        if outcome.failure is not None:
            raise _failed(name, explained(outcome.failure.type_name, outcome.failure.message))
        return parse_batch_result(outcome.return_value or "", len(batch))

    def _report(self, turn: EntityTurn, batch: Sequence[Request], result: BatchResult) -> None:
        """Nobody is told of a failed signal but the developer."""
        for request, operation in zip(batch, result.results, strict=True):
            if request.is_signal and operation.is_error:
                entity = turn.entity.instance_id
                _log.warning("The signal '%s' to '%s' failed: %s", request.operation, entity, operation.result)


def _refused(turn: EntityTurn, item: OrchestrationWorkItem, text: str) -> EntityTurn:
    """The turn after all that was asked has been answered with an error; what cannot be read is left out."""
    for received in item.messages:
        if isinstance(received.message.event, EventRaised):
            with suppress(Exception):
                turn.receive(received.message.event)
    while batch := turn.take(MAX_BATCH_SIZE):
        turn.fail(batch, text)
    return turn


def unknown_entity(name: str, functions: Mapping[str, Function]) -> str:
    """The extension's words for a name under which no entity function is registered."""
    names = ", ".join(f"'{function.registered_name}'" for function in functions.values())
    known = f"The following are the known entity functions: {names}." if names else ""
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an entity function. Additional info: "
        f"{known or 'No entity functions are currently registered!'}"
    )


def _failed(name: str, text: str) -> UserCodeError:
    return UserCodeError(f"Entity function '{name}' failed: {text}")
