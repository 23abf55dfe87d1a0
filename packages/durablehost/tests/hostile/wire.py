"""HTTP of a client without rules: sends bytes and reads answers, within a bounded time."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
# An upper bound for any answer that is not asked to wait, even on a machine under load.
ANSWER_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of any status; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def exchange(port: int, request: bytes | Iterable[bytes], *, seconds: float = ANSWER_SECONDS) -> bytes:
    """Returns all bytes that arrive on a new connection until the host closes it; none if it does so at once.

    Raises:
        AssertionError: the connection is still open when the time is over.
    """
    deadline = time.monotonic() + seconds
    with socket.create_connection((HOST, port), timeout=seconds) as connection:
        received = bytearray()
        try:
            for part in [request] if isinstance(request, bytes) else request:
                connection.sendall(part)
            while data := _receive(connection, deadline):
                received += data
        except TimeoutError:
            raise AssertionError(
                f"no end of the answer within {seconds:g} s; so far: {bytes(received[:300])!r}"
            ) from None
        except ConnectionError:
            pass  # the host has had enough of this client
        return bytes(received)


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(max(0.01, deadline - time.monotonic()))
    return connection.recv(1 << 16)


def parsed(data: bytes, *, method: str = "GET", may_be_cut: bool = False) -> Answer:
    """Returns the first answer in `data`. Raises `http.client.HTTPException` if there is none, or its body has no end.

    A body without an end is possible if the host has not read the request completely: closing the connection drops
    unsent data.
    """
    answer = http.client.HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
    answer.begin()
    try:
        body = answer.read()
    except http.client.IncompleteRead as cut:
        if not may_be_cut:
            raise
        body = cut.partial
    return Answer(status=answer.status, headers={k.lower(): v for k, v in answer.getheaders()}, body=body)


class _Bytes:
    """As much of a socket as `HTTPResponse` needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)
