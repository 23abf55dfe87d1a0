"""The pool's end of the connections: a loopback listener that accepts only processes which the pool has started.

A process shows the token that it got on its stdin; any other connection is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from weakref import WeakSet

import anyio

from durablehost.errors import ProtocolError
from durablehost.resilience import is_worth_a_line
from durablehost.system.listening import ACCEPTED_AT_ONCE, extend_backlog, open_listening
from durablehost.worker import protocol

_HELLO_SECONDS = 10.0
_MAX_HELLO_SIZE = 4096
_BUFFER_SIZE = 1024 * 1024
_MOST_SILENT = 64

_log = logging.getLogger("Host.Worker")


class Connection:
    """Frames to and from one worker process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = asyncio.Lock()

    async def send(self, message: protocol.Message) -> None:
        """Waits while the process is slow to read. A broken connection is noticed by the receiver.

        Raises:
            FrameTooLarge: nothing was sent.
        """
        frame = protocol.Frame(message)
        async with self._sending:
            left = frame.size
            try:
                for piece in frame:
                    self._writer.write(piece)
                    left -= len(piece)
                    await self._writer.drain()
            except OSError:
                return
            finally:
                if left:
                    # After a part of a frame, the next one would be read as its rest.
                    self.close()

    async def received(self) -> AsyncIterator[protocol.Message]:
        """Every message, until the connection ends."""
        try:
            while True:
                prefix = await self._reader.readexactly(protocol.PREFIX_SIZE)
                # Not kept in a variable, to free its payload before waiting for the next one.
                yield protocol.decode(prefix, await self._reader.readexactly(protocol.body_size(prefix)))
        except (asyncio.IncompleteReadError, OSError):
            return

    def close(self) -> None:
        self._writer.transport.abort()


class WorkerListener:
    """Passes each process's connection to the caller that expects its token."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._refused = 0
        # Connections that have not shown their token, oldest first.
        self._silent: dict[asyncio.StreamWriter, None] = {}
        self._expected: dict[str, asyncio.Future[Connection]] = {}
        # A process whose start is given up may have connected, and nobody else closes its connection.
        self._writers: WeakSet[asyncio.StreamWriter] = WeakSet()

    async def start(self) -> None:
        listening = open_listening("127.0.0.1", 0)
        try:
            self._server = await asyncio.start_server(
                self._accept, sock=listening, backlog=ACCEPTED_AT_ONCE, limit=_BUFFER_SIZE
            )
        except BaseException:
            listening.close()
            raise
        extend_backlog(listening)

    @property
    def port(self) -> int:
        if self._server is None:
            raise ProtocolError("the listener of the worker processes is not started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def expect(self) -> tuple[str, asyncio.Future[Connection]]:
        """A new token, and the connection of the process that will show it."""
        token = secrets.token_urlsafe(32)
        connection: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._expected[token] = connection
        connection.add_done_callback(lambda _: self._expected.pop(token, None))
        return token, connection

    def close(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._silent[writer] = None
        if len(self._silent) > _MOST_SILENT:
            oldest = next(iter(self._silent))
            # At once: of several that come together, each has to cost another one.
            del self._silent[oldest]
            oldest.transport.abort()
        try:
            with anyio.fail_after(_HELLO_SECONDS):
                token = await _read_token(reader)
        except Exception:
            # Anyone on this machine can send anything.
            token = ""
        finally:
            self._silent.pop(writer, None)
        connection = self._expected.get(token)
        if connection is None or connection.done():
            self._refuse(writer)
            return
        connection.set_result(Connection(reader, writer))

    def _refuse(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._refused += 1
        if is_worth_a_line(self._refused):
            _log.warning(
                "Refused a connection to the port of the worker processes: it is not one of theirs (%d so far).",
                self._refused,
            )


async def _read_token(reader: asyncio.StreamReader) -> str:
    prefix = await reader.readexactly(protocol.PREFIX_SIZE)
    size = protocol.body_size(prefix)
    if size > _MAX_HELLO_SIZE:
        raise ProtocolError(f"a greeting of {size} bytes is too large")
    hello = protocol.decode(prefix, await reader.readexactly(size))
    return hello.token if isinstance(hello, protocol.Hello) else ""
