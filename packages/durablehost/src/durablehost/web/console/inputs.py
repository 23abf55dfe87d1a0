"""The last inputs of an orchestrator, for the form that starts an instance."""

from __future__ import annotations

from durablehost.core.history_json import format_time
from durablehost.core.ids import is_entity_id
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceQuery
from durablehost.types import JsonValue
from durablehost.web.console.view import LONG
from durablehost.web.paging import read_page

# How many inputs the form offers.
OFFERED = 5
# How many instances are read with their payloads: their inputs may all be equal, or missing.
LOADED = 20


async def last_inputs(client: OrchestrationClient, name: str, most_rows: int) -> JsonValue:
    """The latest distinct inputs, newest first, with the instance that was started with each.

    `name` is the name as it is stored. The storage lists rows by id, so the newest are found among the first
    `most_rows` of them; `isComplete` says whether there are no more. Leaves out inputs that the page cannot show
    whole, damaged instances, and sub-orchestrations if others have the same orchestrator.
    """
    rows, following = await read_page(
        lambda size, token: client.list(
            InstanceQuery(name=name), page_size=size, continuation_token=token, with_payloads=False
        ),
        most_rows,
        None,
    )
    newest = sorted(
        (row for row in rows if not is_entity_id(row.instance_id)), key=lambda row: row.created_at, reverse=True
    )
    # A sub-orchestration gets what its parent has computed; nobody starts one like that by hand.
    newest = [row for row in newest if row.parent_id is None] or newest
    found: dict[str, JsonValue] = {}
    for row in newest[:LOADED]:
        record = await client.get(row.instance_id)
        if record is None or record.problem is not None or record.input is None or len(record.input) > LONG:
            continue
        shown: JsonValue = {"id": record.instance_id, "created": format_time(record.created_at), "input": record.input}
        found.setdefault(record.input, shown)
        if len(found) == OFFERED:
            break
    return {"inputs": [*found.values()], "isComplete": following is None}
