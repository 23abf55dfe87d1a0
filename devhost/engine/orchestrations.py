"""Moves orchestrations on: one work item in, the orchestrator function run, one checkpoint stored.

What an episode comes to is decided in the core; here are only the calls over the two seams, in their order. Mirrors
TaskOrchestrationDispatcher and the admission part of AzureStorageOrchestrationService.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from devhost.app.invocation import Invocation
from devhost.app.model import Function
from devhost.clock import Clock
from devhost.core.actions import OrchestratorResult, parse_failure, parse_result
from devhost.core.checkpoint import Checkpoint, InstanceUpdate
from devhost.core.episode import Episode, failed, terminated
from devhost.core.history import ExecutionCompleted, ExecutionStarted, ExecutionTerminated, HistoryEvent
from devhost.core.payload import orchestrator_payload
from devhost.core.state import Admission, OrchestrationState, admit, fold
from devhost.core.status import RuntimeStatus
from devhost.engine.ports import Executor, InstanceRecord, OrchestrationWorkItem, TaskHub
from devhost.errors import UserCodeError


class Orchestrations:
    """The work source of orchestrations. `functions` holds the orchestrators by registered name in lower case."""

    name = "orchestrations"

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        functions: Mapping[str, Function],
        clock: Clock,
        *,
        max_actions: int = 100_000,
        stores_inputs: bool = False,
    ) -> None:
        self._hub = hub
        self._executor = executor
        self._functions = functions
        self._clock = clock
        self._max_actions = max_actions
        self._stores_inputs = stores_inputs

    async def fetch(self) -> OrchestrationWorkItem:
        return await self._hub.fetch_orchestration()

    async def abandon(self, item: OrchestrationWorkItem) -> None:
        await self._hub.abandon_orchestration(item)

    async def renew(self, item: OrchestrationWorkItem) -> None:
        await self._hub.renew_orchestration(item)

    def describe(self, item: OrchestrationWorkItem) -> str:
        return f"instance '{item.instance_id}'"

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        state = fold(item.history)
        admission = admit(state, [(received.message, received.dequeue_count) for received in item.messages])
        if admission.delivered or state.is_episode_open:
            checkpoint = await self._advance(item, state, admission)
        else:
            checkpoint = await self._repair(item, state)
        deferred = [item.messages[position] for position in admission.deferred]
        await self._hub.complete_orchestration(item, checkpoint, deferred)

    async def _advance(
        self, item: OrchestrationWorkItem, state: OrchestrationState, admission: Admission
    ) -> Checkpoint:
        """Finishes an episode that a crash cut short, where there is one, then runs one over what was admitted."""
        started = state.started or next(e for e in admission.delivered if isinstance(e, ExecutionStarted))
        episode = Episode(
            started=started,
            history=item.history,
            arrived=None,
            now=self._clock.now(),
            max_actions=self._max_actions,
            stores_inputs=self._stores_inputs,
            states_start=_brings_start(item),
        )
        rest = Checkpoint()
        if state.is_episode_open:
            rest = await self._turn(replace(episode, states_start=True))
            has_ended = any(isinstance(event, ExecutionCompleted) for event in rest.new_events)
            if has_ended or not admission.delivered:
                return rest
        history = (*item.history, *rest.new_events)
        episode = replace(episode, history=history, arrived=admission.delivered)
        return rest.then(await self._turn(episode, admission.termination))

    async def _turn(self, episode: Episode, termination: ExecutionTerminated | None = None) -> Checkpoint:
        if termination is not None:
            return episode.end(terminated(termination))
        name = episode.started.name
        try:
            function = self._functions.get(name.lower())
            if function is None:
                raise UserCodeError(unknown_orchestrator(name, self._functions))
            result = await self._run(function, episode)
            ordered = episode.numberable(result)
            if ordered.arrived != episode.arrived:
                episode, result = ordered, await self._run(function, ordered)
            return episode.complete(result)
        except UserCodeError as error:
            return episode.end(failed(name, str(error)))

    async def _run(self, function: Function, episode: Episode) -> OrchestratorResult:
        payload = orchestrator_payload(episode.started, episode.events)
        outcome = await self._executor.invoke(
            Invocation(
                invocation_id=str(uuid.uuid4()),
                function_name=function.name,
                inputs={function.trigger.name: payload},
            )
        )
        if outcome.failure is None:
            return parse_result(outcome.return_value or "")
        labelled = parse_failure(outcome.failure.message)
        if labelled is None:
            raise UserCodeError(f"{outcome.failure.type_name}: {outcome.failure.message}")
        return labelled

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
        return Checkpoint(update=_restated(state.started, state.status, item.history))

    def _ended_before_start(self, record: InstanceRecord, termination: ExecutionTerminated) -> InstanceUpdate:
        return InstanceUpdate(
            execution_id=record.execution_id or "",
            last_updated_at=termination.timestamp,
            runtime_status=RuntimeStatus.TERMINATED,
            output=termination.input,
            completed_at=self._clock.now(),
        )


def unknown_orchestrator(name: str, functions: Mapping[str, Function]) -> str:
    """The extension's words for a name under which no orchestrator is registered."""
    names = ", ".join(f"'{function.registered_name}'" for function in functions.values())
    known = f"The following are the known orchestrator functions: {names}." if names else ""
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
        f"{known or 'No orchestrator functions are currently registered!'}"
    )


def _brings_start(item: OrchestrationWorkItem) -> bool:
    return any(isinstance(received.message.event, ExecutionStarted) for received in item.messages)


def _restated(started: ExecutionStarted, status: RuntimeStatus, history: tuple[HistoryEvent, ...]) -> InstanceUpdate:
    completed = next((event for event in reversed(history) if isinstance(event, ExecutionCompleted)), None)
    return InstanceUpdate(
        execution_id=started.orchestration_instance.execution_id or "",
        last_updated_at=history[-1].timestamp,
        started=started,
        runtime_status=status,
        output=completed.result if completed else None,
        completed_at=completed.timestamp if completed else None,
    )
