"""The durable management API: one set of routes for the webhooks and for the RPC base that SDK clients call.

Mirrors HttpApiHandler of the Durable Functions extension; `docs/management-api.md` lists the differences. A path or a
verb without a route is answered with 404 and an empty body.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceQuery
from durablehost.errors import RequestError
from durablehost.large_text import call_on_text
from durablehost.web.answer import empty, json_answer, text_answer
from durablehost.web.entities import EntityApi
from durablehost.web.links import Links
from durablehost.web.paging import full_page
from durablehost.web.request import EdgeRequest
from durablehost.web.requested_status import requested_status
from durablehost.web.start import StartRoutes
from durablehost.web.status_view import status_json
from durablehost.web.stored import body_to_json, json_array

_POLL_SECONDS = "5"
_DEFAULT_CONNECTIONS = frozenset({"storage", "azurewebjobsstorage"})
_VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS"})

_Handler = Callable[[EdgeRequest, dict[str, str]], Awaitable[web.Response]]


@dataclass(frozen=True, kw_only=True)
class _Route:
    verbs: frozenset[str]
    pattern: re.Pattern[str]
    handler: _Handler


class ManagementApi:
    """Answers the requests below one of its bases."""

    def __init__(self, client: OrchestrationClient, links: Links, starter: StartRoutes) -> None:
        self._client = client
        self._links = links
        self._starter = starter
        self._entities = EntityApi(client.entities)
        self._routes = self._build_routes()

    async def handle(self, request: EdgeRequest, rest: str) -> web.Response:
        """`rest` is the raw path below the base."""
        path = rest.strip("/")
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and request.method in route.verbs:
                self._refuse_other_hubs(request)
                parts = {name: unquote(part, errors="replace") for name, part in match.groupdict().items() if part}
                return await route.handler(request, parts)
        return empty(404)

    def _build_routes(self) -> tuple[_Route, ...]:
        return (
            _route("POST", r"orchestrators/{function}(?:/{id})?", self._starter.start),
            _route("GET", r"entities(?:/{name})?", self._entities.list),
            _route("GET", r"entities/{name}/{key}", self._entities.read),
            _route("POST", r"entities/{name}(?:/{key})?", self._entities.signal),
            _route("DELETE", r"entities/{name}(?:/{key})?", self._entities.delete),
            _route("GET", r"instances", self._list),
            _route("DELETE", r"instances", self._purge_matching),
            _route("GET", r"instances/{id}", self._status),
            _route("DELETE", r"instances/{id}", self._purge),
            _route("POST", r"instances/{id}/terminate", self._terminate),
            _route("POST", r"instances/{id}/rewind", self._rewind),
            _route("POST", r"instances/{id}/restart", self._starter.restart),
            _route("POST", r"instances/{id}/suspend", self._suspend),
            _route("POST", r"instances/{id}/resume", self._resume),
            _route("POST", r"instances/{id}/raiseEvent/{event}", self._raise_event),
            _route(" ".join(_VERBS), r"makeprimary", _make_primary),
        )

    def _refuse_other_hubs(self, request: EdgeRequest) -> None:
        hub = request.query.text("taskHub")
        if hub and hub.lower() != self._links.hub_name.lower():
            raise RequestError(501, f"durablehost does not support other task hubs yet: '{hub}'")
        connection = request.query.text("connection")
        known = {self._links.connection_name.lower(), *_DEFAULT_CONNECTIONS}
        if connection and connection.lower() not in known:
            raise RequestError(501, f"durablehost does not support other storage connections yet: '{connection}'")

    async def _status(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        record = await self._client.get(parts["id"])
        if record is None:
            return empty(404)
        body = await requested_status(self._client, request.query, record)
        if not record.runtime_status.is_finished:
            return text_answer(body, status=202, headers={"Location": request.url, "Retry-After": _POLL_SECONDS})
        is_error = record.runtime_status is RuntimeStatus.FAILED and request.query.boolean(
            "returnInternalServerErrorOnFailure", False
        )
        return text_answer(body, status=500 if is_error else 200)

    async def _list(self, request: EdgeRequest, _: dict[str, str]) -> web.Response:
        with_input = request.query.boolean("showInput", True)
        query = _instance_query(request)
        records, headers = await full_page(
            request,
            lambda size, token: self._client.list(
                query, page_size=size, continuation_token=token, with_input=with_input
            ),
        )
        shown = [await status_json(each, with_input=with_input) for each in records]
        return text_answer(json_array(shown), headers=headers)

    async def _terminate(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        await self._client.terminate(parts["id"], request.query.as_sent("reason"))
        return empty(202)

    async def _suspend(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        await self._client.suspend(parts["id"], request.query.as_sent("reason"))
        return empty(202)

    async def _resume(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        await self._client.resume(parts["id"], request.query.as_sent("reason"))
        return empty(202)

    async def _rewind(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        await self._client.rewind(parts["id"], request.query.text("reason") or "")
        return empty(202)

    async def _raise_event(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        # The original checks the instance before the content.
        if request.header("Content-Type").partition(";")[0].strip().lower() != "application/json":
            await self._client.get_active(parts["id"])
            return json_answer({"Message": "Only application/json request content is supported"}, status=400)
        try:
            text = await _event_text(request)
        except RequestError:
            await self._client.get_active(parts["id"])
            raise
        await self._client.raise_event(parts["id"], parts["event"], text, trace=request.trace)
        return empty(202)

    async def _purge(self, _: EdgeRequest, parts: dict[str, str]) -> web.Response:
        if not await self._client.purge(parts["id"]):
            return empty(404)
        return json_answer({"instancesDeleted": 1})

    async def _purge_matching(self, request: EdgeRequest, _: dict[str, str]) -> web.Response:
        if request.query.time("createdTimeFrom") is None:
            return json_answer("Please provide value for 'createdTimeFrom' parameter.", status=400)
        # A purge that ignored a condition would remove more than was meant.
        request.query.readable_statuses("runtimeStatus")
        request.query.readable_time("createdTimeTo")
        count = await self._client.purge_matching(_instance_query(request))
        return json_answer({"instancesDeleted": count}) if count else empty(404)


async def _event_text(request: EdgeRequest) -> str:
    """The content of an event.

    Raises:
        RequestError: 400, it is no JSON; 413, it is too large.
    """
    text = await call_on_text(body_to_json, await request.read_utf8())
    if text is None:
        raise RequestError(400, "Invalid JSON content", "The body is empty")
    return text


def _route(verbs: str, pattern: str, handler: _Handler) -> _Route:
    """`{name}` in the pattern stands for one part of the path."""
    expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return _Route(
        verbs=frozenset(verbs.split()), pattern=re.compile(expression, re.IGNORECASE | re.DOTALL), handler=handler
    )


def _instance_query(request: EdgeRequest) -> InstanceQuery:
    query = request.query
    return InstanceQuery(
        created_from=query.time("createdTimeFrom"),
        created_to=query.time("createdTimeTo"),
        statuses=query.statuses("runtimeStatus"),
        id_prefix=query.text("instanceIdPrefix"),
    )


async def _make_primary(_: EdgeRequest, __: dict[str, str]) -> web.Response:
    return empty(200)
