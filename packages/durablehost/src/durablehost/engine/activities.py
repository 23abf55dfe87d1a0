"""Runs activities: one request in, the function called, one result stored. At least once, never at most once.

Mirrors TaskActivityDispatcher and TaskActivityShim.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from durablehost.app.invocation import Failure, Invocation
from durablehost.app.model import Function
from durablehost.clock import Clock
from durablehost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from durablehost.core.failure_texts import http_details, problem_details, raised_details
from durablehost.core.history import HistoryEvent, TaskCompleted, TaskFailed, TaskScheduled
from durablehost.core.payload import activity_argument, normalize_result
from durablehost.core.spans import Place, Span, SpanKind, activity_name, activity_span
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.last_resort import one_sentence
from durablehost.engine.ports import ActivityWorkItem, Executor, ReceivedMessage, TaskHub
from durablehost.engine.tracing import NO_TRACES, OpenSpan, Tracer, context_of, open_below, within
from durablehost.engine.trials import Trials
from durablehost.engine.unknown import unknown_activity
from durablehost.errors import FunctionGivenUp, PayloadTooLarge
from durablehost.large_text import call_on_text


class Activities:
    """The work source of activities.

    `functions` holds the activities by registered name in lower case. `starts` is told when each begins to run, and
    the inputs of those that fail.
    """

    name = "activities"

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        functions: Mapping[str, Function],
        clock: Clock,
        starts: ActivityStarts | None = None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._hub = hub
        self._trials = Trials(executor)
        self._functions = functions
        self._clock = clock
        self._starts = starts or ActivityStarts()
        self._tracer = tracer

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
        """Stores the result of one request. Raises what the two seams raise."""
        request = cast(TaskScheduled, item.received.message.event)
        self._starts.note(item.received.message.target.instance_id, request.event_id, self._clock.now())
        self._trials.begin(item.received.message_id, [item.received])
        span = open_below(self._tracer, request.parent_trace_context, activity_name(request), self._clock.now())
        event = await self._run(request, item.received, span)
        if isinstance(event, TaskFailed):
            self._starts.note_failure(item.received.message.target.instance_id, request.event_id, request.input)
        try:
            await self._complete(item, event)
        except PayloadTooLarge as error:
            event = self._failed(request, str(error))
            await self._complete(item, event)
        self._trials.done(item.received.message_id)
        if self._tracer.is_on and span is not None:
            self._tracer.record([_finished(item, event, span.until(event.timestamp))])

    async def give_up(self, item: ActivityWorkItem, error: Exception) -> None:
        """Fails a task that cannot be processed, or whose result cannot be stored."""
        request = cast(TaskScheduled, item.received.message.event)
        await self._complete(item, self._failed(request, one_sentence(error)))
        self._trials.done(item.received.message_id)

    async def _complete(self, item: ActivityWorkItem, event: HistoryEvent) -> None:
        request = item.received.message
        result = replace(request, event=event, sender=request.target)
        await self._hub.complete_activity(item, result)

    async def _run(self, request: TaskScheduled, received: ReceivedMessage, span: OpenSpan | None) -> HistoryEvent:
        invocation = self._invocation(request, received)
        if invocation is None:
            return self._failed(request, unknown_activity(request.name, self._functions))
        try:
            outcome = await self._trials.invoke(within(invocation, context_of(span)))
            value = outcome.return_value
            result = None if value is None else await call_on_text(normalize_result, value)
        except FunctionGivenUp as error:
            return self._failed(request, str(error))
        if outcome.failure is not None:
            return self._raised(request, outcome.failure)
        return TaskCompleted(timestamp=self._clock.now(), task_scheduled_id=request.event_id, result=result)

    def _invocation(self, request: TaskScheduled, received: ReceivedMessage) -> Invocation | None:
        """The invocation that the request asks for; None if there is no such activity."""
        function = self._functions.get(request.name.lower())
        if function is None and request.name != HTTP_ACTIVITY:
            return None
        return Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name if function else HTTP_ACTIVITY,
            inputs={function.trigger.name if function else HTTP_INPUT: activity_argument(request.input)},
            work=received.message_id,
            instance_id=received.message.target.instance_id,
            task_id=request.event_id,
        )

    def _raised(self, request: TaskScheduled, failure: Failure) -> TaskFailed:
        """The result of a function that raised an error, or of an HTTP request that got no response."""
        if request.name == HTTP_ACTIVITY:
            return self._task_failed(request, failure.message, http_details(failure.message))
        error = f"{failure.type_name}: {failure.message}"
        # The original cuts off the label before the error, but not the blank after the label.
        text = f" {error}"
        return self._task_failed(request, _reason(request, text), raised_details(text, error, failure.stack))

    def _failed(self, request: TaskScheduled, problem: str) -> TaskFailed:
        return self._task_failed(request, _reason(request, problem), problem_details(problem))

    def _task_failed(self, request: TaskScheduled, reason: str, details: str) -> TaskFailed:
        return TaskFailed(
            timestamp=self._clock.now(), task_scheduled_id=request.event_id, reason=reason, details=details
        )


def _finished(item: ActivityWorkItem, event: HistoryEvent, place: Place) -> Span:
    request = cast(TaskScheduled, item.received.message.event)
    error = (event.reason or "") if isinstance(event, TaskFailed) else None
    return activity_span(request, item.received.message.target.instance_id, SpanKind.SERVER, place, error)


def _reason(request: TaskScheduled, text: str) -> str:
    return f"Activity function '{request.name}' failed: {text}"
