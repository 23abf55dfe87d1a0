"""The activity behind `call_http`, against a server of the test's own."""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the host calls through aiohttp")

from aiohttp import ThreadedResolver, web
from aiohttp.test_utils import TestServer

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.core.actions import HTTP_ACTIVITY, HTTP_INPUT
from durablehost.worker import builtin_http
from durablehost.worker.builtin_http import with_http


class Elsewhere:
    """Stands in for the worker processes."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        return InvocationResult(return_value=f'"{invocation.function_name}"')


async def echo(request: web.Request) -> web.Response:
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Type", request.headers.get("Content-Type", ""))]
    status = int(request.query.get("status", "200"))
    if seconds := request.query.get("retry-after"):
        headers.append(("Retry-After", seconds))
    return web.Response(status=status, text=f"{request.method} {await request.text()}", headers=headers)


async def reflect(request: web.Request) -> web.Response:
    """The headers of the request, and the content."""
    return web.json_response([[*map(list, request.headers.items())], await request.text()])


async def moved_to(request: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect(request.query["place"])


async def found(request: web.Request) -> web.Response:
    raise web.HTTPFound(request.query["place"])


async def round_and_round(request: web.Request) -> web.Response:
    raise web.HTTPFound("/round")


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPFound("/echo")


async def zeros(request: web.Request) -> web.StreamResponse:
    """Zeros of the given length, compressed as requested."""
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
    app.router.add_route("*", "/found", found)
    app.router.add_route("*", "/round", round_and_round)
    app.router.add_route("*", "/reflect", reflect)
    app.router.add_route("*", "/moved-to", moved_to)
    app.router.add_route("GET", "/zeros", zeros)
    app.router.add_route("GET", "/latin", latin)
    server = TestServer(app)
    async with server:
        yield server


async def result_of(
    request: dict[str, Any], name: str = HTTP_ACTIVITY, *, rpc_base: str | None = None, **members: Any
) -> InvocationResult:
    async with with_http(Elsewhere(), lambda: rpc_base) as executor:
        return await executor.invoke(
            Invocation(invocation_id="i", function_name=name, inputs={HTTP_INPUT: json.dumps(request)}, **members)
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


async def sent_by(server: TestServer, **request: Any) -> list[list[str]]:
    """The headers that arrive, but for those of the connection."""
    answer = await answer_to({"uri": str(server.make_url("/reflect")), **request})
    pairs = json.loads(answer["content"])[0]
    return [pair for pair in pairs if pair[0] not in ("Host", "User-Agent", "Content-Length", "Connection")]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_request_without_content_has_no_content_type(server: TestServer, method: str) -> None:
    assert await sent_by(server, method=method) == []
    assert await sent_by(server, method=method, headers={"Content-Type": "application/json"}) == []


async def test_the_content_type_is_that_of_the_extension(server: TestServer) -> None:
    async def content_type(**headers: Any) -> list[list[str]]:
        return await sent_by(server, method="POST", content="a=1", headers=headers)

    form = "application/x-www-form-urlencoded"
    assert await content_type() == [["Content-Type", "text/plain"]]
    assert await content_type(**{"content-TYPE": ["text/a", "text/b"]}) == [["Content-Type", "text/b"]]
    assert await content_type(**{"Content-Type": form}) == [["Content-Type", f"{form}; charset=utf-8"]]


async def test_values_of_headers_are_sent_as_text_and_none_is_left_out(server: TestServer) -> None:
    headers = {"X-A": 3, "X-B": True, "X-C": ["d", 5, None], "X-D": None, "X-E": 0.5}
    assert await sent_by(server, method="GET", headers=headers) == [
        ["X-A", "3"],
        ["X-B", "True"],
        ["X-C", "d, 5"],
        ["X-E", "0.5"],
    ]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"uri": None}, "call_http: uri must not be empty"),
        ({"uri": ""}, "call_http: uri must not be empty"),
        ({"uri": "/api/x"}, 'call_http: uri is "/api/x"; it must begin with http:// or https:// and a host'),
        ({"uri": "localhost:7071/api"}, 'call_http: uri is "localhost:7071/api"; it must begin with'),
        ({"uri": "http:///x"}, 'call_http: uri is "http:///x"; it must begin with'),
        ({"uri": "http://x:80*"}, 'call_http: uri is "http://x:80*", which is no URL'),
        ({"uri": "http://[::1"}, 'call_http: uri is "http://[::1", which is no URL'),
        ({"headers": {"X-A": {"b": 1}}}, 'call_http: the header X-A must be text or a list of texts, not {"b":1}'),
        ({"headers": {"Content-Length": "5"}}, "call_http: the header Content-Length describes the content"),
    ],
)
async def test_a_wrong_request_is_a_failure_that_names_the_argument(odd: dict[str, Any], message: str) -> None:
    result = await result_of({"method": "GET", "uri": "http://127.0.0.1:9/", "content": None, "headers": None, **odd})
    assert result.failure is not None
    assert result.failure.message.startswith(message)


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
async def test_a_request_that_cannot_be_sent_fails_its_task(server: TestServer, odd: dict[str, Any]) -> None:
    request = {"method": "POST", "uri": str(server.make_url("/echo")), "content": None, "headers": None, **odd}
    result = await result_of(request)
    assert result.failure is not None
    assert result.failure.message


@pytest.mark.parametrize(("given", "sent"), [({}, "00-a-b-01"), ({"Traceparent": "00-c-d-01"}, "00-c-d-01")])
async def test_a_call_sends_the_context_of_its_span_unless_it_has_one(
    server: TestServer, given: dict[str, str], sent: str
) -> None:
    request = {"uri": str(server.make_url("/reflect")), "headers": given}
    result = await result_of(request, trace_parent="00-a-b-01", trace_state="v=1")
    headers = dict(json.loads(json.loads(result.return_value or "")["content"])[0])
    assert {name.lower(): value for name, value in headers.items()}["traceparent"] == sent
    assert headers.get("tracestate") == (None if given else "v=1")


async def test_a_call_without_a_method_is_a_get(server: TestServer) -> None:
    answer = await answer_to({"method": None, "uri": str(server.make_url("/echo"))})
    assert answer["content"] == "GET "


@pytest.mark.parametrize("status", [202, 404, 500])
async def test_a_response_of_any_status_is_a_result(server: TestServer, status: int) -> None:
    uri = str(server.make_url("/echo").with_query(status=status))
    assert (await answer_to({"method": "GET", "uri": uri, "content": None, "headers": None}))["statusCode"] == status


@pytest.mark.parametrize("seconds", ["99999999999999999999", "-1", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [202, 429, 503])
async def test_nobody_waits_for_a_retry_after(server: TestServer, status: int, seconds: str) -> None:
    uri = str(server.make_url("/echo").with_query({"status": status, "retry-after": seconds}))
    answer = await answer_to({"method": "GET", "uri": uri, "asynchronousPatternEnabled": True})
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (status, seconds)


async def test_cookies_are_kept_for_later_calls(server: TestServer) -> None:
    async with with_http(Elsewhere(), lambda: None) as executor:
        for path in ("/echo", "/reflect"):
            request = json.dumps({"method": "GET", "uri": str(server.make_url(path))})
            call = Invocation(invocation_id="i", function_name=HTTP_ACTIVITY, inputs={HTTP_INPUT: request})
            answer = json.loads((await executor.invoke(call)).return_value or "")
    headers = dict(json.loads(answer["content"])[0])
    assert headers["Cookie"] == "a=1; b=2"


async def test_redirects_are_followed(server: TestServer) -> None:
    answer = await answer_to({"method": "GET", "uri": str(server.make_url("/moved"))})
    assert answer["statusCode"] == 200


async def test_a_redirected_request_loses_its_content_and_its_credential(server: TestServer) -> None:
    place = str(server.make_url("/reflect"))
    request = {
        "method": "POST",
        "uri": str(server.make_url("/found").with_query(place=place)),
        "content": "x",
        "headers": {"Authorization": "Bearer x", "X-A": "1"},
    }
    headers, content = json.loads((await answer_to(request))["content"])
    assert [pair for pair in headers if pair[0] in ("Authorization", "Content-Type", "X-A")] == [["X-A", "1"]]
    assert content == ""


async def test_a_redirection_without_an_end_is_the_result_itself(server: TestServer) -> None:
    uri = str(server.make_url("/round"))
    assert (await answer_to({"method": "GET", "uri": uri}))["statusCode"] == 302


@pytest.mark.parametrize(
    "name",
    ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "rebound.example", "[::1]"],
)
@pytest.mark.parametrize("is_redirected", [False, True])
async def test_the_rpc_base_of_the_host_cannot_be_called(
    server: TestServer, name: str, is_redirected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    async def rpc(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.Response()

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        address = {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": socket.AF_INET,
            "proto": 0,
            "flags": 0,
        }
        return [address]

    if name == "rebound.example":
        monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    app = web.Application()
    app.router.add_route("*", "/durabletask/{rest:.*}", rpc)
    async with TestServer(app) as base:
        uri = f"http://{name}:{base.port}/durabletask/instances/a/terminate"
        place = str(server.make_url("/moved-to").with_query(place=uri)) if is_redirected else uri
        rpc_base = f"http://127.0.0.1:{base.port}/durabletask/"
        result = await result_of({"method": "POST", "uri": place, "content": "{}"}, rpc_base=rpc_base)
    assert calls == []
    assert result.failure is not None
    assert f"call_http may not call {rpc_base}" in result.failure.message


async def test_other_ports_of_this_machine_can_be_called(server: TestServer) -> None:
    uri = str(server.make_url("/echo"))
    assert (await result_of({"method": "GET", "uri": uri}, rpc_base="http://127.0.0.1:1/durabletask/")).failure is None


async def test_an_unreachable_server_is_a_failure_that_names_it(unused_tcp_port: int) -> None:
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


async def test_a_response_above_the_limit_is_a_failure_that_names_the_limit(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin_http, "MAX_CONTENT_BYTES", 3_000_000)
    uri = str(server.make_url("/zeros").with_query(size=3_000_001, encoding=""))
    result = await result_of({"method": "GET", "uri": uri})
    assert result.failure is not None
    assert f"The answer of GET {uri} is larger than 3000000 bytes, the limit of call_http." in result.failure.message
    uri = str(server.make_url("/zeros").with_query(size=3_000_000, encoding=""))
    assert len((await answer_to({"method": "GET", "uri": uri}))["content"]) == 3_000_000


async def test_compressed_content_arrives_as_it_was_sent(server: TestServer) -> None:
    """A real host does not decompress it either: an orchestrator must not ask for it."""
    uri = str(server.make_url("/zeros").with_query(size=1_000_000, encoding="gzip"))
    assert (await answer_to({"method": "GET", "uri": uri}))["content"].startswith("\x1f\ufffd")


async def test_the_charset_of_a_response_is_respected(server: TestServer) -> None:
    uri = str(server.make_url("/latin").with_query(charset="iso-8859-1"))
    assert (await answer_to({"method": "GET", "uri": uri}))["content"] == "Zo\xeb"
    result = await result_of({"method": "GET", "uri": str(server.make_url("/latin").with_query(charset="nope"))})
    assert result.failure is not None
    assert "the charset 'nope', which does not exist" in result.failure.message


async def test_every_other_call_is_passed_on() -> None:
    assert (await result_of({}, name="Say")).return_value == '"Say"'
