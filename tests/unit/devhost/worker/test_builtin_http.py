"""The activity behind `call_http`, against a server of the test's own."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the host calls through aiohttp")

from aiohttp import web
from aiohttp.test_utils import TestServer

from devhost.app.invocation import Invocation, InvocationResult
from devhost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from devhost.worker import builtin_http
from devhost.worker.builtin_http import with_http


class Elsewhere:
    """Stands for the worker processes."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        return InvocationResult(return_value=f'"{invocation.function_name}"')


async def echo(request: web.Request) -> web.Response:
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Type", request.headers.get("Content-Type", ""))]
    status = int(request.query.get("status", "200"))
    return web.Response(status=status, text=f"{request.method} {await request.text()}", headers=headers)


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPFound("/echo")


async def zeros(request: web.Request) -> web.StreamResponse:
    """So many zeros, compressed as asked."""
    size, encoding = int(request.query["size"]), request.query["encoding"]
    response = web.StreamResponse(headers={"Content-Encoding": encoding} if encoding else {})
    compressor = zlib.compressobj(wbits=31 if encoding == "gzip" else 15) if encoding else None
    await response.prepare(request)
    for start in range(0, size, 100_000):
        piece = b"0" * min(100_000, size - start)
        await response.write(compressor.compress(piece) if compressor else piece)
    await response.write(compressor.flush() if compressor else b"")
    return response


async def latin(request: web.Request) -> web.Response:
    return web.Response(body=b"Zo\xeb", headers={"Content-Type": f"text/plain; charset={request.query['charset']}"})


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/moved", moved)
    app.router.add_route("GET", "/zeros", zeros)
    app.router.add_route("GET", "/latin", latin)
    server = TestServer(app)
    async with server:
        yield server


async def result_of(request: dict[str, Any], name: str = HTTP_ACTIVITY) -> InvocationResult:
    async with with_http(Elsewhere()) as executor:
        return await executor.invoke(
            Invocation(invocation_id="i", function_name=name, inputs={HTTP_INPUT: json.dumps(request)})
        )


async def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    result = await result_of(request)
    assert result.failure is None, result.failure
    answer: dict[str, Any] = json.loads(result.return_value or "")
    return answer


async def test_status_content_and_headers_come_back(server: TestServer) -> None:
    answer = await answer_to({"method": "POST", "uri": str(server.make_url("/echo")), "content": '{"k": 1}'})
    assert (answer["statusCode"], answer["content"]) == (200, 'POST {"k": 1}')
    assert answer["headers"]["Set-Cookie"] == ["a=1", "b=2"]
    assert answer["headers"]["X-Type"] == "text/plain"
    assert not {"Content-Type", "Content-Length"} & set(answer["headers"])


async def test_headers_are_sent_as_given(server: TestServer) -> None:
    headers = {"content-type": "application/json"}
    uri = str(server.make_url("/echo"))
    answer = await answer_to({"method": "PUT", "uri": uri, "content": "{}", "headers": headers})
    assert answer["headers"]["X-Type"] == "application/json"


@pytest.mark.parametrize(
    "odd",
    [
        {"method": "G\r\nET"},
        {"method": " "},
        {"uri": None},
        {"uri": ""},
        {"uri": "/relative"},
        {"uri": "http://\ud800/"},
        {"uri": "http://[::1"},
        {"uri": "mailto:somebody@example.com"},
        {"uri": "http://localhost:99999/"},
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"X\nA": "a"}},
        {"headers": {"X-A": "\ud800"}},
        {"headers": {"": "a"}},
        {"headers": "X-A"},
        {"content": "\ud800"},
    ],
)
async def test_a_request_that_cannot_be_sent_fails_its_task(odd: dict[str, Any]) -> None:
    request = {"method": "POST", "uri": "http://127.0.0.1:9/", "content": None, "headers": None, **odd}
    result = await result_of(request)
    assert result.failure is not None
    assert result.failure.message


async def test_a_call_without_a_method_is_a_get(server: TestServer) -> None:
    answer = await answer_to({"method": None, "uri": str(server.make_url("/echo"))})
    assert answer["content"] == "GET "


@pytest.mark.parametrize("status", [202, 404, 500])
async def test_every_status_is_an_answer(server: TestServer, status: int) -> None:
    uri = str(server.make_url("/echo").with_query(status=status))
    assert (await answer_to({"method": "GET", "uri": uri, "content": None, "headers": None}))["statusCode"] == status


async def test_redirects_are_followed(server: TestServer) -> None:
    answer = await answer_to({"method": "GET", "uri": str(server.make_url("/moved"))})
    assert answer["statusCode"] == 200


async def test_a_server_that_is_not_there_is_a_failure_that_names_it(unused_tcp_port: int) -> None:
    result = await result_of({"method": "GET", "uri": f"http://127.0.0.1:{unused_tcp_port}/"})
    assert result.failure is not None
    assert str(unused_tcp_port) in result.failure.message


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"method": "GET", "uri": "nonsense"}, "nonsense"),
        (
            {"method": "POST", "uri": "http://127.0.0.1", "content": "x", "headers": {"Content-Type": "multipart/x"}},
            "Multipart",
        ),
    ],
)
async def test_a_request_that_cannot_be_sent_is_a_failure(request_: dict[str, Any], text: str) -> None:
    result = await result_of(request_)
    assert result.failure is not None
    assert text in result.failure.message


@pytest.mark.parametrize("encoding", ["gzip", "deflate", ""])
async def test_an_answer_above_the_limit_is_a_failure_that_names_the_limit(
    server: TestServer, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin_http, "MAX_CONTENT_BYTES", 3_000_000)
    uri = str(server.make_url("/zeros").with_query(size=3_000_001, encoding=encoding))
    result = await result_of({"method": "GET", "uri": uri})
    assert result.failure is not None
    assert f"The answer of GET {uri} is larger than 3000000 bytes, the limit of call_http." in result.failure.message
    uri = str(server.make_url("/zeros").with_query(size=3_000_000, encoding=encoding))
    assert len((await answer_to({"method": "GET", "uri": uri}))["content"]) == 3_000_000


async def test_no_more_of_a_compression_bomb_is_read_than_the_limit(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin_http, "MAX_CONTENT_BYTES", 1_000_000)
    uri = str(server.make_url("/zeros").with_query(size=300_000_000, encoding="gzip"))
    tracemalloc.start()
    try:
        result = await result_of({"method": "GET", "uri": uri})
        # The server of this test compresses what it sends, piece by piece, in this process too.
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert result.failure is not None
    assert "larger than 1000000 bytes" in result.failure.message


@pytest.mark.parametrize(("charset", "text"), [("iso-8859-1", "Zo\xeb"), ("no-such-charset", "Zo\ufffd")])
async def test_the_charset_of_an_answer_is_respected(server: TestServer, charset: str, text: str) -> None:
    uri = str(server.make_url("/latin").with_query(charset=charset))
    assert (await answer_to({"method": "GET", "uri": uri}))["content"] == text


async def test_every_other_call_is_passed_on() -> None:
    assert (await result_of({}, name="Say")).return_value == '"Say"'
