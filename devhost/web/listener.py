"""One listening socket: every request goes through one handler, and every error through the status table.

Built on aiohttp's server without its applications: routes of function apps follow other rules, and an application
answers some requests before it asks anybody.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from aiohttp.http import HttpProcessingError

from devhost.errors import ConfigurationError
from devhost.web.answer import error_answer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_UNAVAILABLE = frozenset({errno.EADDRINUSE, errno.EACCES, 10013, 10048})  # the last two are those of Windows
_BACKLOG = 512
_KEEP_ALIVE_SECONDS = 130
_CANCEL_AFTER_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may send. `body_bytes` 0: any body."""

    body_bytes: int
    line_bytes: int = 8190
    header_bytes: int = 32768
    header_count: int = 100


class Listener:
    """Serves `handler` on one address from `start` to `close`."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self._handler = handler
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        server = web.Server(
            self._answer,
            request_factory=partial(
                web.BaseRequest, loop=asyncio.get_running_loop(), client_max_size=limits.body_bytes
            ),
            access_log=None,
            logger=_connection_logger(),
            auto_decompress=False,  # a function gets the bytes that were sent
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            max_line_size=limits.line_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_count,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_CANCEL_AFTER_SECONDS)

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for."""
        return int(self._runner.addresses[0][1])

    async def start(self, address: str, port: int) -> None:
        """Returns when connections are accepted.

        Raises:
            ConfigurationError: the port is taken, or the address is not one of this machine.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, address, port, backlog=_BACKLOG).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno in _UNAVAILABLE:
                raise ConfigurationError(
                    f"Port {port} is unavailable. Close the process using that port, "
                    "or specify another port using --port [-p]."
                ) from error
            raise ConfigurationError(f"The address {address} cannot be listened on: {error.strerror}") from error

    async def wait_until_idle(self) -> None:
        await self._idle.wait()

    async def close(self) -> None:
        """Closes the socket and every connection; requests that still run are cancelled after a moment."""
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._running += 1
        self._idle.clear()
        try:
            return await self._handler(request)
        except Exception as error:
            return error_answer(error)
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()


class _ClientErrors(logging.Filter):
    """Drops what aiohttp reports of bytes that are no HTTP: the client has its 400, the log is for the developer."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_CLIENT_ERRORS = _ClientErrors()


def _connection_logger() -> logging.Logger:
    connection_logger = logging.getLogger("Host.Web.Connection")
    connection_logger.addFilter(_CLIENT_ERRORS)
    return connection_logger
