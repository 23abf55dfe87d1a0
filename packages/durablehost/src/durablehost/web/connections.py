"""Bounds what connections cost that send nothing: their number, and the time until their first request.

Rule of this file: a client that sends its request at once is served, however many silent connections there are.
"""

from __future__ import annotations

import asyncio
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
    """Keeps at most `most` connections; one more costs the oldest one that has never sent a whole request head."""

    def __init__(self, *arguments: Any, most: int, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most = most
        self._head_seconds = head_seconds
        # In the order in which they were opened.
        self._silent: dict[web.RequestHandler, asyncio.Transport] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = transport
        asyncio.get_running_loop().call_later(self._head_seconds, self._close, handler)
        if len(self.connections) > self._most:
            self._close(next(iter(self._silent)))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._silent.pop(handler, None)
        super().connection_lost(handler, exc)

    def has_asked(self, handler: web.RequestHandler) -> None:
        """Notes that a connection has sent a whole request head."""
        self._silent.pop(handler, None)

    def _close(self, handler: web.RequestHandler) -> None:
        if transport := self._silent.pop(handler, None):
            transport.abort()
