"""Serves the console alone, without an app and a host, on the loopback: for `durablehost console`.

The rules about pages of other sites are those of the host. Without actions, there is no route that changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from durablehost.clock import Clock
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.errors import RequestError
from durablehost.web.answer import empty, error_answer
from durablehost.web.connections import MOST_CONNECTIONS
from durablehost.web.console.api import HOW_TO_ALLOW, READ_ONLY, ConsoleApi
from durablehost.web.console.changes import ChangeFeed
from durablehost.web.console.hubs import Hubs
from durablehost.web.console.site import CONSOLE_PATH, ConsoleSite
from durablehost.web.cors import CorsPolicy
from durablehost.web.links import WEBHOOK_PATH, Links
from durablehost.web.listener import HttpLimits, HttpListener
from durablehost.web.management import ManagementApi
from durablehost.web.pages import PageGuard
from durablehost.web.paths import below
from durablehost.web.request import EdgeRequest
from durablehost.web.start import StartRoutes

_LOOPBACK = "127.0.0.1"
# As large as the input of an instance may be by HTTP under `func`.
_LARGEST_BODY = 100 * 1024 * 1024


class ConsoleServer:
    """Listens from `start` to `stop`.

    `orchestrators`: the names to offer for a start. `connections`: how many it keeps. `hubs` are others that the page
    can switch to; they are only read, whatever is allowed for the own one.
    """

    def __init__(
        self,
        client: OrchestrationClient,
        clock: Clock,
        *,
        hub_name: str,
        connection_name: str,
        orchestrators: Sequence[str] = (),
        allows_actions: bool,
        connections: int = MOST_CONNECTIONS,
        hubs: Hubs | None = None,
    ) -> None:
        self._stopping = asyncio.Event()
        self._pages = PageGuard(CorsPolicy((), allows_credentials=False), ())
        self._links = Links(hub_name=hub_name, connection_name=connection_name)
        self._management = ManagementApi(client, self._links, StartRoutes(client, self._links, self._stopping))
        self._clock = clock
        self._hubs = hubs
        self._allows_actions = allows_actions
        self._own = (connection_name.lower(), hub_name.lower())
        self._apis = {self._own: self._api(client, connection_name, hub_name, orchestrators)}
        self._console = ConsoleSite(self._answer_api, lambda request: None)
        self._opening = asyncio.Lock()
        self._listener = HttpListener(self._serve, HttpLimits(body_bytes=_LARGEST_BODY, connections=connections))

    def _api(
        self, client: OrchestrationClient, connection_name: str, hub_name: str, orchestrators: Sequence[str] = ()
    ) -> ConsoleApi:
        return ConsoleApi(
            client,
            ChangeFeed(client, self._clock),
            self._clock,
            hub_name=hub_name,
            connection_name=connection_name,
            orchestrators=orchestrators,
            starts=ActivityStarts(),
            logs=None,
            stopping=self._stopping,
            allows_actions=self._allows_actions and (connection_name.lower(), hub_name.lower()) == self._own,
            runs_instances=False,
            hubs=self._hubs,
        )

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://localhost:{self._listener.port}{CONSOLE_PATH}"

    async def start(self, port: int) -> None:
        """Returns when connections are accepted.

        Raises:
            ConfigurationError: the port is taken.
        """
        await self._listener.start(_LOOPBACK, port)
        self._links.origin = f"http://localhost:{self._listener.port}"

    async def stop(self) -> None:
        """Ends the streams of open pages, and closes every connection."""
        self._stopping.set()
        await self._listener.close()

    async def _serve(self, source: web.BaseRequest) -> web.StreamResponse:
        request = EdgeRequest(source, default_origin=self._links.origin, body_limit=_LARGEST_BODY)
        try:
            self._pages.check_host(request)
            self._pages.check_page(request)
            return await self._route(request)
        except Exception as error:
            return error_answer(error)

    async def _route(self, request: EdgeRequest) -> web.StreamResponse:
        if (rest := below(CONSOLE_PATH, request.raw_path)) is not None:
            return await self._console.handle(request, rest)
        if (rest := below(WEBHOOK_PATH, request.raw_path)) is not None:
            if not self._allows_actions:
                raise RequestError(403, READ_ONLY, HOW_TO_ALLOW)
            return await self._management.handle(request, rest)
        if request.raw_path == "/" and request.method == "GET":
            return web.Response(status=302, headers={"Location": CONSOLE_PATH})
        return empty(404)

    async def _answer_api(self, request: EdgeRequest, rest: str) -> web.StreamResponse:
        return await (await self._api_for(request)).handle(request, rest)

    async def _api_for(self, request: EdgeRequest) -> ConsoleApi:
        """The routes of the hub that the request names; those of the own hub if it names none.

        Raises:
            RequestError: 404, there is no such hub.
        """
        hub_name, connection_name = request.query.text("taskHub"), request.query.text("connection")
        if hub_name is None or connection_name is None:
            return self._apis[self._own]
        key = (connection_name.lower(), hub_name.lower())
        if key not in self._apis:
            # A storage that does not answer must not keep the pages of other hubs waiting.
            async with self._opening:
                if key not in self._apis:
                    self._apis[key] = await self._opened(connection_name, hub_name)
        return self._apis[key]

    async def _opened(self, connection_name: str, hub_name: str) -> ConsoleApi:
        client = await self._hubs.open(connection_name, hub_name) if self._hubs else None
        if client is None:
            raise RequestError(
                404, "There is no such task hub.", f"The storage '{connection_name}' has no task hub '{hub_name}'."
            )
        return self._api(client, connection_name, hub_name)
