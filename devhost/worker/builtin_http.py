"""The activity behind `call_http`: every host has it, and it runs in the host itself.

Mirrors TaskHttpActivityShim of the Durable Functions extension: every status, 4xx and 5xx too, is an answer; a 202 is
handed to the orchestrator, because the Python SDK does not ask the host to poll. Redirects are followed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from devhost.app.invocation import Failure, Invocation, InvocationResult
from devhost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from devhost.core.json_text import compact
from devhost.engine.ports import Executor

TIMEOUT_SECONDS = 240.0
# Of the content after decompression, as the function sees it: as much as a request to the host may have.
MAX_CONTENT_BYTES = 100 * 1024 * 1024

_CONTENT_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


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
            # Any value can stand in a request; whatever it breaks in the client, it is the request that is wrong.
            message = str(error) or _unworded(error)
            return InvocationResult(failure=Failure(type_name=type(error).__name__, message=message, stack=message))

    async def _send(self, text: str) -> str:
        request = json.loads(text)
        if not request.get("uri"):
            raise ValueError("call_http: uri must not be empty")
        content = request.get("content")
        headers = _request_headers(request.get("headers") or {}, has_content=content is not None)
        async with self._session.request(
            request.get("method") or "GET",
            request["uri"],
            headers=headers,
            data=None if content is None else content.encode(),
        ) as answer:
            content = await _read(answer)
            return compact({"statusCode": answer.status, "headers": _answer_headers(answer), "content": content})


@asynccontextmanager
async def with_http(executor: Executor) -> AsyncIterator[BuiltInHttp]:
    """An executor with HTTP calls, for as long as the block runs."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=True) as session:
        yield BuiltInHttp(executor, session)


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


def _unworded(error: Exception) -> str:
    is_late = isinstance(error, asyncio.TimeoutError)
    return f"no answer within {TIMEOUT_SECONDS:g} seconds" if is_late else type(error).__name__


def _request_headers(headers: Mapping[str, Any], *, has_content: bool) -> list[tuple[str, str]]:
    pairs = [
        (name, str(value))
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    content_types = [value for name, value in pairs if name.lower() == "content-type"]
    if any("multipart" in value.lower() for value in content_types):
        raise ValueError("Multipart content is not supported with CallHttpAsync.")
    if has_content and not content_types:
        pairs.append(("Content-Type", "text/plain"))
    return pairs


def _answer_headers(answer: aiohttp.ClientResponse) -> dict[str, str | list[str]]:
    """Without the headers that describe the content, as upstream; repeated ones as a list."""
    names = [name for name in dict.fromkeys(answer.headers) if name.lower() not in _CONTENT_HEADERS]
    values = {name: answer.headers.getall(name) for name in names}
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}
