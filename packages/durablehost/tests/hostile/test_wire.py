"""Clients with malformed, slow or oversized HTTP on both ports: they are refused, and others are served."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from packages.durablehost.tests.hostile.conftest import Target
from packages.durablehost.tests.hostile.routes import RPC, WEBHOOKS
from packages.durablehost.tests.hostile.wire import HOST, exchange, parsed

Port = Callable[[Target], int]

PORTS = pytest.mark.parametrize(
    ("port", "base"),
    [(lambda target: target.public_port, WEBHOOKS), (lambda target: target.rpc_port, RPC)],
    ids=["public", "rpc"],
)
LENGTH = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

# Requests that a correct server refuses. {base} is that of the management API.
MALFORMED = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown version": b"GET {base}/instances HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a blank in the path": b"GET {base}/inst ances HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a NUL in the path": b"GET {base}/instances/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path of 1 MB": b"GET {base}/instances/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 1_000_000),
    "a method of 1 MB": b"%s {base}/instances HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"G" * 1_000_000),
    **{
        kind: b"POST {base}/orchestrators/waiting HTTP/1.1\r\nHost: localhost\r\n" + rest
        for kind, rest in {
            "a NUL in a header": b"X: a\0b\r\n\r\n",
            "a header without a colon": b"X\r\n\r\n",
            "a blank before the colon": b"X : localhost\r\n\r\n",
            "a folded header": b"X: a\r\n b\r\n\r\n",
            "200 headers": b"X: y\r\n" * 200 + b"\r\n",
            "100,000 headers": b"X: y\r\n" * 100_000 + b"\r\n",
            "a header of 1 MB": b"X: %s\r\n\r\n" % (b"y" * 1_000_000),
            "a header name of 1 MB": b"%s: y\r\n\r\n" % (b"X" * 1_000_000),
            "two hosts": b"Host: evil.test\r\n\r\n",
            "two lengths": LENGTH + b"Content-Length: 3\r\n\r\nab",
            "a length and chunks": LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
            "a negative length": b"Content-Length: -1\r\n\r\n",
            "a length beyond counting": b"Content-Length: %s\r\n\r\n" % (b"9" * 40),
            "an unknown coding": b"Transfer-Encoding: gzip\r\n\r\n",
            "a chunk of no size": CHUNKED + b"\r\nzz\r\n\r\n",
            "a chunk of a negative size": CHUNKED + b"\r\n-1\r\n\r\n",
        }.items()
    },
}


@PORTS
@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_requests_are_refused_and_end_their_connection(
    target: Target, port: Port, base: str, kind: str, figures: dict[str, Counter[str]]
) -> None:
    received = exchange(port(target), MALFORMED[kind].replace(b"{base}", base.encode()))
    counts = figures.setdefault("requests that are none", Counter())
    if not received:
        counts["no answer"] += 1
    else:
        answer = parsed(received, may_be_cut=True)
        counts[str(answer.status)] += 1
        assert 400 <= answer.status < 500, answer
        assert b"Traceback" not in answer.body
    target.check_alive()


TARGETS = [
    b"*", b"http://evil.test/", b"http://localhost/api/whereabouts", b"evil.test:443", b"//evil.test/api/whereabouts",
    b"/api/../admin/functions", b"/api//whereabouts", b"/./", b"?", b"/?", b"http://[", b"http:///", b"\\",
]  # fmt: skip


@PORTS
@pytest.mark.parametrize("verb", [b"GET", b"OPTIONS", b"CONNECT"])
@pytest.mark.parametrize("form", TARGETS)
def test_any_form_of_the_request_target_has_an_answer(
    target: Target, port: Port, base: str, verb: bytes, form: bytes
) -> None:
    data = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (verb, form)
    received = exchange(port(target), data)
    assert not received or parsed(received, method=verb.decode()).status < 500, received


PIECES = st.sampled_from(
    [b":", b"GET ", b"POST ", b"/", WEBHOOKS.encode(),
      b"/instances", b" ", b"HTTP/1.1", b"\r\n", b"\n", b"\r", b"\r\n\r\n",
     b"Host: localhost", LENGTH, CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n", b"\0", b"\xff", b"%00", b";", b",", b"{}"]
)  # fmt: skip


BEGINNINGS = st.sampled_from(
    [
        b"",
        b"GET /nothing HTTP/1.1\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /nothing HTTP/1.1\r\n\r\n",
    ]
)


@PORTS
@given(data=st.tuples(BEGINNINGS, st.lists(PIECES | st.binary(max_size=8), max_size=20).map(b"".join)).map(b"".join))
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_harm_the_host(
    target: Target, port: Port, base: str, data: bytes, figures: dict[str, Counter[str]]
) -> None:
    with socket.create_connection((HOST, port(target)), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while part := connection.recv(1 << 16):
                received += part
        except ConnectionError:
            pass
    counts = figures.setdefault("random bytes", Counter())
    counts[str(parsed(received).status) if received else "no answer"] += 1
    assert not received or parsed(received).status < 500, received


@PORTS
def test_every_request_of_a_pipeline_has_its_answer_in_order(target: Target, port: Port, base: str) -> None:
    one = b"GET %s/instances/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n" % base.encode()
    other = b"PATCH %s/instances HTTP/1.1\r\nHost: evil.test\r\n\r\n" % base.encode()
    last = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    received = exchange(port(target), (one + other) * 100 + last)
    assert re.findall(rb"HTTP/1\.1 (\d{3})", received) == [b"404", b"403"] * 100 + [b"404"]


@PORTS
def test_a_body_smuggles_no_second_request(target: Target, port: Port, base: str) -> None:
    inner = b"POST %s/orchestrators/waiting/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n" % base.encode()
    for framing in (b"Content-Length: %d\r\n" % len(inner), b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                    b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n"):  # fmt: skip
        head = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + framing + b"\r\n"
        received = exchange(port(target), head + inner)
        assert received.count(b"HTTP/1.1 ") + received.count(b"HTTP/1.0 ") <= 1, received
    status = b"GET %s/instances/smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % base.encode()
    assert parsed(exchange(port(target), status)).status == 404


@PORTS
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_oversized_body_is_413_in_public_and_read_by_rpc(
    target: Target, port: Port, base: str, framing: str
) -> None:
    """The public port accepts up to 100 MiB; the RPC base, which is for programs of this machine, has no limit."""
    size, part = 101 * 1024 * 1024, b"x" * (1 << 20)

    def sent() -> Iterator[bytes]:
        yield b"POST %s/instances/known-1/raiseEvent/go HTTP/1.1\r\nHost: localhost\r\n" % base.encode()
        yield b"Connection: close\r\nContent-Type: application/json\r\n"
        yield (b"Content-Length: %d\r\n\r\n" % size) if framing == "length" else CHUNKED + b"\r\n"
        for _ in range(size // len(part)):
            yield part if framing == "length" else b"%x\r\n%s\r\n" % (len(part), part)
        if framing == "chunks":
            yield b"0\r\n\r\n"

    received = exchange(port(target), sent())
    # The host may close the connection before it has read a refused body; then the answer is lost.
    assert not received or parsed(received).status == (413 if base == WEBHOOKS else 400), received[:300]
    target.check_alive()


@PORTS
def test_slow_clients_delay_no_others(target: Target, port: Port, base: str) -> None:
    beginnings = (
        b"", b"GE", b"GET / HTTP/1.1\r\nHost: loc", b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST %s/orchestrators/waiting HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{" % base.encode(),
        b"POST %s/orchestrators/waiting HTTP/1.1\r\nHost: localhost\r\n%s\r\n5\r\n[" % (base.encode(), CHUNKED),
    )  # fmt: skip
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((HOST, port(target)), timeout=30)) for _ in range(150)]
        for number, connection in enumerate(slow):
            connection.sendall(beginnings[number % len(beginnings)])
        began = time.monotonic()
        for _ in range(20):
            target.check_alive()
        # Each of the 40 calls takes milliseconds; a host that waits for the slow ones would need half a minute.
        assert time.monotonic() - began < 20
    target.check_alive()
