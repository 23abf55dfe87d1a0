"""How the counting proxy finds and names the requests that pass it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bench.proxy import Counts, RequestReader, Tally, counting_proxy, operation_of
from durablehost.emulator.azurite import HOST, Ports

PUT = b"POST /a/q/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
# A body can look like a request.
TRANSACTION = b"POST /a/$batch HTTP/1.1\r\ncontent-length:24\r\n\r\nGET /a/b HTTP/1.1\r\n\r\nxyz"
GET = b"GET /a/q/messages HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_requests_are_found_in_pieces_of_any_size(piece: int) -> None:
    sent = PUT + TRANSACTION + GET
    reader = RequestReader()

    found = [line for first in range(0, len(sent), piece) for line in reader.feed(sent[first : first + piece])]

    assert found == [
        b"POST /a/q/messages HTTP/1.1",
        b"POST /a/$batch HTTP/1.1",
        b"GET /a/q/messages HTTP/1.1",
    ]


def test_a_body_without_a_length_is_refused_rather_than_miscounted() -> None:
    with pytest.raises(ValueError, match="chunked"):
        RequestReader().feed(b"PUT /a/c/b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    ("service", "target", "operation"),
    [
        ("queue", "POST /account/q/messages?visibilitytimeout=3", "queue POST messages"),
        ("queue", "DELETE /account/q/messages/1-2?popreceipt=x", "queue DELETE messages"),
        ("queue", "PUT /account/q", "queue PUT queue"),
        ("queue", "GET /account/q?comp=metadata", "queue GET queue metadata"),
        ("table", "POST /account/$batch", "table POST $batch"),
        ("table", "POST /account/Tables", "table POST table"),
        ("table", "POST /account/BenchHubInstances", "table POST rows"),
        ("table", "GET /account/BenchHubHistory()?$filter=x", "table GET rows"),
        ("table", "PATCH /account/T(PartitionKey='p',RowKey='')", "table PATCH row"),
        ("blob", "PUT /account/c?restype=container", "blob PUT container container"),
        ("blob", "PUT /account/c/b", "blob PUT blob"),
        ("blob", "PUT /account/c/b?comp=lease", "blob PUT blob lease"),
    ],
)
def test_operations_are_named_without_their_resources(service: str, target: str, operation: str) -> None:
    assert operation_of(service, f"{target} HTTP/1.1".encode()) == operation


def test_messages_are_counted_while_they_are_stored() -> None:
    tally = Tally()
    for operation in ("POST", "POST", "GET", "DELETE", "POST", "DELETE", "DELETE"):
        tally.add(f"queue {operation} messages")

    assert tally.counts() == Counts(
        requests=Counter({"queue POST messages": 3, "queue DELETE messages": 3, "queue GET messages": 1}),
        most_messages=2,
    )


def test_a_reset_tally_still_counts_the_stored_messages() -> None:
    tally = Tally()
    for operation in ("POST", "POST", "DELETE"):
        tally.add(f"queue {operation} messages")

    tally.start_over()
    assert tally.counts() == Counts(requests=Counter(), most_messages=1)

    tally.add("queue POST messages")
    assert tally.counts() == Counts(requests=Counter({"queue POST messages": 1}), most_messages=2)


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def echoing_storage() -> Iterator[Ports]:
    with ExitStack() as stack:
        servers = [stack.enter_context(ThreadingHTTPServer((HOST, 0), Echo)) for _ in range(3)]
        for server in servers:
            thread = Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        blob, queue, table = (server.server_port for server in servers)
        yield Ports(blob=blob, queue=queue, table=table)


def test_requests_and_answers_pass_unchanged_and_are_counted_by_service() -> None:
    body = b"x" * 100_000
    with echoing_storage() as target, counting_proxy(target) as proxy:
        for port in astuple(proxy.ports):
            connection = HTTPConnection(HOST, port)
            for _ in range(2):
                connection.request("POST", "/account/q/messages", body)
                assert connection.getresponse().read() == body
            connection.close()

        assert proxy.tally.counts().requests == {"blob POST blob": 2, "queue POST messages": 2, "table POST rows": 2}


def test_after_the_block_the_ports_are_closed_and_open_connections_ended() -> None:
    with echoing_storage() as target:
        with counting_proxy(target) as proxy:
            client = HTTPConnection(HOST, proxy.ports.queue, timeout=10)
            client.request("POST", "/account/q/messages", b"x")
            client.getresponse().read()
        assert client.sock.recv(1) == b""
        client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, proxy.ports.queue), timeout=1)
