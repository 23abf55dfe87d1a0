"""Bounds what connections cost whose clients do nothing: their number, and how long an answer waits to be read.

Rule of this file: a client that sends its request at once is served, however many idle connections there are.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

HEAD_SECONDS = 30.0
MOST_CONNECTIONS = 4096
READING_SECONDS = 30.0
# Half a minute may pass without a byte: the client may be in a debugger. Kestrel waits 5 seconds.
_SLOWEST_BYTES_PER_SECOND = 240
# Of the files that this process may open: there are two listeners, and the storage needs some too.
_SHARE_OF_FILES = 4


def most_connections(open_files: int) -> int:
    """How many connections a listener may keep if the process may open so many files."""
    return min(MOST_CONNECTIONS, open_files // _SHARE_OF_FILES)


class BoundedServer(web.Server):
    """Keeps at most `most` connections. One more costs the oldest one that has never sent a whole request head.

    If there is none, it costs the one whose last request was handled first: kept open for a next one, or with an answer
    that its client does not read.

    A connection has `head_seconds` for the head of its first request, and ends if hardly anything of an answer is read
    for `reading_seconds`.
    """

    def __init__(self, *arguments: Any, most: int, head_seconds: float, reading_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most = most
        self._head_seconds = head_seconds
        self._reading_seconds = reading_seconds
        # Both in the order in which they are given up. The timers end silent connections.
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._handled: dict[web.RequestHandler, None] = {}
        # What writes the newest answer of each connection, and how many bytes of it had left at the last look, if more
        # of them waited.
        self._writers: dict[web.RequestHandler, AbstractStreamWriter] = {}
        self._left: dict[web.RequestHandler, int] = {}
        self._is_looking = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            self._close(next(chain(self._silent, self._handled, [handler])))
        timer = asyncio.get_running_loop().call_later(self._head_seconds, self._close, handler)
        self._silent[handler] = timer
        if not self._is_looking:
            self._look_later()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._forget(handler)
        self._writers.pop(handler, None)
        super().connection_lost(handler, exc)

    def has_asked(self, request: web.BaseRequest) -> None:
        """Notes that a connection has sent a whole request head."""
        self._forget(request.protocol)
        self._left.pop(request.protocol, None)
        # It may be lost already.
        if request.protocol.transport is not None:
            self._writers[request.protocol] = request.writer

    def has_handled(self, request: web.BaseRequest) -> None:
        """Notes that the answer to a request is known; it may still have to be sent."""
        if request.protocol.transport is not None:
            self._handled[request.protocol] = None

    def _forget(self, handler: web.RequestHandler) -> None:
        if timer := self._silent.pop(handler, None):
            timer.cancel()
        self._handled.pop(handler, None)

    def _close(self, handler: web.RequestHandler) -> None:
        self._forget(handler)
        if handler.transport is not None:
            handler.transport.abort()

    def _look_later(self) -> None:
        self._is_looking = bool(self.connections)
        if self._is_looking:
            asyncio.get_running_loop().call_later(self._reading_seconds, self._end_unread)

    def _end_unread(self) -> None:
        """Ends the connections whose clients have read hardly anything of an answer since the last look."""
        least = self._reading_seconds * _SLOWEST_BYTES_PER_SECOND
        before, self._left = self._left, {}
        for handler, writer in list(self._writers.items()):
            waiting = 0 if handler.transport is None else handler.transport.get_write_buffer_size()
            if not waiting:
                continue
            self._left[handler] = writer.output_size - waiting
            if handler in before and self._left[handler] - before[handler] < least:
                self._close(handler)
        self._look_later()
