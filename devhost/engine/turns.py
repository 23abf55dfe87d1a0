"""The turns that one work item leads to, and the one checkpoint they come to.

A work item may need several: the rest of an episode that a crash cut short, one over all that completed, one for each
external event whose wait has begun, and as many executions as the orchestrator continues as new.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from devhost.app.invocation import Invocation
from devhost.app.model import Function
from devhost.core.actions import OrchestratorResult, parse_failure, parse_result
from devhost.core.checkpoint import Checkpoint
from devhost.core.episode import End, Episode, Turn, failed
from devhost.core.history import EventRaised, ExecutionResumed, ExecutionStarted, ExecutionSuspended, HistoryEvent
from devhost.core.payload import orchestrator_payload
from devhost.core.sdk_errors import explained
from devhost.engine.ports import Executor
from devhost.errors import UserCodeError
from devhost.large_text import join_pieces


class Turns:
    """The turns of one work item, begun with an episode in which nothing has arrived yet."""

    def __init__(self, executor: Executor, functions: Mapping[str, Function], episode: Episode) -> None:
        self._executor = executor
        self._functions = functions
        self._episode = episode
        self._work = episode.started.orchestration_instance.instance_id
        self._result: OrchestratorResult | None = None
        self.checkpoint = Checkpoint()
        self.has_ended = False

    async def finish_cut_short(self) -> None:
        """Decides the rest of an episode of which a crash left only the first rows."""
        await self._run(replace(self._episode, arrived=None, states_start=True))

    async def deliver(self, events: tuple[HistoryEvent, ...]) -> None:
        """One turn over what has arrived together, and one for each execution that goes on in place of this one."""
        await self._run(replace(self._episode, arrived=events))

    async def deliver_if_awaited(self, event: EventRaised) -> bool:
        """A turn for an external event, if the orchestrator waits for it by now; else nothing has happened."""
        if self._result is None:
            # Nothing has been run yet for this item: a run over the stored history tells what is waited for.
            self._result = await self._look()
        awaited = self._episode.awaits(event, self._result) if self._result else event
        if awaited is None:
            return False
        await self.deliver((awaited,))
        return True

    def mark(self, event: ExecutionSuspended | ExecutionResumed) -> None:
        """Records a suspension or a resumption."""
        self._take(replace(self._episode, arrived=(event,)).mark())

    def end(self, events: tuple[HistoryEvent, ...], end: End) -> None:
        """Ends the execution at once."""
        self._take(replace(self._episode, arrived=events).end(end))

    async def _run(self, episode: Episode) -> None:
        turn = await self._turn(episode)
        self._take(turn)
        while turn.next_execution is not None:
            turn = await self._turn(self._continue(turn.next_execution))
            self._take(turn)

    def _continue(self, start: ExecutionStarted) -> Episode:
        """The first episode of the next execution. What the one before has sent is sent; its history is replaced."""
        update = self.checkpoint.update
        self.checkpoint = replace(self.checkpoint, new_events=(), update=None)
        self._episode = replace(self._episode, started=start, history=(), states_start=True)
        return replace(self._episode, arrived=(start,), carried_status=update.custom_status if update else None)

    def _take(self, turn: Turn) -> None:
        self.has_ended = turn.has_ended
        self.checkpoint = self.checkpoint.then(turn.checkpoint)
        self._episode = replace(self._episode, history=self._episode.history + turn.checkpoint.new_events)

    async def _turn(self, episode: Episode) -> Turn:
        name = episode.started.name
        try:
            function = self._function(name)
            result = await self._call(function, episode)
            ordered = episode.numberable(result)
            if ordered.arrived != episode.arrived:
                episode, result = ordered, await self._call(function, ordered)
            self._result = result
            return episode.complete(result)
        except UserCodeError as error:
            return episode.end(failed(name, str(error)))

    async def _look(self) -> OrchestratorResult | None:
        """What the orchestrator waits for now; None where it fails, which the turn that follows will tell."""
        try:
            return await self._call(self._function(self._episode.started.name), replace(self._episode, arrived=None))
        except UserCodeError:
            return None

    def _function(self, name: str) -> Function:
        function = self._functions.get(name.lower())
        if function is None:
            raise UserCodeError(unknown_orchestrator(name, self._functions))
        return function

    async def _call(self, function: Function, episode: Episode) -> OrchestratorResult:
        payload = await join_pieces(orchestrator_payload(episode.started, episode.events))
        outcome = await self._executor.invoke(
            Invocation(
                invocation_id=str(uuid.uuid4()),
                function_name=function.name,
                inputs={function.trigger.name: payload},
                work=self._work,
            )
        )
        if outcome.failure is None:
            return parse_result(outcome.return_value or "")
        labelled = parse_failure(outcome.failure.message)
        if labelled is None:
            raise UserCodeError(explained(outcome.failure.type_name, outcome.failure.message))
        return labelled


def unknown_orchestrator(name: str, functions: Mapping[str, Function]) -> str:
    """The extension's words for a name under which no orchestrator is registered."""
    names = ", ".join(f"'{function.registered_name}'" for function in functions.values())
    known = f"The following are the known orchestrator functions: {names}." if names else ""
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
        f"{known or 'No orchestrator functions are currently registered!'}"
    )
