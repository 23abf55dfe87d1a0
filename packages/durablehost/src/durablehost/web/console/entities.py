"""Entities as the console needs them: their states with the texts cut."""

from __future__ import annotations

from datetime import datetime

from durablehost.core.history_json import format_time
from durablehost.core.ids import EntityId, is_entity_id
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.entity_client import EntityQuery
from durablehost.errors import UnreadableState
from durablehost.types import JsonValue
from durablehost.web.console.view import LONG, SHORT, text_of
from durablehost.web.paging import read_page

# Each may have a state of 60 KB, and larger ones are blobs, which are read one by one.
LISTED = 100


async def list_entities(
    client: OrchestrationClient, name: str | None, token: str | None
) -> tuple[list[JsonValue], str | None]:
    """One page in the order of the ids, and the token of the next one.

    Raises:
        RequestError: 400, the token is not one that an earlier page gave.
    """
    records, following = await read_page(
        lambda size, token: client.entities.list(
            EntityQuery(name=name), page_size=size, continuation_token=token, with_state=True
        ),
        LISTED,
        token,
    )
    return [_show(each.entity, each.last_operation_at, each.state, SHORT) for each in records], following


async def show_entity(client: OrchestrationClient, instance_id: str) -> JsonValue:
    """An entity with its state, or why that cannot be read; None if there is no such entity."""
    record = await client.peek(instance_id) if is_entity_id(instance_id) else None
    if record is None:
        return None
    entity = EntityId.of_instance(instance_id)
    try:
        state = await client.entities.state(entity)
    except UnreadableState as error:
        return {**_show(entity, record.last_updated_at, None, LONG), "problem": str(error)}
    return None if state is None else _show(entity, record.last_updated_at, state, LONG)


def _show(entity: EntityId, last_operation_at: datetime, state: str | None, most: int) -> dict[str, JsonValue]:
    return {
        "id": entity.instance_id,
        "name": entity.name,
        "key": entity.key,
        "updated": format_time(last_operation_at),
        "state": text_of(state, most),
    }
