"""Gathers the facts for an explanation from a hub. Rule of this file: it only reads and peeks.

The parts are read one after another while hosts work. If the record has changed meanwhile, they are read again: mixed
facts would show lost messages where there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from durablehost.app.event_names import event_names
from durablehost.clock import Clock
from durablehost.core.history import HistoryEvent, SubOrchestrationInstanceCreated, TaskScheduled
from durablehost.core.ids import is_entity_id
from durablehost.core.open_work import OpenWork, open_work
from durablehost.core.state import fold
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.explanation import AppFunctions, Explanation, Facts
from durablehost.engine.ports import InstanceRecord, TaskHub
from durablehost.engine.reasons import explain, explain_end
from durablehost.errors import UnreadableState

_MAX_READS = 3
# The records of awaited children and entities that are read: no sentence names more.
_MOST_RELATED = 3


class Explainer:
    """Explains the instances of one hub. `app` None: the functions of the hub's app are not known."""

    def __init__(
        self,
        hub: TaskHub,
        clock: Clock,
        *,
        awaited: AwaitedEvents,
        starts: ActivityStarts,
        app: AppFunctions | None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._awaited = awaited
        self._starts = starts
        self._app = app

    async def explain(self, instance_id: str) -> Explanation | None:
        """Why an instance does not go on, or how it has ended; None if there is no such instance."""
        facts = None
        for _ in range(_MAX_READS):
            record = await self._hub.peek_instance(instance_id)
            if record is not None and record.runtime_status.is_finished:
                # With its output, which may be large.
                record = await self._hub.get_instance(instance_id)
            if record is None:
                return None
            if record.runtime_status.is_finished:
                return explain_end(record, self._clock.now())
            facts = await self._facts(record)
            if facts.is_settled:
                break
        return explain(facts) if facts else None

    async def _facts(self, record: InstanceRecord) -> Facts:
        instance_id = record.instance_id
        history, problem = await self._history(record)
        state = fold(history)
        history_key = instance_id, state.execution_id, len(history)
        awaited = self._awaited.of(*history_key)
        history = tuple(_with_inputs(history, self._starts.failed_inputs(instance_id)))
        work = open_work(history, self._awaited.retries_of(*history_key))
        surroundings = await self._hub.look_around(instance_id)
        related = await self._related(work)
        latest = await self._hub.peek_instance(instance_id)
        return Facts(
            now=self._clock.now(),
            record=record,
            state=state,
            work=work,
            surroundings=surroundings,
            history=history,
            history_problem=problem,
            is_settled=latest is not None and _version(latest) == _version(record),
            awaited=awaited,
            has_finished=self._awaited.has_finished(*history_key),
            names_in_code=await self._names_in_code(record.name) if awaited is None and work.has_timers_at_most else (),
            related=related,
            app=self._app,
        )

    async def _history(self, record: InstanceRecord) -> tuple[tuple[HistoryEvent, ...], str | None]:
        """The history, and why it cannot be read. That of an entity is not needed."""
        if is_entity_id(record.instance_id):
            return (), None
        try:
            return await self._hub.read_history(record.instance_id), None
        except UnreadableState as error:
            return (), str(error)

    async def _names_in_code(self, orchestrator: str) -> tuple[str, ...]:
        function = self._app.orchestrators.get(orchestrator.lower()) if self._app else None
        return await asyncio.to_thread(event_names, function.script_file) if function else ()

    async def _related(self, work: OpenWork) -> Mapping[str, InstanceRecord | None]:
        wanted = islice(dict.fromkeys(_awaited_instances(work)), _MOST_RELATED)
        return {instance_id: await self._hub.peek_instance(instance_id) for instance_id in wanted}


def _with_inputs(history: tuple[HistoryEvent, ...], inputs: Mapping[int, str]) -> Iterator[HistoryEvent]:
    """The events with the inputs that most histories do not have."""
    for event in history:
        if isinstance(event, TaskScheduled) and event.input is None and event.event_id in inputs:
            yield replace(event, input=inputs[event.event_id])
        else:
            yield event


def _awaited_instances(work: OpenWork) -> Iterator[str]:
    for attempt in work.attempts:
        if isinstance(attempt.work, SubOrchestrationInstanceCreated):
            yield attempt.work.instance_id
    for sent, request in work.requests:
        yield from (entity.instance_id for entity in request.lock_set) if request.is_lock else (sent.instance_id,)


def _version(record: InstanceRecord) -> tuple[object, ...]:
    return record.execution_id, record.runtime_status, record.last_updated_at
