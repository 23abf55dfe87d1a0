"""Listening sockets for asyncio, whose connections are accepted a few at a time.

asyncio accepts as many at a time as it lets wait. Each is an open file, so that a few hundred at once could exceed the
limit of the process; and it logs every one that it cannot accept with a traceback.
"""

from __future__ import annotations

import socket

# What to pass to asyncio as the backlog.
ACCEPTED_AT_ONCE = 16
_BACKLOG = 512


def open_listening(address: str, port: int) -> socket.socket:
    """A socket that listens on an IP address; port 0: any free one.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def extend_backlog(listening: socket.socket) -> None:
    """Lets many connections wait, after asyncio has set the backlog to what it is to accept at once."""
    listening.listen(_BACKLOG)
