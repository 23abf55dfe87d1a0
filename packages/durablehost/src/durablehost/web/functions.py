"""HTTP functions: a request becomes an invocation, its result becomes the answer.

Mirrors the HTTP trigger and output binding of the Functions host, and its ScriptInvocationMiddleware. A caller does not
learn why a function failed: the log has the reason.
"""

from __future__ import annotations

import logging
import uuid

from aiohttp import web
from multidict import CIMultiDict

from durablehost.app.invocation import HttpRequest, HttpResponse, InputValue, Invocation, InvocationResult
from durablehost.app.model import Function
from durablehost.app.response_headers import FORBIDDEN_IN_VALUES, FRAMING_HEADERS, HEADER_NAME
from durablehost.clock import Clock
from durablehost.core.trace_context import TraceContext
from durablehost.engine.ports import Executor
from durablehost.engine.tracing import Tracer, context_of, open_span, within
from durablehost.errors import RequestError, WorkerError
from durablehost.web.answer import empty
from durablehost.web.request import EdgeRequest
from durablehost.web.request_span import http_request_span, request_span_name
from durablehost.web.router import RouteMatch, full_template

logger = logging.getLogger("Host.Web")

HOST_API_REASON = "This function was programmatically called via the host APIs."


class FunctionCaller:
    """Calls functions for HTTP requests. A call goes on even if its client disconnects.

    `prefix` is that of the routes, for the spans.
    """

    def __init__(self, executor: Executor, clock: Clock, *, prefix: str, tracer: Tracer) -> None:
        self._executor = executor
        self._clock = clock
        self._prefix = prefix
        self._tracer = tracer

    async def answer(self, request: EdgeRequest, match: RouteMatch) -> web.Response:
        """The function's answer: 204 if it sets no response, 500 without a body if it fails."""
        route = f"/{full_template(match.function, self._prefix)}"
        span = open_span(self._tracer, request.trace, request_span_name(request, route), self._clock.now())
        invocation_id, status = str(uuid.uuid4()), 500
        try:
            answer = await self._answer(request, match, invocation_id, context_of(span))
            status = answer.status
            return answer
        except RequestError as error:
            status = error.status
            raise
        finally:
            if self._tracer.is_on and span is not None:
                finished = http_request_span(
                    request,
                    span.until(self._clock.now()),
                    route=route,
                    function_name=match.function.name,
                    invocation_id=invocation_id,
                    status=status,
                )
                self._tracer.record([finished])

    async def _answer(
        self, request: EdgeRequest, match: RouteMatch, invocation_id: str, context: TraceContext | None
    ) -> web.Response:
        trigger_value = HttpRequest(
            method=request.method,
            url=request.url,
            headers=request.joined_headers(),
            query=request.query.joined(),
            params=match.params,
            body=await request.read(),
        )
        result = await self.call(match.function, trigger_value, invocation_id=invocation_id, context=context)
        if result is None or result.failure is not None:
            return empty(500)
        return _to_answer(match.function, result.response) if result.response else empty(204)

    async def call(
        self,
        function: Function,
        trigger_value: InputValue,
        *,
        invocation_id: str | None = None,
        context: TraceContext | None = None,
    ) -> InvocationResult | None:
        """Calls a function; None if its worker process ended or stopped answering first."""
        invocation = Invocation(
            invocation_id=invocation_id or str(uuid.uuid4()),
            function_name=function.name,
            inputs={function.trigger.name: trigger_value},
            reason=HOST_API_REASON,
        )
        try:
            return await self._executor.invoke(within(invocation, context))
        except WorkerError as error:
            logger.error("The call of '%s' failed: %s", function.name, error)
            return None


def _to_answer(function: Function, response: HttpResponse) -> web.Response:
    problem = _problem(response)
    if problem:
        logger.error("The response of '%s' cannot be sent: %s", function.name, problem)
        return empty(500)
    headers = CIMultiDict(
        (name, value) for name, value in response.headers.items() if name.lower() not in FRAMING_HEADERS
    )
    for cookie in response.cookies:
        headers.add("Set-Cookie", cookie)
    return web.Response(status=response.status, headers=headers, body=response.body)


def _problem(response: HttpResponse) -> str | None:
    """Why this response cannot be sent over HTTP, or None."""
    if not 200 <= response.status <= 999:
        return f"{response.status} is not an HTTP status from 200 to 999"
    pairs = [*response.headers.items(), *(("Set-Cookie", cookie) for cookie in response.cookies)]
    for name, value in pairs:
        if not HEADER_NAME.fullmatch(name):
            return f"{name!r} is not a header name"
        if forbidden := FORBIDDEN_IN_VALUES.search(value):
            return f"the header {name} contains {forbidden[0]!a}; headers are ASCII without control characters"
    return None
