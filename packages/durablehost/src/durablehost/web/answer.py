"""Builds the answers of durablehost itself, and maps every error to one of them.

Mirrors HttpRequestMessageExtensions and HttpApiHandler of the Durable Functions extension. Every body is empty or JSON:
the SDK's client can read nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from durablehost.core.json_text import compact
from durablehost.errors import (
    InstanceExists,
    PayloadTooLarge,
    RequestError,
    StorageRefused,
    StorageUnavailable,
    UnreadableState,
)
from durablehost.types import JsonValue

logger = logging.getLogger("Host.Web")

_BAD_ARGUMENT = "One or more of the arguments submitted is incorrect"
_UNEXPECTED = "Something went wrong while processing your request"
_STORAGE_RETRY_SECONDS = 5
_EXCEPTION_TYPES = {
    400: "System.ArgumentException",
    409: "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
}


def json_answer(value: JsonValue, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return text_answer(compact(value), status=status, headers=headers)


def text_answer(json_text: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer whose body is JSON text already."""
    return web.Response(
        status=status,
        body=json_text.encode("utf-8"),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


def empty(status: int) -> web.Response:
    return web.Response(status=status)


async def refuse_while_starting(request: web.BaseRequest) -> web.Response:
    """The handler of a host that listens already and is not ready yet."""
    return web.Response(status=503, text="Function host is not running.", headers={"Retry-After": "1"})


def error_answer(error: Exception) -> web.Response:
    """Maps an error to an answer. Unexpected errors are logged here, and only here."""
    if isinstance(error, web.HTTPException):
        return empty(error.status)
    if isinstance(error, RequestError):
        return _request_error(error)
    if isinstance(error, InstanceExists):
        return _long(409, str(error), str(error))
    if isinstance(error, StorageUnavailable):
        logger.warning("The storage did not answer a request: %s", error)
        answer = _long(503, "The storage is not available", str(error))
        answer.headers["Retry-After"] = str(_STORAGE_RETRY_SECONDS)
        return answer
    if isinstance(error, PayloadTooLarge):
        return _long(413, "The payload is too large", str(error))
    if isinstance(error, StorageRefused):
        logger.warning("The storage refuses what a request asks for: %s", error)
        return _long(400, _BAD_ARGUMENT, f"The storage refuses it: {error}")
    if isinstance(error, UnreadableState):
        return _long(
            409, "What is stored cannot be read", str(error), exception_type="System.InvalidOperationException"
        )
    if isinstance(error, (web.RequestPayloadError, ConnectionError)):
        return empty(400)  # the request body broke off; mostly the client is gone
    logger.error("A request failed: %r", error, exc_info=error)
    return _long(500, _UNEXPECTED, f"{type(error).__name__}: the log of the host has the details")


def _request_error(error: RequestError) -> web.Response:
    if error.status in (401, 403, 404, 408, 410, 413) and error.detail is None:
        return empty(error.status)
    if error.status == 412:
        return json_answer(error.message, status=412)
    if error.status == 400 and error.detail is None:
        return _long(400, _BAD_ARGUMENT, error.message)
    if error.status == 500:
        return _long(500, _UNEXPECTED, error.message, exception_type="System.InvalidOperationException")
    return _long(error.status, error.message, error.detail or error.message)


def _long(status: int, message: str, exception_message: str, *, exception_type: str | None = None) -> web.Response:
    """An answer that describes an exception. The SDK reads `ExceptionMessage`; a stack trace is for the log only."""
    return json_answer(
        {
            "Message": message,
            "ExceptionMessage": exception_message,
            "ExceptionType": exception_type or _EXCEPTION_TYPES.get(status, "System.Exception"),
            "StackTrace": None,
        },
        status=status,
    )
