"""Connections that ask for nothing: the silent ones end, and none keeps anybody else out."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import pytest
from aiohttp import web

from durablehost.system.open_files import raise_limit
from durablehost.web.connections import MOST_CONNECTIONS, most_connections
from durablehost.web.listener import Handler, HttpLimits, HttpListener
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually

MOST = 5
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class StartListener(Protocol):
    async def __call__(self, limits: HttpLimits, handler: Handler = ...) -> Connect: ...


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


@pytest.fixture
async def listen() -> AsyncIterator[StartListener]:
    listeners: list[HttpListener] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(limits: HttpLimits, handler: Handler = hello) -> Connect:
        listener = HttpListener(handler, limits)
        listeners.append(listener)
        await listener.start("127.0.0.1", 0)

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writers.append(writer)
            return reader, writer

        return connect

    yield start
    for writer in writers:
        writer.close()
    for listener in listeners:
        await listener.close()


async def is_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(GET)
    return (await reader.readline()).startswith(b"HTTP/1.1 200")


async def has_ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_client_is_served_however_many_silent_connections_there_are(listen: StartListener) -> None:
    connect = await listen(HttpLimits(body_bytes=0, connections=MOST))
    silent = [await connect() for _ in range(3 * MOST)]
    assert await is_served(*await connect())
    # The newest of them are still there.
    assert await is_served(*silent[-1])
    assert await has_ended(silent[0][0])


async def test_a_connection_that_was_served_is_not_given_up_for_silent_ones(listen: StartListener) -> None:
    connect = await listen(HttpLimits(body_bytes=0, connections=MOST))
    served = await connect()
    assert await is_served(*served)
    for _ in range(3 * MOST):
        await connect()
    await served[0].readuntil(b"hello")
    assert await is_served(*served)


async def test_clients_that_keep_their_connections_keep_nobody_out(listen: StartListener) -> None:
    connect = await listen(HttpLimits(body_bytes=0, connections=MOST))
    kept = [await connect() for _ in range(MOST)]
    for each in kept:
        assert await is_served(*each)
        await each[0].readuntil(b"hello")
    assert await is_served(*await connect())
    # The one whose request is longest ago has ended.
    assert await has_ended(kept[0][0])
    assert await is_served(*kept[-1])


async def test_clients_that_do_not_read_their_answers_keep_nobody_out(listen: StartListener) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        # More than the buffers of both sockets.
        return web.Response(body=bytes(64 * 1024 * 1024) if request.path == "/large" else b"small")

    connect = await listen(HttpLimits(body_bytes=0, connections=MOST), answer)
    for _ in range(MOST):
        reader, writer = await connect()
        writer.write(GET.replace(b" / ", b" /large "))
        # The answer has begun; nobody reads the rest.
        assert await reader.read(1)
    assert await is_served(*await connect())


async def test_a_connection_whose_request_is_being_handled_is_not_given_up(listen: StartListener) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        await go_on.wait()
        return web.Response(text="waited")

    connect = await listen(HttpLimits(body_bytes=0, connections=1), wait)
    reader, writer = await connect()
    writer.write(GET)
    await began.wait()
    # There is no room for others.
    for _ in range(3):
        assert await has_ended((await connect())[0])
    go_on.set()
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_an_answer_that_nobody_reads_is_given_up(listen: StartListener) -> None:
    given_up = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1024 * 1024))
        finally:
            given_up.set()

    connect = await listen(HttpLimits(body_bytes=0, reading_seconds=0.2), answer)
    _, writer = await connect()
    writer.write(GET)
    await asyncio.wait_for(given_up.wait(), WAIT_SECONDS)


async def test_an_answer_that_is_read_arrives_whole(listen: StartListener) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bytes(64 * 1024 * 1024))

    connect = await listen(HttpLimits(body_bytes=0, reading_seconds=10), answer)
    reader, writer = await connect()
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    assert len(await reader.readexactly(64 * 1024 * 1024)) == 64 * 1024 * 1024


async def test_a_connection_that_has_ended_takes_no_memory(listen: StartListener) -> None:
    def handlers() -> int:
        gc.collect()
        return sum(type(each) is web.RequestHandler for each in gc.get_objects())

    connect = await listen(HttpLimits(body_bytes=0, head_seconds=3600))
    before = handlers()
    for sent in (b"", GET):
        _, writer = await connect()
        writer.write(sent)
        writer.close()
    await eventually(lambda: handlers() <= before)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_connection_without_a_whole_head_ends_after_a_while(listen: StartListener, sent: bytes) -> None:
    connect = await listen(HttpLimits(body_bytes=0, head_seconds=0.2))
    reader, writer = await connect()
    writer.write(sent)
    assert await has_ended(reader)


async def test_a_connection_that_was_served_stays_open(listen: StartListener) -> None:
    connect = await listen(HttpLimits(body_bytes=0, head_seconds=0.2))
    served, silent = await connect(), await connect()
    assert await is_served(*served)
    assert await has_ended(silent[0])
    await served[0].readuntil(b"hello")
    assert await is_served(*served)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_accepted_while_the_listener_closes_is_closed(turns: int) -> None:
    listener = HttpListener(hello, HttpLimits(body_bytes=0))
    await listener.start("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        for _ in range(turns):
            await asyncio.sleep(0)

        await listener.close()

        client.settimeout(WAIT_SECONDS)
        with suppress(ConnectionResetError):
            assert await asyncio.to_thread(client.recv, 1) == b""


async def test_a_listener_may_be_closed_twice() -> None:
    listener = HttpListener(hello, HttpLimits(body_bytes=0))
    await listener.start("127.0.0.1", 0)
    await listener.close()
    await listener.close()


def test_connections_take_a_part_of_the_files_that_may_be_open() -> None:
    assert most_connections(1024) == 256
    assert most_connections(1_000_000) == MOST_CONNECTIONS


def test_the_limit_of_open_files_is_raised_once() -> None:
    assert raise_limit() == raise_limit()


async def test_a_request_whose_client_has_gone_is_cancelled_when_the_listener_closes() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    listener = HttpListener(work, HttpLimits(body_bytes=0))
    await listener.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(GET)
    await asyncio.wait_for(begun.wait(), WAIT_SECONDS)
    writer.transport.abort()
    await eventually(lambda: all(each.transport is None for each in listener._server.connections))
    assert not ended.is_set()
    await listener.close()
    assert ended.is_set()
