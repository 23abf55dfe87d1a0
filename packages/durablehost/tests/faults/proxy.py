"""A proxy between a host and its storage that can cut, hold or delay requests, or answer in place of the storage.

Rule of this file: it forwards unknown requests, so a host behind it cannot distinguish it from storage. To storage,
a host whose proxy is down looks dead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Union

import aiohttp
from aiohttp import web
from anyio.from_thread import start_blocking_portal
from yarl import URL

from durablehost.emulator.azurite import HOST, Ports
from packages.durablehost.tests.faults.storage_call import Operation, StorageCall


@dataclass(frozen=True, kw_only=True)
class Cut:
    """No answer, before or after storage has served the request. `for_good`: none to later requests either."""

    is_served: bool
    for_good: bool = False


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """A bare answer with this status, before or after storage has served the request."""

    status: int
    is_served: bool = False


@dataclass(frozen=True)
class Delay:
    """Delays the request by so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Holds the request until this event, of the proxy's loop, is set; `StorageProxy.release` sets it from a thread."""

    until: asyncio.Event


Fault = Union[Cut, Refuse, Delay, Hold]  # noqa: UP007
Rule = Callable[[StorageCall], Fault | None]

# Headers of one connection, which are not forwarded.
_OWN_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def no_fault(call: StorageCall) -> Fault | None:
    return None


class StorageProxy:
    """The three services on ports of their own. `rule` decides the fate of each request, and may be replaced."""

    def __init__(self, session: aiohttp.ClientSession, upstream: Ports) -> None:
        self._session = session
        self._upstream = upstream
        self.ports = Ports()
        self.rule: Rule = no_fault
        self.is_down = False
        self.calls: Counter[Operation] = Counter()
        self._loop = asyncio.get_running_loop()

    def release(self, held: asyncio.Event) -> None:
        """Lets the requests go on that are held by this event. May be called from any thread."""
        self._loop.call_soon_threadsafe(held.set)

    @property
    def connection_string(self) -> str:
        return self.ports.connection_string

    @property
    def call_count(self) -> int:
        """The number of requests so far, including those that were cut."""
        return self.calls.total()

    async def listen(self, stack: AsyncExitStack) -> None:
        self.ports = Ports(
            blob=await self._listen(stack, "blob", self._upstream.blob),
            queue=await self._listen(stack, "queue", self._upstream.queue),
            table=await self._listen(stack, "table", self._upstream.table),
        )

    async def _listen(self, stack: AsyncExitStack, service: str, upstream_port: int) -> int:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(request, service, f"http://{HOST}:{upstream_port}")

        runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, 0).start()
        port: int = runner.addresses[0][1]
        return port

    async def _handle(self, request: web.BaseRequest, service: str, upstream: str) -> web.StreamResponse:
        body = await request.content.read()
        number = self.call_count + 1
        call = StorageCall(number=number, service=service, method=request.method, path=request.raw_path, body=body)
        self.calls[call.operation] += 1
        fault = Cut(is_served=False) if self.is_down else self.rule(call)
        if isinstance(fault, Cut) and fault.for_good:
            self.is_down = True
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Hold):
            await fault.until.wait()
        if isinstance(fault, (Cut, Refuse)) and not fault.is_served:
            return _without_answer(request) if isinstance(fault, Cut) else web.Response(status=fault.status)
        answer = await self._forward(request, body, upstream)
        if answer is None or isinstance(fault, Cut) or self.is_down:
            return _without_answer(request)
        return web.Response(status=fault.status) if isinstance(fault, Refuse) else answer

    async def _forward(self, request: web.BaseRequest, body: bytes, upstream: str) -> web.Response | None:
        """Returns the storage's answer; None if it gives none."""
        url = URL(f"{upstream}{request.raw_path}", encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OWN_HEADERS]
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body or None, skip_auto_headers=_NOT_ADDED
            ) as answer:
                kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OWN_HEADERS]
                response = web.Response(status=answer.status, reason=answer.reason, body=await answer.read())
        except (aiohttp.ClientError, ConnectionError):
            return None
        response.headers.clear()
        response.headers.extend(kept)
        return response


def _without_answer(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody will read it


@asynccontextmanager
async def open_proxy(upstream: Ports) -> AsyncIterator[StorageProxy]:
    """A proxy for the storage on these ports, in the caller's event loop."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        )
        proxy = StorageProxy(session, upstream)
        await proxy.listen(stack)
        yield proxy


@contextmanager
def proxy_in_thread(upstream: Ports) -> Iterator[StorageProxy]:
    """The same in a thread of its own, for tests without an event loop."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_proxy(upstream)) as proxy:
        yield proxy
