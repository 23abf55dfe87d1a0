"""A proxy that counts the storage requests of a host, by service and operation; each service has its port.

It parses only as much of HTTP/1.1 as it needs to find the end of a request, and passes every byte on unchanged; a
signature covers the path and not the port, so it stays valid. Not for timed runs.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from durablehost.emulator.azurite import HOST, Ports

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_READ_BYTES = 65536
_MESSAGES_STORED_BY = {"queue POST messages": 1, "queue DELETE messages": -1}
# An insert and a query name the table alone.
_TABLE_RESOURCES = {"$batch": "$batch", "PartitionKey=": "row", "Tables": "table"}


class RequestReader:
    """Finds the requests in the bytes of a client, however they are cut."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body_remaining = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The request lines of the heads that `data` completes."""
        self._buffer += data
        lines: list[bytes] = []
        while True:
            skipped = min(self._body_remaining, len(self._buffer))
            self._buffer, self._body_remaining = self._buffer[skipped:], self._body_remaining - skipped
            head, end, rest = self._buffer.partition(_HEAD_END)
            if self._body_remaining or not end:
                return lines
            if _CHUNKED.search(head):
                raise ValueError("a request with a chunked body cannot be counted")
            length = _LENGTH.search(head)
            self._buffer, self._body_remaining = rest, int(length[1]) if length else 0
            lines.append(head.partition(b"\r\n")[0])


def operation_of(service: str, request_line: bytes) -> str:
    """The operation of a request, without names of queues, tables, rows: `queue PUT messages`, `table POST $batch`."""
    method, target, *_ = request_line.decode("latin-1").split(" ")
    path, _, query = target.partition("?")
    # /account/resource/... in every service.
    _, _, resource, *below = path.split("/")
    if service == "table":
        what = next((kind for mark, kind in _TABLE_RESOURCES.items() if mark in resource), "rows")
    elif service == "queue":
        what = "messages" if below else "queue"
    else:
        what = "blob" if below else "container"
    component = re.search(r"(?:^|&)(?:comp|restype)=(\w+)", query)
    return f"{service} {method} {what}" + (f" {component[1]}" if component else "")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests by operation, and how many queue messages were stored at the same time, whether visible or not."""

    requests: Counter[str]
    most_messages: int


class Tally:
    """Counts requests until it is asked to start over; the messages that are stored by then stay stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._messages = self._most_messages = 0

    def add(self, operation: str) -> None:
        with self._lock:
            self._requests[operation] += 1
            self._messages += _MESSAGES_STORED_BY.get(operation, 0)
            self._most_messages = max(self._most_messages, self._messages)

    def start_over(self) -> None:
        with self._lock:
            self._requests.clear()
            self._most_messages = self._messages

    def counts(self) -> Counts:
        with self._lock:
            return Counts(requests=self._requests.copy(), most_messages=self._most_messages)


@contextmanager
def counting_proxy(target: Ports) -> Iterator[CountingProxy]:
    """A proxy before Azurite, in a thread of its own, so that blocking calls do not stop it."""
    proxy = CountingProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class CountingProxy:
    """The ports of the storage for the host, and the `tally` of its requests."""

    def __init__(self, target: Ports) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="counting proxy", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.ports = target
        self.tally = Tally()

    def start(self) -> None:
        self._thread.start()
        self.ports = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> Ports:
        return Ports(
            blob=await self._serve("blob", self._target.blob),
            queue=await self._serve("queue", self._target.queue),
            table=await self._serve("table", self._target.table),
        )

    async def _serve(self, service: str, target_port: int) -> int:
        async def connect(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
            # `start_server` owns the task; it is noted here to be ended with the proxy.
            if task := asyncio.current_task():
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
            try:
                with suppress(ConnectionError):
                    await self._pass_on(service, target_port, client, to_client)
            finally:
                await _close(to_client)

        server = await asyncio.start_server(connect, HOST, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _pass_on(
        self, service: str, target_port: int, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        azurite, to_azurite = await asyncio.open_connection(HOST, target_port)
        answers = asyncio.create_task(_copy(azurite, to_client), name="answers of Azurite")
        requests = RequestReader()
        try:
            while data := await client.read(_READ_BYTES):
                for line in requests.feed(data):
                    self.tally.add(operation_of(service, line))
                to_azurite.write(data)
                await to_azurite.drain()
        finally:
            answers.cancel()
            await _close(to_azurite)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(_READ_BYTES):
            target.write(data)
            await target.drain()
        target.close()
