"""The present rows of instances that the page knows by their ids alone: what its stream of changes has not shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from durablehost.engine.client import OrchestrationClient
from durablehost.errors import RequestError
from durablehost.types import JsonObject
from durablehost.web.console.view import show_row

# Each is a request to the storage.
MOST_ROWS = 50


async def rows_of(client: OrchestrationClient, instance_ids: Sequence[str]) -> JsonObject:
    """The rows of those that exist.

    Raises:
        RequestError: 400, these are too many at once.
    """
    if len(instance_ids) > MOST_ROWS:
        raise RequestError(400, f"At most {MOST_ROWS} instances can be asked for at once.")
    records = await asyncio.gather(*map(client.peek, instance_ids))
    return {"rows": [show_row(record) for record in records if record is not None]}
