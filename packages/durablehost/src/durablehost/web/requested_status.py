"""The status of an instance as a query asks for it: with or without its input and its history."""

from __future__ import annotations

from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import UnreadableState
from durablehost.web.query import Query
from durablehost.web.status_view import HistoryOptions, history_json, status_json, unreadable_history_json


async def requested_status(client: OrchestrationClient, query: Query, record: InstanceRecord) -> str:
    """JSON text. A pending instance has no history."""
    with_input = query.boolean("showInput", True)
    history = None
    if query.boolean("showHistory", False) and record.runtime_status is not RuntimeStatus.PENDING:
        options = HistoryOptions(with_input=with_input, with_output=query.boolean("showHistoryOutput", False))
        history = await _history(client, record.instance_id, options)
    return await status_json(record, with_input=with_input, history=history)


async def _history(client: OrchestrationClient, instance_id: str, options: HistoryOptions) -> str:
    try:
        return await history_json(await client.history(instance_id), options)
    except UnreadableState as error:
        return unreadable_history_json(str(error))
