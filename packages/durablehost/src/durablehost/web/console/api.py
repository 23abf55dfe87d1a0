"""The JSON routes below `/console/api`, for the page of the console alone: no other program should rely on them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import unquote

from aiohttp import web

from durablehost import __version__
from durablehost.clock import Clock
from durablehost.core.history_json import format_time
from durablehost.core.ids import is_entity_id
from durablehost.core.lineage import descends
from durablehost.core.status import RuntimeStatus
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.instance_logs import InstanceLogs
from durablehost.engine.ports import InstanceQuery, InstanceRecord
from durablehost.errors import RequestError, UnreadableState
from durablehost.large_text import join_pieces
from durablehost.types import JsonObject, JsonValue
from durablehost.web.answer import empty, json_answer, text_answer
from durablehost.web.console.changes import ChangeFeed
from durablehost.web.console.entities import list_entities, show_entity
from durablehost.web.console.hubs import HubNames, Hubs, show_accounts
from durablehost.web.console.inputs import last_inputs
from durablehost.web.console.logs import show_logs
from durablehost.web.console.rows import rows_of
from durablehost.web.console.stream import SIGN_OF_LIFE, EventStream, event
from durablehost.web.console.view import (
    LONG,
    SHORT,
    WHOLE,
    Entry,
    entries_of,
    history_pieces,
    result_pieces,
    show_entry,
    show_instance,
    show_row,
    text_of,
)
from durablehost.web.paging import read_page, token_from_header, token_to_header
from durablehost.web.request import EdgeRequest

READ_ONLY = "This console only reads."
HOW_TO_ALLOW = "Start it with --allow-actions to change the hub."

# One request to the storage.
LISTED = 1000
# Ten requests: counting or searching more would keep the storage busy.
COUNTED = 10_000

# Python refuses to convert very long numbers.
_POSITION = re.compile(r"\d{1,9}", re.ASCII)

_CHECK_SECONDS = 1.0
_QUIET_CHECKS = 10


class ConsoleApi:
    """Answers from the task hub. `orchestrators`: the names to offer for a start. `logs`: what this process has kept of
    the logs; None if it runs no functions.

    The page offers actions if they are allowed, and says that a host has to run a start if this process runs none.
    `hubs`: those that the page can switch to; None: it cannot.
    """

    def __init__(
        self,
        client: OrchestrationClient,
        changes: ChangeFeed,
        clock: Clock,
        *,
        hub_name: str,
        connection_name: str,
        orchestrators: Sequence[str],
        starts: ActivityStarts,
        logs: InstanceLogs | None,
        stopping: asyncio.Event,
        allows_actions: bool = True,
        runs_instances: bool = True,
        hubs: Hubs | None = None,
    ) -> None:
        self._client = client
        self._changes = changes
        self._clock = clock
        self._hub_name = hub_name
        self._connection_name = connection_name
        self._orchestrators = orchestrators
        self._starts = starts
        self._logs = logs
        self._stopping = stopping
        self._allows_actions = allows_actions
        self._runs_instances = runs_instances
        self._hubs = hubs

    async def handle(self, request: EdgeRequest, rest: str) -> web.StreamResponse:
        """`rest` is the raw path below `/console/api`."""
        self._refuse_other_hubs(request)
        parts = [unquote(part, errors="replace") for part in rest.strip("/").split("/")]
        match request.method, parts:
            case "GET", _:
                return await self._show(request, parts)
            case "DELETE", ["instances", instance_id]:
                return await self._purge(request, instance_id)
        return empty(404)

    async def _show(self, request: EdgeRequest, parts: list[str]) -> web.StreamResponse:
        match parts:
            case ["hub"]:
                return self._hub()
            case ["hubs"] if self._hubs is not None:
                return json_answer({"accounts": show_accounts(await self._hubs.accounts())})
            case ["instances"]:
                return await self._list(request)
            case ["rows"]:
                return json_answer(await rows_of(self._client, request.query.all("id")))
            case ["counts"]:
                return await self._count(request)
            case ["changes"]:
                return EventStream(self._events(request))
            case ["orchestrators", name, "inputs"] if name.strip():
                return json_answer(await last_inputs(self._client, self._stored_name(name), COUNTED))
            case ["entities"]:
                return await self._list_entities(request)
            case ["entities", instance_id]:
                entity = await show_entity(self._client, instance_id)
                return empty(404) if entity is None else json_answer(entity)
            case ["instances", instance_id]:
                return await self._instance(request, instance_id)
            case ["instances", instance_id, "explanation"]:
                return await self._explanation(instance_id)
            case ["instances", instance_id, "output"]:
                record = await self._client.get(instance_id)
                return empty(404) if record is None else json_answer(text_of(record.output, WHOLE))
            case ["instances", instance_id, "results"]:
                return await self._results(instance_id)
            case ["instances", instance_id, "logs"]:
                after = request.query.integer("after", 0)
                return json_answer(show_logs(self._logs, instance_id, after=after))
            case ["instances", instance_id, "history"]:
                return await self._history(instance_id)
            case ["instances", instance_id, "history", position]:
                return await self._entry(instance_id, position)
        return empty(404)

    def _refuse_other_hubs(self, request: EdgeRequest) -> None:
        """Refuses a page of another hub: it is older than this process, or its address names that hub.

        Raises:
            RequestError: 409.
        """
        hub_name, connection_name = request.query.text("taskHub"), request.query.text("connection")
        own = HubNames(self._hub_name, self._connection_name)
        if problem := own.problem_of(HubNames(hub_name, connection_name), switches=self._hubs is not None):
            raise RequestError(409, problem)

    def _hub(self) -> web.Response:
        return json_answer(
            {
                "hub": self._hub_name,
                "connection": self._connection_name,
                "switches": self._hubs is not None,
                "orchestrators": list(self._orchestrators),
                "actions": self._allows_actions,
                "runs": self._runs_instances,
                "now": format_time(self._clock.now()),
                "version": __version__,
            }
        )

    async def _purge(self, request: EdgeRequest, instance_id: str) -> web.Response:
        """Removes an instance as the page has seen it: not one that has changed, and no later run under its id."""
        if not self._allows_actions:
            raise RequestError(403, READ_ONLY, HOW_TO_ALLOW)
        updated = request.query.readable_time("updated")
        if updated is None:
            raise RequestError(400, "The time of the last update, 'updated', is missing.")
        return empty(204 if await self._client.purge(instance_id, updated_at=updated) else 404)

    def _stored_name(self, name: str) -> str:
        """The name under which instances of an orchestrator are stored: a start accepts it in any case."""
        return next((each for each in self._orchestrators if each.lower() == name.strip().lower()), name.strip())

    async def _list(self, request: EdgeRequest) -> web.Response:
        token = token_from_header(request.query.text("continuation") or "")
        query, text = _query(request), _searched(request)
        records, following = await self._read(query, LISTED, token, text)
        read = LISTED
        # A search may find few among many, so it reads on.
        while text and following is not None and len(records) < LISTED and read < COUNTED:
            more, following = await self._read(query, LISTED, following, text)
            records += more
            read += LISTED
        rows: list[JsonValue] = [show_row(record) for record in records]
        return json_answer({"instances": rows, "continuation": token_to_header(following) or None})

    async def _list_entities(self, request: EdgeRequest) -> web.Response:
        token = token_from_header(request.query.text("continuation") or "")
        shown, following = await list_entities(self._client, request.query.text("name"), token)
        return json_answer({"entities": shown, "continuation": token_to_header(following) or None})

    async def _count(self, request: EdgeRequest) -> web.Response:
        records, following = await self._read(_query(request), COUNTED, None, _searched(request))
        created: dict[str, list[JsonValue]] = {}
        for record in records:
            created.setdefault(record.runtime_status.value, []).append(round(record.created_at.timestamp() * 1000))
        counts: dict[str, JsonValue] = {status: len(times) for status, times in created.items()}
        # The times for the plot of the page: in milliseconds, as JavaScript counts them.
        return json_answer({"counts": counts, "created": {**created}, "isComplete": following is None})

    async def _read(
        self, query: InstanceQuery, most: int, token: str | None, text: str
    ) -> tuple[list[InstanceRecord], str | None]:
        """The orchestrations among `most` instances that contain the text."""
        records, following = await read_page(
            lambda size, token: self._client.list(query, page_size=size, continuation_token=token, with_payloads=False),
            most,
            token,
        )
        found = [record for record in records if not is_entity_id(record.instance_id) and _contains(record, text)]
        return found, following

    async def _instance(self, request: EdgeRequest, instance_id: str) -> web.Response:
        """An instance; `since` is an execution that the page has seen of it."""
        record = await self._client.get(instance_id)
        if record is None:
            return empty(404)
        seen = request.query.text("since")
        is_replaced = seen is not None and seen != record.execution_id and not descends(record.execution_id, seen)
        return json_answer({**show_instance(record), "isReplaced": is_replaced})

    async def _history(self, instance_id: str) -> web.Response:
        record = await self._client.peek(instance_id)
        if record is None:
            # No 404, which browsers report as an error: a sub-orchestration that has not begun is unknown, too.
            return json_answer({"entries": [], "isMissing": True})
        try:
            entries = await self._entries(record)
        except UnreadableState as error:
            return json_answer({"entries": [], "problem": str(error)})
        return text_answer(await join_pieces(history_pieces(entries, self._starts.of(instance_id))))

    async def _entry(self, instance_id: str, position: str) -> web.Response:
        """One line of a history with its whole texts."""
        record = await self._client.peek(instance_id)
        entries = [] if record is None else await self._entries(record)
        if not _POSITION.fullmatch(position) or int(position) >= len(entries):
            return empty(404)
        entry = entries[int(position)]
        began = self._starts.of(instance_id).get(entry.event.event_id)
        return json_answer(show_entry(entry, began, most=LONG))

    async def _results(self, instance_id: str) -> web.Response:
        """The whole results of the activities and sub-orchestrations that have completed, as far as there is room."""
        record = await self._client.peek(instance_id)
        if record is None:
            return empty(404)
        return text_answer(await join_pieces(result_pieces(await self._entries(record), WHOLE)))

    async def _explanation(self, instance_id: str) -> web.Response:
        explanation = await self._client.explain(instance_id)
        if explanation is None:
            return empty(404)
        reasons: list[JsonValue] = [{"kind": reason.kind, "text": reason.text} for reason in explanation.reasons]
        return json_answer({"text": explanation.text, "reasons": reasons})

    async def _entries(self, record: InstanceRecord) -> list[Entry]:
        # What is stored is then the history of the execution before.
        if record.runtime_status is RuntimeStatus.PENDING:
            return []
        return entries_of(await self._client.history(record.instance_id))

    async def _events(self, request: EdgeRequest) -> AsyncGenerator[bytes, None]:
        """`open` first; then `changes` with rows, `entities` with ids, `problem` with a text, or null at its end."""
        async with self._changes.open_page() as page:
            names: JsonObject = {"hub": self._hub_name, "connection": self._connection_name}
            yield event("open", {"now": format_time(self._clock.now()), **names})
            told: str | None = None
            quiet = 0
            while not self._stopping.is_set() and not request.is_abandoned:
                has_news = await page.wait(_CHECK_SECONDS)
                changed, problem = page.take()
                if problem != told:
                    told = problem
                    yield event("problem", {"text": problem})
                if rows := [show_row(record) for record in changed if not is_entity_id(record.instance_id)]:
                    yield event("changes", [*rows])
                if entities := [record.instance_id for record in changed if is_entity_id(record.instance_id)]:
                    yield event("entities", [*entities])
                quiet = 0 if has_news else quiet + 1
                if quiet == _QUIET_CHECKS:
                    quiet = 0
                    yield SIGN_OF_LIFE


def _query(request: EdgeRequest) -> InstanceQuery:
    """The conditions that the storage knows, by the names of the management API, `name` and `updatedTimeFrom`.

    Raises:
        RequestError: 400, a condition cannot be read.
    """
    query = request.query
    return InstanceQuery(
        created_from=query.readable_time("createdTimeFrom"),
        created_to=query.readable_time("createdTimeTo"),
        updated_from=query.readable_time("updatedTimeFrom"),
        statuses=query.readable_statuses("runtimeStatus"),
        name=query.text("name"),
        id_prefix=query.text("instanceIdPrefix"),
    )


def _searched(request: EdgeRequest) -> str:
    return (request.query.text("search") or "").strip().lower()


def _contains(record: InstanceRecord, text: str) -> bool:
    """Whether the text, in lower case, is in the id, the name, or what the page shows of the custom status."""
    return any(text in each.lower() for each in (record.instance_id, record.name, (record.custom_status or "")[:SHORT]))
