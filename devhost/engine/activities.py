"""Runs activities: one request in, the function called, one reply stored. At least once, never at most once.

Mirrors TaskActivityDispatcher and TaskActivityShim.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import cast

from devhost.app.invocation import Failure, Invocation
from devhost.app.model import Function
from devhost.clock import Clock
from devhost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from devhost.core.history import HistoryEvent, TaskCompleted, TaskFailed, TaskScheduled
from devhost.core.messages import TaskMessage
from devhost.core.payload import activity_argument, normalize_result
from devhost.engine.last_resort import one_sentence
from devhost.engine.ports import ActivityWorkItem, Executor, TaskHub
from devhost.engine.trials import Trials
from devhost.errors import FunctionGivenUp, PayloadTooLarge
from devhost.large_text import call_on_text


class Activities:
    """The work source of activities. `functions` holds the activities by registered name in lower case."""

    name = "activities"

    def __init__(self, hub: TaskHub, executor: Executor, functions: Mapping[str, Function], clock: Clock) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock

    async def fetch(self) -> ActivityWorkItem:
        return await self._hub.fetch_activity()

    async def abandon(self, item: ActivityWorkItem) -> None:
        await self._hub.abandon_activity(item)

    async def renew(self, item: ActivityWorkItem) -> None:
        await self._hub.renew_activity(item)

    def describe(self, item: ActivityWorkItem) -> str:
        message = item.received.message
        request = cast(TaskScheduled, message.event)
        return f"activity '{request.name}' (task {request.event_id} of '{message.target.instance_id}')"

    def message_ids(self, item: ActivityWorkItem) -> list[str]:
        return [item.received.message_id]

    async def process(self, item: ActivityWorkItem) -> None:
        """Stores the reply to one request. Raises what the two seams raise."""
        request = cast(TaskScheduled, item.received.message.event)
        self._trials.begin(item.received.message_id, [item.received])
        event = await self._answer(request, item.received.message_id)
        try:
            await self._reply(item, event)
        except PayloadTooLarge as error:
            await self._reply(item, self._failed(request, f" {error}", ""))
        self._trials.done(item.received.message_id)

    async def give_up(self, item: ActivityWorkItem, error: Exception) -> None:
        """Fails a task that cannot be carried out, or whose result cannot be stored."""
        request = cast(TaskScheduled, item.received.message.event)
        await self._reply(item, self._failed(request, f" {one_sentence(error)}", ""))

    async def _reply(self, item: ActivityWorkItem, event: HistoryEvent) -> None:
        request = item.received.message
        reply = TaskMessage(event=event, target=request.target, sender=request.target, episode=request.episode)
        await self._hub.complete_activity(item, reply)

    async def _answer(self, request: TaskScheduled, message_id: str) -> HistoryEvent:
        invocation = self._invocation(request, message_id)
        if invocation is None:
            return self._failed(request, f" Activity function '{request.name}' does not exist.", "")
        try:
            outcome = await self._trials.invoke(invocation)
            value = outcome.return_value
            result = None if value is None else await call_on_text(normalize_result, value)
        except FunctionGivenUp as error:
            return self._failed(request, f" {error}", "")
        if outcome.failure is not None:
            return self._failed(request, _text_of(outcome.failure), outcome.failure.stack)
        return TaskCompleted(timestamp=self._clock.now(), task_scheduled_id=request.event_id, result=result)

    def _invocation(self, request: TaskScheduled, message_id: str) -> Invocation | None:
        """The call that the request asks for; None where there is no such activity."""
        function = self._functions.get(request.name.lower())
        if function is None and request.name != HTTP_ACTIVITY:
            return None
        return Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name if function else HTTP_ACTIVITY,
            inputs={function.trigger.name if function else HTTP_INPUT: activity_argument(request.input)},
            work=message_id,
        )

    def _failed(self, request: TaskScheduled, text: str, details: str) -> TaskFailed:
        return TaskFailed(
            timestamp=self._clock.now(),
            task_scheduled_id=request.event_id,
            reason=f"Activity function '{request.name}' failed:{text}",
            details=details or text.strip(),
        )


def _text_of(failure: Failure) -> str:
    """With two blanks in front, as upstream, which cuts the text behind a label without its trailing blank."""
    return f"  {failure.type_name}: {failure.message}"
