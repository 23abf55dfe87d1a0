"""The operations of a client on the entities of a task hub: signal them, read one, list them.

Mirrors the entity half of DurableClient of the extension.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from durablehost.app.model import Function
from durablehost.clock import Clock
from durablehost.core.entities import read_snapshot
from durablehost.core.entity_messages import OPERATION_EVENT, EntityRequest, request_to_text
from durablehost.core.history import EventRaised, OrchestrationInstance
from durablehost.core.ids import ENTITY_MARK, EntityId
from durablehost.core.json_text import compact
from durablehost.core.messages import TaskMessage
from durablehost.core.spans import request_name, request_span
from durablehost.core.trace_context import TraceContext, stored_context
from durablehost.engine.ports import InstanceQuery, InstanceRecord, TaskHub
from durablehost.engine.tracing import NO_TRACES, Tracer, context_of, open_span
from durablehost.engine.unknown import unknown_entity
from durablehost.errors import RequestError, UnreadableState

# In the custom status of every entity that exists, so that the state need not be read to know it.
_EXISTENCE = "entityExists"


@dataclass(frozen=True, kw_only=True)
class EntityRecord:
    """An entity in a listing; `state` is JSON text, None if it was not requested."""

    entity: EntityId
    last_operation_at: datetime
    state: str | None


@dataclass(frozen=True, kw_only=True)
class EntityQuery:
    """Which entities to list; None: no condition. Both times are inclusive."""

    name: str | None = None
    last_operation_from: datetime | None = None
    last_operation_to: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class EntityPage:
    """One page of a listing. It may be short, even empty, and still have a `continuation_token`."""

    records: tuple[EntityRecord, ...]
    continuation_token: str | None = None


class EntityClient:
    """Operations on the entities of one hub. `functions`: by name in lower case; None: any name is accepted."""

    def __init__(
        self, hub: TaskHub, functions: Mapping[str, Function] | None, clock: Clock, tracer: Tracer = NO_TRACES
    ) -> None:
        self._hub = hub
        self._functions = functions
        self._clock = clock
        self._tracer = tracer

    async def signal(
        self, entity: EntityId, operation: str, input_text: str | None, *, trace: TraceContext | None = None
    ) -> None:
        """Asks an entity for an operation; on return the signal survives a crash. `input_text` is JSON text.
        `trace` is the context of the caller.

        Raises:
            RequestError: 400, for an unknown entity function or a key that is not allowed.
        """
        if problem := entity.problem:
            raise RequestError(400, problem)
        if self._functions is not None and entity.name not in self._functions:
            raise RequestError(400, unknown_entity(entity.name, self._functions))
        request = EntityRequest(id=str(uuid.uuid4()), operation=operation, is_signal=True, input=input_text)
        now = self._clock.now()
        span = open_span(self._tracer, trace, request_name(request, entity), now)
        event = EventRaised(
            timestamp=now,
            name=OPERATION_EVENT,
            input=request_to_text(request),
            parent_trace_context=stored_context(context_of(span)),
        )
        target = OrchestrationInstance(instance_id=entity.instance_id, execution_id=None)
        await self._hub.send(TaskMessage(event=event, target=target))
        if self._tracer.is_on and span is not None:
            self._tracer.record([request_span(request, entity.instance_id, span.until(self._clock.now()))])

    async def state(self, entity: EntityId) -> str | None:
        """The state of an entity as JSON text; None if there is no such entity.

        Raises:
            UnreadableState: its stored state is damaged.
        """
        record = await self._hub.get_instance(entity.instance_id)
        snapshot = read_snapshot(record.input) if record else None
        return (snapshot.state or "null") if snapshot and snapshot.exists else None

    async def list(
        self, query: EntityQuery, *, page_size: int, continuation_token: str | None = None, with_state: bool = False
    ) -> EntityPage:
        """One page of the entities that exist, in the order of their ids.

        Raises:
            RequestError: 400, if the token is not one that an earlier page gave.
        """
        page = await self._hub.list_instances(
            InstanceQuery(
                created_from=query.last_operation_from,
                created_to=query.last_operation_to,
                id_prefix=ENTITY_MARK if query.name is None else EntityId.of(query.name, "").instance_id,
            ),
            page_size=page_size,
            continuation_token=continuation_token,
            with_input=with_state,
        )
        existing = (record for record in page.records if record.problem or _EXISTENCE in (record.custom_status or ""))
        return EntityPage(
            records=tuple(_entity_record(record, with_state=with_state) for record in existing),
            continuation_token=page.continuation_token,
        )


def _entity_record(record: InstanceRecord, *, with_state: bool) -> EntityRecord:
    return EntityRecord(
        entity=EntityId.of_instance(record.instance_id),
        last_operation_at=record.last_updated_at,
        state=_state_or_problem(record) if with_state else None,
    )


def _state_or_problem(record: InstanceRecord) -> str | None:
    """The state, or the reason why it cannot be read, so that the other entities are still listed."""
    try:
        return read_snapshot(record.input).state
    except UnreadableState as error:
        return compact({"unreadable": str(error)})
