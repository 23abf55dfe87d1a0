"""The worker process's end of its connection to the host: a blocking socket that any thread may send on.

Rule of this file: a copy of the process that user code forks must never write to the connection, or it would corrupt
the frames of the original.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

from durablehost.worker import protocol


class Channel:
    """Sends whole frames; receives them one by one, from one thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._sending = threading.Lock()
        self.is_forked = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._disown)

    def send(self, message: protocol.Message) -> None:
        """Blocks while the host is slow. Sends nothing in a forked copy of the process.

        Raises:
            FrameTooLarge: nothing was sent.
        """
        frame = protocol.Frame(message)
        if self.is_forked:
            return
        with self._sending:
            for piece in frame:
                self._connection.sendall(piece)

    def received(self) -> Iterator[protocol.Message]:
        """Every message, until the host closes the connection or is gone."""
        while True:
            prefix = self._read(protocol.PREFIX_SIZE)
            if prefix is None:
                return
            message = self._message(prefix)
            if message is None:
                return
            yield message
            # Frees its payload before waiting for the next one.
            del message

    def _message(self, prefix: bytes) -> protocol.Message | None:
        body = self._read(protocol.body_size(prefix))
        return None if body is None else protocol.decode(prefix, body)

    def _read(self, size: int) -> bytes | None:
        try:
            data = self._file.read(size)
        except OSError:
            return None
        return data if len(data) == size else None

    def _disown(self) -> None:
        self.is_forked = True
        # User code may have closed it.
        with suppress(OSError):
            os.close(self._connection.detach())


def connect(port: int) -> Channel:
    """Opens the connection to the pool's listener on this machine."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Channel(connection)
