"""Bounds what connections cost that ask for nothing: their number, and the time until their first request.

Rule of this file: a client that sends its request at once is served, however many idle connections there are.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from aiohttp import web

HEAD_SECONDS = 30.0
MOST_CONNECTIONS = 4096
# Of the files that this process may open: there are two listeners, and the storage needs some too.
_SHARE_OF_FILES = 4


def most_connections(open_files: int) -> int:
    """How many connections a listener may keep if the process may open so many files."""
    return min(MOST_CONNECTIONS, open_files // _SHARE_OF_FILES)


class BoundedServer(web.Server):
    """Keeps at most `most` connections. One more costs the oldest one that has never sent a whole request head.

    If there is none, it costs the one whose last request was handled first: kept open for a next one, or with an answer
    that its client does not read.
    """

    def __init__(self, *arguments: Any, most: int, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most = most
        self._head_seconds = head_seconds
        # Both in the order in which they are given up. The timers end silent connections.
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._handled: dict[web.RequestHandler, None] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            self._close(next(chain(self._silent, self._handled, [handler])))
        timer = asyncio.get_running_loop().call_later(self._head_seconds, self._close, handler)
        self._silent[handler] = timer

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._forget(handler)
        super().connection_lost(handler, exc)

    def has_asked(self, handler: web.RequestHandler) -> None:
        """Notes that a connection has sent a whole request head."""
        self._forget(handler)

    def has_handled(self, handler: web.RequestHandler) -> None:
        """Notes that the answer to the request of a connection is known; it may still have to be sent."""
        if handler.transport is not None:
            self._handled[handler] = None

    def _forget(self, handler: web.RequestHandler) -> None:
        if timer := self._silent.pop(handler, None):
            timer.cancel()
        self._handled.pop(handler, None)

    def _close(self, handler: web.RequestHandler) -> None:
        self._forget(handler)
        if handler.transport is not None:
            handler.transport.abort()
