"""The pool's end of the connections: a loopback listener that lets in only processes which the pool has started.

A process proves it with a token that it got on its stdin; anyone else on this machine is turned away.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

import anyio

from devhost.errors import ProtocolError
from devhost.worker import protocol

_HELLO_SECONDS = 10.0
_MAX_HELLO_SIZE = 4096
_BUFFER_SIZE = 1024 * 1024

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
                    # Cut short, the rest of this frame would be taken from the next one.
                    self.close()

    async def received(self) -> AsyncIterator[protocol.Message]:
        """Every message, until the connection ends."""
        try:
            while True:
                prefix = await self._reader.readexactly(protocol.PREFIX_SIZE)
                # Kept under no name: the next frame may be long in coming.
                yield protocol.decode(prefix, await self._reader.readexactly(protocol.body_size(prefix)))
        except (asyncio.IncompleteReadError, OSError):
            return

    def close(self) -> None:
        self._writer.transport.abort()


class Listener:
    """Hands each process's connection to whoever expects its token."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._expected: dict[str, asyncio.Future[Connection]] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_BUFFER_SIZE)

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
        if self._server is not None:
            self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with anyio.fail_after(_HELLO_SECONDS):
                token = await _read_token(reader)
        except (TimeoutError, OSError, ProtocolError, asyncio.IncompleteReadError):
            token = ""
        connection = self._expected.get(token)
        if connection is None or connection.done():
            _log.warning("A connection to the port of the worker processes was turned away: it is not one of them.")
            writer.transport.abort()
            return
        connection.set_result(Connection(reader, writer))


async def _read_token(reader: asyncio.StreamReader) -> str:
    prefix = await reader.readexactly(protocol.PREFIX_SIZE)
    size = protocol.body_size(prefix)
    if size > _MAX_HELLO_SIZE:
        raise ProtocolError(f"a greeting of {size} bytes is too large")
    hello = protocol.decode(prefix, await reader.readexactly(size))
    return hello.token if isinstance(hello, protocol.Hello) else ""
