"""HTTP functions: a request becomes an invocation, its result becomes the answer.

Mirrors the HTTP trigger and output binding of the Functions host, and its ScriptInvocationMiddleware. A caller learns
nothing of why a function failed: that is in the log.
"""

from __future__ import annotations

import logging
import re
import uuid

from aiohttp import web
from multidict import CIMultiDict

from devhost.app.invocation import HttpRequest, HttpResponse, InputValue, Invocation, InvocationResult
from devhost.app.model import Function
from devhost.engine.ports import Executor
from devhost.errors import WorkerError
from devhost.web.answer import empty
from devhost.web.request import EdgeRequest
from devhost.web.router import RouteMatch

logger = logging.getLogger("Host.Web")

HOST_API_REASON = "This function was programmatically called via the host APIs."

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# The server frames the answer; what a function says about it would contradict the bytes that are sent.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"})


class FunctionCaller:
    """Calls functions on behalf of the HTTP edge. Work is not cut short when the caller goes away."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def answer(self, request: EdgeRequest, match: RouteMatch) -> web.Response:
        """What the function answers: 204 where it sets no response, 500 without a body where it fails."""
        trigger_value = HttpRequest(
            method=request.method,
            url=request.url,
            headers=request.joined_headers(),
            query=request.query.joined(),
            params=match.params,
            body=await request.read(),
        )
        result = await self.call(match.function, trigger_value)
        if result is None or result.failure is not None:
            return empty(500)
        return _to_answer(match.function, result.response) if result.response else empty(204)

    async def call(self, function: Function, trigger_value: InputValue) -> InvocationResult | None:
        """One call; None where the worker process did not bring it to an end."""
        invocation = Invocation(
            invocation_id=str(uuid.uuid4()),
            function_name=function.name,
            inputs={function.trigger.name: trigger_value},
            reason=HOST_API_REASON,
        )
        try:
            return await self._executor.invoke(invocation)
        except WorkerError as error:
            logger.error("The call of '%s' did not end: %s", function.name, error)
            return None


def _to_answer(function: Function, response: HttpResponse) -> web.Response:
    problem = _problem(response)
    if problem:
        logger.error("The response of '%s' cannot be sent: %s", function.name, problem)
        return empty(500)
    headers = CIMultiDict(
        (name, value) for name, value in response.headers.items() if name.lower() not in _FRAMING_HEADERS
    )
    for cookie in response.cookies:
        headers.add("Set-Cookie", cookie)
    return web.Response(status=response.status, headers=headers, body=response.body)


def _problem(response: HttpResponse) -> str | None:
    """Why this response is no HTTP, or None."""
    if not 200 <= response.status <= 999:
        return f"{response.status} is not a status of an answer"
    pairs = [*response.headers.items(), *(("Set-Cookie", cookie) for cookie in response.cookies)]
    for name, value in pairs:
        if not _HEADER_NAME.fullmatch(name):
            return f"{name!r} is not a header name"
        if _FORBIDDEN_IN_VALUES.search(value):
            return f"the header {name} has a control character in it"
    return None
