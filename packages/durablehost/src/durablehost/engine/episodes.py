"""Runs the episodes of one work item, and combines them into one checkpoint.

A work item may need several: the rest of an episode that a crash cut short, one over all results, those over the
external events that are awaited, and one for each execution that the orchestrator continues as.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace

from durablehost.app.invocation import Invocation
from durablehost.app.model import Function
from durablehost.core.actions import CreateTimer, OrchestratorResult, parse_failure, parse_result
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.episode import Episode, EpisodeResult, failed
from durablehost.core.episode_plan import Deliver, EndAtOnce, EpisodePlan, FinishCutShort
from durablehost.core.episode_spans import spans_of_episode
from durablehost.core.failure_texts import unhandled_details, unhandled_text
from durablehost.core.history import MARKS, EventRaised, ExecutionStarted
from durablehost.core.payload import orchestrator_payload
from durablehost.core.replay import RetryState
from durablehost.core.rewind import rewound_count
from durablehost.core.sdk_errors import explained
from durablehost.core.spans import Span
from durablehost.core.trace_context import TraceContext, work_context
from durablehost.engine.azure_warnings import AzureWarnings
from durablehost.engine.ports import Executor
from durablehost.engine.tracing import Tracer, within
from durablehost.engine.unknown import unknown_orchestrator
from durablehost.errors import UserCodeError
from durablehost.large_text import join_pieces

# Instances of which it is known how many events they take together.
_MOST_APPETITES = 1000
# So many executions continue as new without waiting; then one is stored: others can go on, and it can be terminated.
MOST_CONTINUATIONS = 50


class Appetites:
    """How many events of one name an instance took together when it did not take all that were there."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, instance_id: str) -> int:
        """The number to try; without experience, as many as there are."""
        return self._counts.get(instance_id, sys.maxsize)

    def note(self, instance_id: str, count: int) -> None:
        self.forget(instance_id)
        self._counts[instance_id] = count
        if len(self._counts) > _MOST_APPETITES:
            del self._counts[next(iter(self._counts))]

    def forget(self, instance_id: str) -> None:
        self._counts.pop(instance_id, None)


class Episodes:
    """The episodes of one work item; `episode` is the first of them, before anything has arrived.

    `spans` are those that these episodes end.
    """

    def __init__(
        self,
        executor: Executor,
        functions: Mapping[str, Function],
        episode: Episode,
        warnings: AzureWarnings,
        appetites: Appetites,
        tracer: Tracer,
    ) -> None:
        self._executor = executor
        self._functions = functions
        self._episode = episode
        self._warnings = warnings
        self._appetites = appetites
        self._tracer = tracer
        # The external events that came before what is being delivered.
        self._earlier: Collection[EventRaised] = ()
        self._work = episode.started.orchestration_instance.instance_id
        self._result: OrchestratorResult | None = None
        # The open tasks that retry options repeat, after the latest run of the orchestrator.
        self.retries: Mapping[int, RetryState] = {}
        # The orchestrator has finished, and its execution goes on until all that it has started has ended.
        self.has_finished = False
        self.checkpoint = Checkpoint()
        self.spans: list[Span] = []
        self._has_ended = False

    async def carry_out(self, plan: EpisodePlan) -> tuple[int, ...]:
        """Takes the steps of a plan; returns the positions of the messages to hold."""
        kept = plan.kept
        for step in plan.steps:
            if self._has_ended:
                break
            if isinstance(step, FinishCutShort):
                await self._run(replace(self._episode, arrived=None, states_start=True))
            elif isinstance(step, EndAtOnce):
                self._take(replace(self._episode, arrived=step.arrived).end(step.end))
            elif isinstance(step, MARKS):
                self._take(replace(self._episode, arrived=(step,)).mark())
            elif isinstance(step, Deliver):
                self._earlier = plan.raised.values()
                await self._run(replace(self._episode, arrived=step.arrived))
            else:
                kept = await self._deliver_awaited(step.raised)
        return () if self._has_ended else kept

    @property
    def awaited(self) -> list[str] | None:
        """The names of the external events that are awaited after these episodes; None if that is not known."""
        if self._has_ended or self.has_finished:
            return []
        return None if self._result is None else self._episode.awaited_names(self._result)

    @property
    def event_count(self) -> int:
        """The length of the history that these episodes lead to."""
        return len(self._episode.history)

    @property
    def execution_id(self) -> str | None:
        """The execution that is the current one after these episodes."""
        return self._episode.started.orchestration_instance.execution_id

    async def _deliver_awaited(self, raised: Mapping[int, EventRaised]) -> tuple[int, ...]:
        """Delivers external events while any of them is awaited; returns the positions of the others.

        Often an event is awaited right after the one before it. So the events of one name are tried together. After a
        time when fewer were awaited, the next attempts grow again from that number.
        """
        kept = dict(raised)
        most = self._appetites.of(self._work)
        while kept and not self._has_ended:
            together = self._next_awaited(kept, most)
            if not together:
                return tuple(kept)
            self._earlier = [event for position, event in kept.items() if position < next(iter(together))]
            count = await self._deliver_together(tuple(together.values()))
            for position in tuple(together)[:count]:
                del kept[position]
            if count == len(together):
                most = 2 * most
            elif count:
                most = count
                self._appetites.note(self._work, count)
        self._appetites.forget(self._work)
        return tuple(kept)

    def _next_awaited(self, kept: Mapping[int, EventRaised], most: int) -> Mapping[int, EventRaised]:
        """The first event that is awaited, with the next ones of its name, by position; empty if none is awaited.

        Before the orchestrator has run for this item, its waits are unknown: then the first event is tried.
        """
        for first, event in kept.items():
            if self._result is None or self._awaits(event, self._result):
                same = [position for position, each in kept.items() if position >= first and each.name == event.name]
                return {position: kept[position] for position in same[:most]}
        return {}

    async def _deliver_together(self, events: tuple[EventRaised, ...]) -> int:
        """Runs one episode over as many of these events as meet a wait; returns their number.

        An event that comes before its wait would be given to every later wait of its name. All are of one name, so if
        there are as many waits as events in the end, each wait was there when its event came. If nothing was awaited,
        no event has changed anything, and the waits are known from then on.
        """
        known, self._result = self._result, None
        outcome = await self._outcome(replace(self._episode, arrived=events))
        if self._result is not None:
            count = self._episode.count_awaited(events[0].name, self._result)
            if count >= len(events):
                await self._go_on(outcome)
                return len(events)
            if count <= 0:
                return 0
            self._result = known
            await self._run(replace(self._episode, arrived=events[:count]))
            return count
        # The orchestrator has failed, perhaps for an event that came too early.
        self._result = known
        if known is None:
            self._result = await self._look()
            if self._result is not None:
                return 0
        if len(events) == 1:
            await self._go_on(outcome)
        else:
            await self._run(replace(self._episode, arrived=events[:1]))
        return 1

    def _awaits(self, event: EventRaised, result: OrchestratorResult) -> bool:
        """Whether the orchestrator waits for the event."""
        if self._episode.awaits(event, result):
            return True
        if awaited := self._episode.awaited_in_other_case(event.name, result):
            self._warnings.event_in_other_case(self._episode.started.name, name=event.name, awaited=awaited)
        return False

    async def _run(self, episode: Episode) -> None:
        await self._go_on(await self._outcome(episode))

    async def _go_on(self, outcome: EpisodeResult) -> None:
        """Takes the outcome of an episode, and runs the executions that continue this one as new."""
        self._take(outcome)
        continuations = 0
        while outcome.next_execution is not None:
            episode = self._continue(outcome.next_execution)
            continuations += 1
            if continuations > MOST_CONTINUATIONS:
                self._warnings.continues_without_waiting(episode.started.name, MOST_CONTINUATIONS)
                self._result = None
                outcome = episode.put_off()
            else:
                outcome = await self._outcome(episode)
            self._take(outcome)

    def _continue(self, start: ExecutionStarted) -> Episode:
        """The first episode of the next execution. The outbox of this one is kept; its history is replaced."""
        for event in self._earlier:
            self._warnings.event_carried_over(start.name, event.name)
        update = self.checkpoint.update
        self.checkpoint = self.checkpoint.replaced()
        self._episode = replace(self._episode, started=start, history=(), states_start=True)
        return replace(self._episode, arrived=(start,), carried_status=update.custom_status if update else None)

    def _take(self, outcome: EpisodeResult) -> None:
        self._has_ended = outcome.has_ended
        if self._tracer.is_on:
            episode = self._episode
            self.spans += spans_of_episode(episode.started, episode.history, outcome.checkpoint.new_events)
        if outcome.retries is not None:
            self.retries = outcome.retries
            self.has_finished = bool(outcome.left_open)
        if any(isinstance(task.action, CreateTimer) for task in outcome.left_open):
            self._warnings.timer_left_set(self._episode.started.name)
        self.checkpoint = self.checkpoint.then(outcome.checkpoint)
        self._episode = replace(self._episode, history=self._episode.history + outcome.checkpoint.new_events)

    async def _outcome(self, episode: Episode) -> EpisodeResult:
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
            return episode.end(failed(name, str(error), details=error.details))

    async def _look(self) -> OrchestratorResult | None:
        """Runs the orchestrator to see what it awaits; None if it fails, which the next episode will report."""
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
        invocation = Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name,
            inputs={function.trigger.name: payload},
            work=self._work,
            instance_id=self._work,
        )
        outcome = await self._executor.invoke(within(invocation, _context_of(episode)))
        if outcome.failure is None:
            return parse_result(outcome.return_value or "")
        labelled = parse_failure(outcome.failure.message, outcome.failure.stack)
        if labelled is None:
            error = explained(outcome.failure.type_name, outcome.failure.message)
            stack = outcome.failure.stack
            raise UserCodeError(unhandled_text(error, stack), details=unhandled_details(error, stack))
        return labelled


def _context_of(episode: Episode) -> TraceContext | None:
    """The span that a run of the orchestrator belongs to."""
    if episode.started.parent_trace_context is None:
        return None
    return work_context(episode.started, rewound_count(episode.history))
