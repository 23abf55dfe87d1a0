"""The activity behind `call_http`: every host has it, and it runs in the host itself.

Mirrors TaskHttpActivityShim of the Durable Functions extension: every status, 4xx and 5xx too, is an answer; a 202 is
returned to the orchestrator, because the Python SDK does not ask the host to poll. Redirects are followed. Unlike
there, the RPC base of the host cannot be called: it trusts its callers, and whoever can write to the storage can send
a request from here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import AddrInfoType

from durablehost import __version__
from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from durablehost.core.json_text import compact
from durablehost.engine.ports import Executor
from durablehost.worker.http_message import (
    CONTENT_TYPE,
    absolute_url,
    answered_headers,
    becomes_get,
    decoded,
    redirection,
    request_headers,
    sent_content_type,
)

TIMEOUT_SECONDS = 240.0
# The default limit of a request to the host is the same.
MAX_CONTENT_BYTES = 100 * 1024 * 1024
# After so many, the redirection itself is the result, as of .NET.
MAX_REDIRECTS = 50

# aiohttp adds them to a request that lacks them, .NET does not.
_AGENT = {"User-Agent": f"durablehost/{__version__}"}
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type")
_TRACE_PARENT, _TRACE_STATE = "traceparent", "tracestate"


class BuiltInHttp:
    """An executor that makes HTTP calls itself and passes every other call on."""

    def __init__(self, executor: Executor, session: aiohttp.ClientSession) -> None:
        self._executor = executor
        self._session = session

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name != HTTP_ACTIVITY:
            return await self._executor.invoke(invocation)
        try:
            return InvocationResult(return_value=await self._send(str(invocation.inputs[HTTP_INPUT]), invocation))
        except Exception as error:
            # A request may hold any values; whatever error they cause in the client, the request is wrong.
            message = str(error) or _message_for(error)
            return InvocationResult(failure=Failure(type_name=type(error).__name__, message=message, stack=message))

    async def _send(self, text: str, invocation: Invocation) -> str:
        request = json.loads(text)
        method, url = request.get("method") or "GET", absolute_url(request.get("uri"))
        headers, content_type = request_headers(request.get("headers") or {})
        headers |= _trace_headers(invocation, headers)
        content = None if request.get("content") is None else request["content"].encode()
        content_headers = {} if content is None else {CONTENT_TYPE: sent_content_type(content_type)}
        for attempt in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                method,
                url,
                headers={**headers, **content_headers},
                data=content,
                skip_auto_headers=_NOT_ADDED,
                allow_redirects=False,
            ) as answer:
                target = redirection(url, answer.status, answer.headers.get("Location"))
                if target is None or attempt == MAX_REDIRECTS:
                    shown = decoded(await _read(answer), answer.charset)
                    headers_shown = answered_headers(answer.raw_headers)
                    return compact({"statusCode": answer.status, "headers": headers_shown, "content": shown})
                url = target
                # A credential for one address is none for another.
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
                if becomes_get(method, answer.status):
                    method, content, content_headers = "GET", None, {}
        raise AssertionError("the last attempt returns")


@asynccontextmanager
async def with_http(executor: Executor, find_rpc_base: Callable[[], str | None]) -> AsyncIterator[BuiltInHttp]:
    """An executor that makes HTTP calls, until the block ends, but none to the RPC base of this host."""

    def open_socket(address: AddrInfoType) -> socket.socket:
        # Checked here, whatever name or redirect has led to the address.
        _refuse_rpc_base(address, find_rpc_base())
        family, kind, protocol, *_ = address
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(socket_factory=open_socket)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=_AGENT,
        # Neither does a real host decompress; and it keeps cookies, those of addresses too.
        auto_decompress=False,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
    ) as session:
        yield BuiltInHttp(executor, session)


def _trace_headers(invocation: Invocation, given: Mapping[str, str]) -> dict[str, str]:
    """The context of the call, as .NET sends it, unless the request has one of its own."""
    if not invocation.trace_parent or _TRACE_PARENT in map(str.lower, given):
        return {}
    state = {_TRACE_STATE: invocation.trace_state} if invocation.trace_state else {}
    return {_TRACE_PARENT: invocation.trace_parent, **state}


def _refuse_rpc_base(address: AddrInfoType, rpc_base: str | None) -> None:
    host, port, *_ = address[4]
    if rpc_base is None or port != urlsplit(rpc_base).port:
        return
    ip = ipaddress.ip_address(str(host).partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    # A connection to 0.0.0.0 arrives on the loopback.
    if ip.is_loopback or ip.is_unspecified:
        raise ValueError(
            f"call_http may not call {rpc_base}, the address for durable clients inside functions: call the management "
            "API of the host instead."
        )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Raises `ValueError` if the content is larger than the limit."""
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > MAX_CONTENT_BYTES:
            answer.close()
            raise ValueError(
                f"The answer of {answer.method} {answer.url} is larger than {MAX_CONTENT_BYTES} bytes, "
                "the limit of call_http."
            )
    return bytes(content)


def _message_for(error: Exception) -> str:
    is_late = isinstance(error, asyncio.TimeoutError)
    return f"no answer within {TIMEOUT_SECONDS:g} seconds" if is_late else type(error).__name__
