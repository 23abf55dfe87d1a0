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
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import AddrInfoType

from durablehost import __version__
from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from durablehost.core.json_text import compact
from durablehost.engine.ports import Executor

TIMEOUT_SECONDS = 240.0
# Limits the decompressed content; the default limit of a request to the host is the same.
MAX_CONTENT_BYTES = 100 * 1024 * 1024

# The headers that belong to the content in .NET: a request must not set them, and a result lacks them.
_CONTENT_HEADERS = frozenset(
    {
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "expires",
        "last-modified",
    }
)
_CONTENT_TYPE = "content-type"
_FORM = "application/x-www-form-urlencoded"
# aiohttp adds them to a request that lacks them, .NET does not.
_AGENT = {"User-Agent": f"durablehost/{__version__}"}
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type")


class BuiltInHttp:
    """An executor that makes HTTP calls itself and passes every other call on."""

    def __init__(self, executor: Executor, session: aiohttp.ClientSession) -> None:
        self._executor = executor
        self._session = session

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name != HTTP_ACTIVITY:
            return await self._executor.invoke(invocation)
        try:
            return InvocationResult(return_value=await self._send(str(invocation.inputs[HTTP_INPUT])))
        except Exception as error:
            # A request may hold any values; whatever error they cause in the client, the request is wrong.
            message = str(error) or _message_for(error)
            return InvocationResult(failure=Failure(type_name=type(error).__name__, message=message, stack=message))

    async def _send(self, text: str) -> str:
        request = json.loads(text)
        content = request.get("content")
        async with self._session.request(
            request.get("method") or "GET",
            _absolute(request.get("uri")),
            headers=_request_headers(request.get("headers") or {}, has_content=content is not None),
            data=None if content is None else content.encode(),
            skip_auto_headers=_NOT_ADDED,
        ) as answer:
            content = await _read(answer)
            return compact({"statusCode": answer.status, "headers": _answer_headers(answer), "content": content})


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
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_AGENT) as session:
        yield BuiltInHttp(executor, session)


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


async def _read(answer: aiohttp.ClientResponse) -> str:
    """The content as text. aiohttp decompresses it in small pieces, so a compression bomb is stopped at the limit.

    Raises:
        ValueError: the content is larger than the limit.
    """
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > MAX_CONTENT_BYTES:
            answer.close()
            raise ValueError(
                f"The answer of {answer.method} {answer.url} is larger than {MAX_CONTENT_BYTES} bytes, "
                "the limit of call_http."
            )
    try:
        return content.decode(answer.charset or "utf-8", "replace")
    except LookupError:  # the answer names a charset that does not exist
        return content.decode("utf-8", "replace")


def _message_for(error: Exception) -> str:
    is_late = isinstance(error, asyncio.TimeoutError)
    return f"no answer within {TIMEOUT_SECONDS:g} seconds" if is_late else type(error).__name__


def _absolute(uri: Any) -> str:
    """The address, which has to be absolute.

    Raises:
        ValueError: it is empty, relative, or of another scheme.
    """
    if not uri:
        raise ValueError("call_http: uri must not be empty")
    parts = urlsplit(str(uri))
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f'call_http: uri is "{uri}"; it must begin with http:// or https:// and a host')
    return str(uri)


def _request_headers(headers: Mapping[str, Any], *, has_content: bool) -> list[tuple[str, str]]:
    """One pair for each value. Without content there is no content type either.

    Raises:
        ValueError: a header cannot be sent.
    """
    pairs = []
    content_type = ""
    for name, values in headers.items():
        texts = [_header_text(name, value) for value in (values if isinstance(values, list) else [values])]
        sent = [text for text in texts if text is not None]
        if name.lower() == _CONTENT_TYPE:
            content_type = sent[-1] if sent else content_type
        elif name.lower() in _CONTENT_HEADERS:
            raise ValueError(f"call_http: the header {name} describes the content and is set by the host: leave it out")
        else:
            pairs += [(name, text) for text in sent]
    if "multipart" in content_type.lower():
        raise ValueError("Multipart content is not supported with CallHttpAsync.")
    if has_content:
        is_form = content_type.lower() == _FORM
        pairs.append(("Content-Type", f"{content_type}; charset=utf-8" if is_form else content_type or "text/plain"))
    return pairs


def _header_text(name: str, value: Any) -> str | None:
    """The text of a header's value; None is left out."""
    if isinstance(value, (dict, list)):
        raise ValueError(f"call_http: the header {name} must be text or a list of texts, not {compact(value)}")
    return None if value is None else str(value)


def _answer_headers(answer: aiohttp.ClientResponse) -> dict[str, str | list[str]]:
    """Without the headers of the content, as upstream; repeated ones as a list."""
    names = [name for name in dict.fromkeys(answer.headers) if name.lower() not in _CONTENT_HEADERS]
    values = {name: answer.headers.getall(name) for name in names}
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}
