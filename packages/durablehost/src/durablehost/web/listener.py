"""One listening socket: every request goes through one handler, and every error through the status table.

Built on aiohttp's server without its applications: routes of function apps follow other rules, and an application
answers some requests before any handler sees them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from durablehost.errors import ConfigurationError
from durablehost.system.listening import ACCEPTED_AT_ONCE, extend_backlog, open_listening
from durablehost.web.answer import error_answer
from durablehost.web.connections import HEAD_SECONDS, MOST_CONNECTIONS, READING_SECONDS, BoundedServer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# The second ones are those of Windows.
_IN_USE = frozenset({errno.EADDRINUSE, 10048, 10013})
_FOREIGN_ADDRESS = frozenset({errno.EADDRNOTAVAIL, 10049})
_KEEP_ALIVE_SECONDS = 130
_CANCEL_AFTER_SECONDS = 0.5
# After so many turns of the event loop, asyncio has made an accepted connection known.
_TURNS_OF_AN_ACCEPTED_CONNECTION = 3


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """What clients may send, and how long they may take. `body_bytes` 0: no limit."""

    body_bytes: int
    line_bytes: int = 8190
    header_bytes: int = 32768
    header_count: int = 100
    head_seconds: float = HEAD_SECONDS
    reading_seconds: float = READING_SECONDS
    connections: int = MOST_CONNECTIONS


class HttpListener:
    """Serves `handler`, which may be replaced, on one address from `start` to `close`."""

    def __init__(self, handler: Handler, limits: HttpLimits) -> None:
        self.handler = handler
        self._running: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._server = BoundedServer(
            self._answer,
            most=limits.connections,
            head_seconds=limits.head_seconds,
            reading_seconds=limits.reading_seconds,
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
        self._listening: socket.socket | None = None
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_CANCEL_AFTER_SECONDS)

    @property
    def port(self) -> int:
        """The port in use, also if 0 was requested."""
        return int(self._runner.addresses[0][1])

    async def start(self, address: str, port: int) -> None:
        """Returns when connections are accepted.

        Raises:
            ConfigurationError: the port is taken, or the address is not one of this machine.
        """
        await self._runner.setup()
        try:
            self._listening = open_listening(address, port)
            await web.SockSite(self._runner, self._listening, backlog=ACCEPTED_AT_ONCE).start()
            extend_backlog(self._listening)
        except OSError as error:
            await self.close()
            raise ConfigurationError(_problem(address, port, error)) from error
        except BaseException:
            await self.close()
            raise

    async def wait_until_idle(self) -> None:
        await self._idle.wait()

    async def close(self) -> None:
        """Closes the socket and every connection; requests that still run are cancelled after a moment."""
        listening, self._listening = self._listening, None
        if listening is not None:
            # asyncio leaves a connection open that it has accepted and not made known when its server is closed.
            with suppress(NotImplementedError):  # on Windows
                asyncio.get_running_loop().remove_reader(listening)
            for _ in range(_TURNS_OF_AN_ACCEPTED_CONNECTION):
                await asyncio.sleep(0)
        await self._runner.cleanup()
        # The server knows only the requests whose clients still wait.
        if running := tuple(self._running):
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        if listening is not None:
            # asyncio closes only the socket of a server that has started.
            listening.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._server.has_asked(request)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        try:
            return await self.handler(request)
        except Exception as error:
            return error_answer(error)
        finally:
            self._server.has_handled(request)
            self._running.discard(task)
            if not self._running:
                self._idle.set()


def _problem(address: str, port: int, error: OSError) -> str:
    if error.errno in _FOREIGN_ADDRESS:
        return f"--address: {address} is not an address of this machine."
    if error.errno == errno.EACCES:
        return f"Port {port} needs administrator rights. Specify another port using --port [-p]."
    if error.errno in _IN_USE:
        return (
            f"Port {port} is unavailable. Close the process using that port, or specify another port using --port [-p]."
        )
    return f"The host cannot listen on {address} (--address): {error.strerror}."


class _ClientErrors(logging.Filter):
    """Drops aiohttp's reports of bytes that are not HTTP: the client gets a 400, and the developer cannot act on it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_CLIENT_ERRORS = _ClientErrors()


def _connection_logger() -> logging.Logger:
    connection_logger = logging.getLogger("Host.Web.Connection")
    connection_logger.addFilter(_CLIENT_ERRORS)
    return connection_logger
