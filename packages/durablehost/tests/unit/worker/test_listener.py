"""Which connections the port of the worker processes accepts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("anyio")

from durablehost.app.invocation import Invocation
from durablehost.worker import protocol
from durablehost.worker.listener import WorkerListener
from durablehost.worker.protocol import Hello, Invoke, Ping, Pong
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually


@pytest.fixture
async def listener() -> AsyncIterator[WorkerListener]:
    listener = WorkerListener()
    await listener.start()
    yield listener
    listener.close()


async def test_a_listener_that_fails_to_start_leaves_its_port_free(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    async def fail(*args: object, sock: socket.socket, **options: object) -> None:
        opened.append(sock)
        raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "start_server", fail)
    with pytest.raises(asyncio.CancelledError):
        await WorkerListener().start()
    assert [each.fileno() for each in opened] == [-1]


async def test_the_token_opens_a_connection_for_frames_both_ways(listener: WorkerListener) -> None:
    token, expected = listener.expect()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(protocol.encode(Hello(token=token)) + protocol.encode(Pong()))
    connection = await expected
    await connection.send(Ping())
    assert await reader.readexactly(len(protocol.encode(Ping()))) == protocol.encode(Ping())
    writer.close()
    assert [message async for message in connection.received()] == [Pong()]
    connection.close()


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x05\x00\x00\x00\x00hello",
        protocol.encode(Hello(token="guess")),
        protocol.encode(Ping()),
    ],
)
async def test_a_connection_without_the_token_is_closed(
    listener: WorkerListener, greeting: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    _, expected = listener.expect()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(greeting)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    assert not expected.done()
    assert "Refused a connection" in caplog.text


async def test_many_refused_connections_make_few_log_lines(
    listener: WorkerListener, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x00\x00\x00\x02\x00\x00\x00\x00[]")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    assert len(caplog.records) < 10
    assert not any(record.exc_info for record in caplog.records)


async def test_a_worker_process_gets_in_however_many_silent_connections_there_are(listener: WorkerListener) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(200)]
    token, expected = listener.expect()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(protocol.encode(Hello(token=token)))
    (await expected).close()
    for each in (writer, *(other for _, other in silent)):
        each.close()


async def test_silent_connections_are_few_even_if_they_come_together(
    listener: WorkerListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durablehost.worker.listener._HELLO_SECONDS", 3600)
    silent = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", listener.port) for _ in range(200)))
    await eventually(lambda: sum(reader.at_eof() or bool(reader.exception()) for reader, _ in silent) == 200 - 64)
    for _, writer in silent:
        writer.close()


async def test_a_token_opens_one_connection_only(listener: WorkerListener) -> None:
    token, expected = listener.expect()
    _, first = await asyncio.open_connection("127.0.0.1", listener.port)
    first.write(protocol.encode(Hello(token=token)))
    connection = await expected
    reader, second = await asyncio.open_connection("127.0.0.1", listener.port)
    second.write(protocol.encode(Hello(token=token)))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    for writer in (first, second):
        writer.close()
    connection.close()


@pytest.mark.parametrize("greets", [True, False])
async def test_closing_the_listener_closes_connections_that_nobody_has_taken(
    listener: WorkerListener, greets: bool
) -> None:
    token, expected = listener.expect()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    if greets:
        writer.write(protocol.encode(Hello(token=token)))
        await expected
    else:
        await eventually(lambda: len(listener._writers) == 1)
    listener.close()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), WAIT_SECONDS)
    writer.close()


def large_call() -> Invoke:
    return Invoke(invocation=Invocation(invocation_id="1", function_name="F", inputs={"a": "x" * 20_000_000}))


async def test_frames_that_are_sent_at_once_do_not_mix(listener: WorkerListener) -> None:
    token, expected = listener.expect()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(protocol.encode(Hello(token=token)))
    connection = await expected
    sending = [asyncio.create_task(connection.send(message)) for message in (large_call(), Ping(), large_call())]
    for message in (large_call(), Ping(), large_call()):
        prefix = await reader.readexactly(protocol.PREFIX_SIZE)
        assert protocol.decode(prefix, await reader.readexactly(protocol.body_size(prefix))) == message
    await asyncio.gather(*sending)
    writer.close()
    connection.close()


async def test_a_frame_that_is_cut_short_ends_the_connection(listener: WorkerListener) -> None:
    token, expected = listener.expect()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(protocol.encode(Hello(token=token)))
    connection = await expected
    sending = asyncio.create_task(connection.send(large_call()))
    await reader.readexactly(1)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(20_000_000)
    writer.close()
    connection.close()
