"""The HTTP edge of the host: a public listener for functions, webhooks and admin, a loopback one for SDK clients.

Mirrors the middleware order of the Functions host: fixed routes first, then functions, the home page last; and
LocalHttpListener of the Durable Functions extension. The console comes after the functions: an app may have that route.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable

from aiohttp import web

from durablehost.app.model import FunctionApp, TriggerKind
from durablehost.clock import Clock
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.instance_logs import InstanceLogs
from durablehost.engine.ports import Executor
from durablehost.engine.tracing import NO_TRACES, Tracer
from durablehost.errors import ConfigurationError
from durablehost.keys.key_store import KeyStore
from durablehost.settings.model import HttpSettings
from durablehost.web.admin import AdminApi, HostStatus, is_open
from durablehost.web.answer import empty, error_answer, refuse_while_starting
from durablehost.web.connections import MOST_CONNECTIONS
from durablehost.web.console.api import ConsoleApi
from durablehost.web.console.changes import ChangeFeed
from durablehost.web.console.site import CONSOLE_PATH, ConsoleSite
from durablehost.web.cors import CorsPolicy
from durablehost.web.functions import FunctionCaller
from durablehost.web.guard import KeyGuard
from durablehost.web.home import home_page
from durablehost.web.keys import KeysApi
from durablehost.web.links import RPC_PATH, WEBHOOK_PATH, Links
from durablehost.web.listener import HttpLimits, HttpListener
from durablehost.web.management import ManagementApi
from durablehost.web.pages import PageGuard, refuse_pages
from durablehost.web.paths import below
from durablehost.web.request import EdgeRequest
from durablehost.web.router import Router
from durablehost.web.start import StartRoutes

logger = logging.getLogger("Host.Web")

RPC_PORT = 17071
_LOOPBACK = "127.0.0.1"


class WebServer:
    """Listens from `start` to `stop`. `start` gives `links` the addresses.

    `keys` None: no route needs a key. The RPC base never needs one. `public`: a listener that has started already;
    this server takes it over. `connections`: how many each listener keeps.
    For the console, `starts`: when activities began to run; `logs`: what instances have logged. `tracer` gets the spans
    of requests to functions.
    """

    def __init__(
        self,
        app: FunctionApp,
        executor: Executor,
        client: OrchestrationClient,
        links: Links,
        http: HttpSettings,
        host_status: Callable[[], HostStatus],
        *,
        clock: Clock,
        starts: ActivityStarts,
        logs: InstanceLogs,
        keys: KeyStore | None = None,
        public: HttpListener | None = None,
        rpc_port: int = RPC_PORT,
        connections: int = MOST_CONNECTIONS,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._app = app
        self._links = links
        self._http = http
        self._wanted_rpc_port = rpc_port
        self._guard = None if keys is None else KeyGuard(keys)
        self._stopping = asyncio.Event()
        self._cors = CorsPolicy(http.cors_origins, allows_credentials=http.cors_credentials)
        self._pages = PageGuard(self._cors, http.allowed_hosts)
        self._router = Router(app.functions, prefix=http.route_prefix)
        self._caller = FunctionCaller(executor, clock, prefix=http.route_prefix, tracer=tracer)
        self._admin = AdminApi(
            app,
            self._caller,
            host_status,
            prefix=http.route_prefix,
            keys=None if keys is None else KeysApi(keys, app),
        )
        self._management = ManagementApi(client, links, StartRoutes(client, links, self._stopping))
        orchestrators = app.of_kind(TriggerKind.ORCHESTRATION).values()
        console = ConsoleApi(
            client,
            ChangeFeed(client, clock),
            clock,
            hub_name=links.hub_name,
            connection_name=links.connection_name,
            orchestrators=[function.registered_name for function in orchestrators],
            starts=starts,
            logs=logs,
            stopping=self._stopping,
        )
        self._console = ConsoleSite(console.handle, self._check_management)
        self._is_public_started = public is not None
        self._public = public or public_listener(http, connections=connections)
        self._rpc_limits = HttpLimits(body_bytes=0, line_bytes=65536, connections=connections)
        self._rpc = HttpListener(self._serve_rpc, self._rpc_limits)

    @property
    def port(self) -> int:
        """The public port in use."""
        return self._public.port

    @property
    def rpc_base_url(self) -> str:
        return f"http://{_LOOPBACK}:{self._rpc.port}{RPC_PATH}"

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    async def start(self) -> None:
        """Returns when both listeners accept connections and `links` has their addresses.

        Raises:
            ConfigurationError: the public port is taken. If the RPC port is taken, any free one is used.
        """
        if not self._is_public_started:
            await self._public.start(self._http.address, self._http.port)
        try:
            await self._start_rpc()
        except BaseException:
            await self._public.close()
            raise
        self._links.listens_at(origin=f"http://localhost:{self.port}", rpc_base_url=self.rpc_base_url)
        self._public.handler = self._serve_public

    async def drain(self, seconds: float) -> None:
        """Answers new public requests with 503; returns when the running ones have ended, or the time is over.

        The RPC base stays open: functions that still run may need it. Safe to call twice.
        """
        self._stopping.set()
        try:
            await asyncio.wait_for(self._wait_for_work(), seconds)
        except asyncio.TimeoutError:
            logger.warning("Some requests had not ended after %g seconds", seconds)

    async def stop(self, drain_seconds: float = 0) -> None:
        """Drains, then closes both listeners; what still runs is cancelled. Safe to call twice."""
        self._stopping.set()
        if drain_seconds > 0:
            await self.drain(drain_seconds)
        await self._admin.close()
        await self._public.close()
        await self._rpc.close()

    async def _start_rpc(self) -> None:
        try:
            await self._rpc.start(_LOOPBACK, self._wanted_rpc_port)
        except ConfigurationError:
            self._rpc = HttpListener(self._serve_rpc, self._rpc_limits)
            await self._rpc.start(_LOOPBACK, 0)

    async def _wait_for_work(self) -> None:
        await self._public.wait_until_idle()
        await self._admin.wait_for_runs()

    async def _serve_rpc(self, source: web.BaseRequest) -> web.StreamResponse:
        request = EdgeRequest(
            source, default_origin=f"http://{_LOOPBACK}", body_limit=None, public_origin=self._links.origin
        )
        refuse_pages(request)
        rest = below(RPC_PATH.rstrip("/"), request.raw_path)
        return empty(404) if rest is None else await self._management.handle(request, rest)

    async def _serve_public(self, source: web.BaseRequest) -> web.StreamResponse:
        request = EdgeRequest(source, default_origin=self._links.origin, body_limit=self._http.body_limit_bytes or None)
        request_id, began_at = str(uuid.uuid4()), time.monotonic()
        _log_request("Executing", {"requestId": request_id, "method": request.method, "uri": request.raw_path})
        answer = await self._answer(request, source)
        self._cors.mark(source, answer)
        for name, value in self._http.custom_headers.items():
            answer.headers.setdefault(name, value)
        duration = int((time.monotonic() - began_at) * 1000)
        _log_request("Executed", {"requestId": request_id, "status": answer.status, "duration": duration})
        return answer

    async def _answer(self, request: EdgeRequest, source: web.BaseRequest) -> web.StreamResponse:
        try:
            self._pages.check_host(request)
            if self._cors.is_preflight(source):
                return self._cors.preflight_answer(source)
            self._pages.check_page(request)
            return await self._route(request)
        except Exception as error:  # not in the listener, so that the answer gets its CORS headers
            return error_answer(error)

    async def _route(self, request: EdgeRequest) -> web.StreamResponse:
        rest = below("/admin", request.raw_path)
        if rest is not None:
            if self._guard is not None and not is_open(rest):
                self._guard.check_admin(request)
            return await self._admin.handle(request, rest)
        if self._stopping.is_set():
            return web.Response(status=503, text="Function host is not running.")
        rest = below(WEBHOOK_PATH, request.raw_path)
        if rest is not None:
            self._check_management(request)
            return await self._management.handle(request, rest)
        if below("/runtime", request.raw_path) is not None:
            return empty(404)
        match = self._router.match(request.method, request.path)
        if match is not None:
            if self._guard is not None:
                self._guard.check_function(request, match.function)
            return await self._caller.answer(request, match)
        rest = below(CONSOLE_PATH, request.raw_path)
        if rest is not None:
            return await self._console.handle(request, rest)
        return self._home(request) if request.raw_path == "/" else empty(404)

    def _check_management(self, request: EdgeRequest) -> None:
        if self._guard is not None:
            self._guard.check_management(request)

    def _home(self, request: EdgeRequest) -> web.Response:
        if self._http.is_homepage_disabled:
            return empty(204)
        # Only callers with a key may see what the app consists of.
        shown = self._app if self._guard is None else None
        return home_page(shown, origin=request.origin, prefix=self._http.route_prefix)


def public_listener(http: HttpSettings, *, connections: int = MOST_CONNECTIONS) -> HttpListener:
    """A listener for the public port that answers 503 until a server takes it over."""
    return HttpListener(refuse_while_starting, HttpLimits(body_bytes=http.body_limit_bytes, connections=connections))


def _log_request(verb: str, members: dict[str, str | int]) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s HTTP request: %s", verb, json.dumps(members))
