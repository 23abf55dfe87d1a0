"""The operations of a client on the instances of a task hub, behind the management API.

Mirrors DurableClient of the extension and TaskHubClient of DurableTask.Core.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from durablehost.app.model import Function
from durablehost.clock import Clock
from durablehost.core.call_arguments import MAX_TEXT_LENGTH
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
)
from durablehost.core.history_json import format_time
from durablehost.core.ids import instance_id_problem, is_entity_id
from durablehost.core.messages import TaskMessage
from durablehost.core.payload import input_problem
from durablehost.core.spans import creation_name, creation_span, event_name, event_span
from durablehost.core.status import FINISHED, RuntimeStatus
from durablehost.core.trace_context import TraceContext, stored_context
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.entity_client import EntityClient
from durablehost.engine.explaining import Explainer
from durablehost.engine.explanation import AppFunctions, Explanation
from durablehost.engine.ports import InstancePage, InstanceQuery, InstanceRecord, TaskHub
from durablehost.engine.shared_reads import SharedReads
from durablehost.engine.tracing import NO_TRACES, Tracer, context_of, open_span
from durablehost.engine.unknown import unknown_orchestrator
from durablehost.errors import DurableHostError, RequestError, StaleCheckpoint, UnreadableState
from durablehost.large_text import call_on_text

_PURGE_PAGE_SIZE = 100

_log = logging.getLogger("Host.Engine")


class OrchestrationClient:
    """Operations on the instances of one hub.

    `functions` holds the orchestrators by registered name in lower case; None: any name is accepted. `overridable`: the
    statuses in which an existing instance is replaced by a new start under its id. `entities` is the client for
    entities, whose functions are `entity_functions`; None: any name is accepted. For explanations, `awaited` is
    what orchestrators of this process wait for, `starts` what it knows of activities, and `app` are all functions;
    None: they are not known. `on_purged` is called with the id of each instance that is removed. Where a method takes
    a `trace`, that is the context of the caller; None: what the operation begins is a trace of its own.
    """

    def __init__(
        self,
        hub: TaskHub,
        functions: Mapping[str, Function] | None,
        clock: Clock,
        *,
        entity_functions: Mapping[str, Function] | None = MappingProxyType({}),
        overridable: frozenset[RuntimeStatus] = FINISHED,
        default_version: str | None = None,
        awaited: AwaitedEvents | None = None,
        starts: ActivityStarts | None = None,
        app: AppFunctions | None = None,
        on_purged: Callable[[str], None] = lambda instance_id: None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self.entities = EntityClient(hub, entity_functions, clock, tracer)
        self._hub = hub
        self._functions = functions
        self._clock = clock
        self._tracer = tracer
        self._on_purged = on_purged
        self._overridable = overridable
        self._default_version = default_version
        self._records = SharedReads(hub.peek_instance)
        self._explainer = Explainer(
            hub, clock, awaited=awaited or AwaitedEvents(), starts=starts or ActivityStarts(), app=app
        )

    async def start(
        self,
        name: str,
        *,
        instance_id: str | None = None,
        input_text: str | None = None,
        version: str | None = None,
        trace: TraceContext | None = None,
    ) -> str:
        """Starts an instance and returns its id; on return the start survives a crash. `input_text` is JSON text.

        Raises:
            RequestError: 400, for an unknown orchestrator, or an id or a version that is not allowed.
            InstanceExists: an instance with this id must not be replaced.
        """
        registered_name = self._registered_name(name)
        if instance_id and (problem := instance_id_problem(instance_id)):
            raise RequestError(400, problem)
        if version is not None and len(version) > MAX_TEXT_LENGTH:
            raise RequestError(400, f"Versions must not exceed {MAX_TEXT_LENGTH} characters.")
        instance = OrchestrationInstance(instance_id=instance_id or uuid.uuid4().hex, execution_id=uuid.uuid4().hex)
        started = ExecutionStarted(
            timestamp=self._clock.now(),
            orchestration_instance=instance,
            name=registered_name,
            version=version if version is not None else self._default_version,
            input=input_text,
        )
        await self._start(started, trace)
        if input_text and (problem := await call_on_text(input_problem, input_text)):
            _log.warning("The input of the instance '%s' of '%s': %s.", instance.instance_id, registered_name, problem)
        return instance.instance_id

    async def _start(self, started: ExecutionStarted, trace: TraceContext | None) -> None:
        span = open_span(self._tracer, trace, creation_name(started), started.timestamp)
        traced = replace(started, parent_trace_context=stored_context(context_of(span)))
        error: str | None = None
        try:
            message = TaskMessage(event=traced, target=started.orchestration_instance)
            await self._hub.start_instance(message, overridable=self._overridable)
        except DurableHostError as problem:
            error = str(problem)
            raise
        finally:
            if self._tracer.is_on and span is not None:
                self._tracer.record([creation_span(started, span.until(self._clock.now()), error)])

    def _registered_name(self, name: str) -> str:
        if self._functions is None:
            return name
        function = self._functions.get(name.lower())
        if function is None:
            raise RequestError(400, unknown_orchestrator(name, self._functions))
        return function.registered_name

    async def get(self, instance_id: str) -> InstanceRecord | None:
        return await self._hub.get_instance(instance_id)

    async def peek(self, instance_id: str) -> InstanceRecord | None:
        """The record of an instance without its large payloads, which are only references; None if there is none."""
        return await self._hub.peek_instance(instance_id)

    async def list(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None = None,
        with_input: bool = True,
        with_payloads: bool = True,
    ) -> InstancePage:
        return await self._hub.list_instances(
            query,
            page_size=page_size,
            continuation_token=continuation_token,
            with_input=with_input,
            with_payloads=with_payloads,
        )

    async def history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        return await self._hub.read_history(instance_id)

    async def explain(self, instance_id: str) -> Explanation | None:
        """Why an instance does not go on, or how it has ended; None if there is no such instance.

        Only reads and peeks. Costs a read of the history.
        """
        return await self._explainer.explain(instance_id)

    async def terminate(self, instance_id: str, reason: str | None) -> None:
        """Asks for the end of an instance; it ends at its next episode.

        Raises:
            RequestError: 404 if it is unknown, 410 if it has ended already.
        """
        await self.get_active(instance_id)
        await self._send(instance_id, ExecutionTerminated(timestamp=self._clock.now(), input=reason))

    async def raise_event(
        self, instance_id: str, name: str, input_text: str | None, *, trace: TraceContext | None = None
    ) -> None:
        """Sends an event to an instance; it is kept until the orchestrator waits for it. `input_text` is JSON text.

        Raises:
            RequestError: 404 if the instance is unknown, 410 if it has ended already.
        """
        await self.get_active(instance_id)
        now = self._clock.now()
        span = open_span(self._tracer, trace, event_name(name), now)
        context = stored_context(context_of(span))
        event = EventRaised(timestamp=now, name=name, input=input_text, parent_trace_context=context)
        await self._send(instance_id, event)
        if self._tracer.is_on and span is not None:
            self._tracer.record([event_span(name, instance_id, span.until(self._clock.now()))])

    async def suspend(self, instance_id: str, reason: str | None) -> None:
        """Asks an instance to pause: its messages wait until it is resumed.

        Raises:
            RequestError: 404 if it is unknown, 410 if it has ended, 500 (as upstream) if it is suspended.
        """
        record = await self.get_active(instance_id)
        if record.runtime_status is RuntimeStatus.SUSPENDED:
            raise _not_now("suspend", record)
        await self._send(instance_id, ExecutionSuspended(timestamp=self._clock.now(), reason=reason))

    async def resume(self, instance_id: str, reason: str | None) -> None:
        """Asks a suspended instance to go on.

        Raises:
            RequestError: 404 if it is unknown, 410 if it has ended, 500 (as upstream) if it is not suspended.
        """
        record = await self.get_active(instance_id)
        if record.runtime_status is not RuntimeStatus.SUSPENDED:
            raise _not_now("resume", record)
        await self._send(instance_id, ExecutionResumed(timestamp=self._clock.now(), reason=reason))

    async def rewind(self, instance_id: str, reason: str) -> None:
        """Makes a failed instance repeat what has failed, including its failed sub-orchestrations.

        Completes an interrupted rewind of an instance that is running again.

        Raises:
            RequestError: 404 if it is unknown, 412 if it has not failed, changes meanwhile, or cannot be run again.
        """
        try:
            await self._rewind(instance_id, reason)
        except StaleCheckpoint as error:
            raise RequestError(412, f"The instance {instance_id} has changed meanwhile. Look at it again.") from error

    async def _rewind(self, instance_id: str, reason: str) -> None:
        record = await self._hub.get_instance(instance_id)
        if record is None:
            raise RequestError(404, f"No instance with ID '{instance_id}' was found.")
        status = record.runtime_status
        if status is RuntimeStatus.FAILED:
            await self._hub.rewind_instance(instance_id, reason)
        elif status.is_finished or not await self._hub.finish_rewind(instance_id, reason):
            raise RequestError(
                412,
                f"This orchestration has status {status.value}, but only orchestrations in the "
                '"Failed" state can be rewound.',
            )

    async def restart(self, instance_id: str, *, with_new_id: bool, trace: TraceContext | None = None) -> str:
        """Starts the same orchestrator with the same input again, in the default version, and returns the id.

        Raises:
            RequestError: 400 if the instance or its orchestrator is unknown.
            UnreadableState: its record is damaged, so that its name or its input may be lost.
            InstanceExists: it keeps its id and has not ended.
        """
        record = await self._hub.get_instance(instance_id)
        if record is None or is_entity_id(instance_id):
            raise RequestError(
                400,
                "InstanceId does not match a valid orchestration instance.",
                f"No instance with ID '{instance_id}' was found. (Parameter 'instanceId')",
            )
        if record.problem:
            raise UnreadableState(f"The instance '{instance_id}' cannot be started again: {record.problem}")
        return await self.start(
            record.name,
            instance_id=None if with_new_id else instance_id,
            input_text=record.input,
            trace=trace,
        )

    async def get_active(self, instance_id: str) -> InstanceRecord:
        """The record of an instance that has not ended, without its large payloads.

        Raises:
            RequestError: 404 if it is unknown, 410 if it has ended already.
        """
        record = await self._records.read(instance_id)
        if record is None:
            raise RequestError(404, f"No instance with ID '{instance_id}' was found.")
        if record.runtime_status.is_finished:
            raise RequestError(410, f"The instance '{instance_id}' is {record.runtime_status.value} already.")
        return record

    async def _send(self, instance_id: str, event: HistoryEvent) -> None:
        target = OrchestrationInstance(instance_id=instance_id, execution_id=None)
        await self._hub.send(TaskMessage(event=event, target=target))

    async def purge(self, instance_id: str, *, updated_at: datetime | None = None) -> bool:
        """Removes a finished instance, or an entity; False if it is unknown.

        `updated_at`: only if that is the time of its last update, so that no later run under its id is removed.

        Raises:
            RequestError: 412 if it has not finished, or was updated at another time.
        """
        record = await self._hub.peek_instance(instance_id)
        if record is None:
            return False
        if not record.runtime_status.is_finished and not is_entity_id(instance_id):
            raise RequestError(
                412,
                "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID "
                f"{instance_id} has status {record.runtime_status.value}",
            )
        if updated_at is not None and record.last_updated_at != updated_at:
            raise RequestError(412, f"The instance {instance_id} has changed since {format_time(updated_at)}.")
        return await self._purge(instance_id)

    async def purge_matching(self, query: InstanceQuery) -> int:
        """Removes the finished instances that match and returns how many; a query of unfinished ones removes none."""
        statuses = query.statuses & FINISHED if query.statuses else FINISHED
        if not statuses:
            return 0
        finished = replace(query, statuses=statuses)
        purged = 0
        token = None
        while True:
            page = await self._hub.list_instances(
                finished, page_size=_PURGE_PAGE_SIZE, continuation_token=token, with_input=False
            )
            for record in page.records:
                purged += await self._purge(record.instance_id)
            token = page.continuation_token
            if token is None:
                return purged

    async def _purge(self, instance_id: str) -> bool:
        is_purged = await self._hub.purge_instance(instance_id)
        self._on_purged(instance_id)
        return is_purged


def _not_now(operation: str, record: InstanceRecord) -> RequestError:
    return RequestError(
        500,
        f"Cannot {operation} the orchestration instance {record.instance_id} because instance is in the "
        f"{record.runtime_status.value} state.",
    )
