"""The listeners themselves: ports, the home page, CORS, and clients that misbehave."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import re
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durablehost.app.model import FunctionError
from durablehost.errors import ConfigurationError
from durablehost.web import request
from durablehost.web.server import public_listener
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function, make_settings, responds


@pytest.fixture
def taken_port() -> Any:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def test_a_port_in_use_is_a_configuration_error_with_a_remedy(serve: EdgeFactory, taken_port: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await serve(port=taken_port)

    assert str(caught.value) == (
        f"Port {taken_port} is unavailable. Close the process using that port, "
        "or specify another port using --port [-p]."
    )


async def test_an_address_of_another_machine_is_a_configuration_error(serve: EdgeFactory) -> None:
    with pytest.raises(ConfigurationError, match=r"203\.0\.113\.1"):
        await serve(address="203.0.113.1")


async def test_an_rpc_port_in_use_is_replaced_by_a_free_one(serve: EdgeFactory, taken_port: int) -> None:
    serve.rpc_port = taken_port

    edge = await serve()

    async with edge.session.get(f"{edge.server.rpc_base_url}instances") as answer:
        assert answer.status == 200
    assert str(taken_port) not in edge.server.rpc_base_url


@pytest.mark.parametrize("failure", [OSError(errno.ENFILE, "Too many open files"), asyncio.CancelledError()], ids=repr)
async def test_a_listener_that_fails_to_start_leaves_its_port_free(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    opened: list[socket.socket] = []

    def fail(listening: socket.socket) -> None:
        opened.append(listening)
        raise failure

    async def fail_to_serve(site: web.SockSite) -> None:
        fail(site._sock)

    for name, replacement in (("web.SockSite.start", fail_to_serve), ("extend_backlog", fail)):
        with monkeypatch.context() as patch:
            patch.setattr(f"durablehost.web.listener.{name}", replacement)
            with pytest.raises((ConfigurationError, asyncio.CancelledError)):
                await public_listener(make_settings()).start("127.0.0.1", 0)
    assert [each.fileno() for each in opened] == [-1, -1]


async def test_a_listener_answers_503_until_a_server_takes_it_over(serve: EdgeFactory) -> None:
    serve.public = public_listener(make_settings())
    await serve.public.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{serve.public.port}"
    async with aiohttp.ClientSession() as session:
        for method, path in (("GET", "/"), ("POST", "/api/Hello"), ("GET", "/admin/host/status")):
            async with session.request(method, url + path, data=b"x" if method == "POST" else None) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        edge = await serve()
        assert edge.url == url
        async with session.get(f"{url}/admin/host/status") as answer:
            assert answer.status == 200


async def test_the_rpc_base_listens_on_the_loopback_only(serve: EdgeFactory) -> None:
    edge = await serve(address="0.0.0.0")

    assert edge.server.rpc_base_url.startswith("http://127.0.0.1:")
    assert json.loads(edge.links.client_input(make_function("x").trigger))["rpcBaseUrl"] == edge.server.rpc_base_url


async def test_stop_can_be_called_twice(edge: Edge) -> None:
    await edge.server.stop()
    await edge.server.stop()


METHODS = [("greet/{name}", "GET"), ("every", "any method"), ("never", "no method")]


async def test_the_home_page_lists_the_functions_and_loads_nothing(serve: EdgeFactory) -> None:
    app = make_app(
        make_function("Hello", route="greet/{name}", methods=("get",)),
        make_function("<b>Orch", "orchestrationTrigger"),
        make_function("Nightly", "timerTrigger"),
        make_function("Every", route="every"),
        make_function("Never", route="never", methods=()),
        make_function("Off", is_disabled=True),
        errors=(FunctionError(name="Broken", message="<script>"),),
    )
    edge = await serve(app)

    async with edge.request("GET", "/") as answer:
        page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert "<title>Your Azure Function App is up and running.</title>" in page
    assert f"{edge.url}/api/greet/{{name}}" in page
    shown = [f'{edge.url}/api/{route}</code><br><span class="soft">{methods}<' for route, methods in METHODS]
    assert [text for text in shown if text not in page] == []
    assert "&lt;b&gt;Orch" in page
    assert "timerTrigger (not triggered by durablehost)" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "Off" not in page
    assert "src=" not in page


async def test_the_home_page_can_be_turned_off(serve: EdgeFactory) -> None:
    edge = await serve(is_homepage_disabled=True)

    async with edge.request("POST", "/") as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_a_function_at_the_root_comes_before_the_home_page(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("All", route="{*path}", methods=("GET",))), route_prefix="")
    edge.executor.answers["All"] = responds(b"mine")

    async with edge.request("GET", "/") as answer:
        assert await answer.read() == b"mine"
    async with edge.request("POST", "/") as answer:
        assert answer.content_type == "text/html"
    async with edge.request("GET", "/admin/host/ping") as answer:
        assert await answer.read() == b""
    async with edge.request("GET", "/runtime/webhooks/other") as answer:
        assert answer.status == 404


PREFLIGHT = {
    "Origin": "http://localhost:3000",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "x-a, x-b",
}


async def cors_headers(edge: Edge, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    async with edge.request(method, path, headers=headers) as answer:
        found = {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}
        return answer.status, found


async def test_a_preflight_of_an_allowed_origin_is_204_and_allows_the_requested_method_and_headers(
    serve: EdgeFactory,
) -> None:
    edge = await serve(cors_origins=("http://localhost:3000",), cors_credentials=True)

    assert await cors_headers(edge, "OPTIONS", "/api/Hello", PREFLIGHT) == (
        204,
        {
            "Access-Control-Allow-Methods": "PUT",
            "Access-Control-Allow-Headers": "x-a, x-b",
            "Access-Control-Allow-Origin": "http://localhost:3000",
            "Access-Control-Allow-Credentials": "true",
        },
    )
    assert edge.executor.calls == []


async def test_every_origin_is_allowed_by_a_star(serve: EdgeFactory) -> None:
    edge = await serve(cors_origins=("*",))

    for path in ("/api/Hello", "/nothing", "/runtime/webhooks/durabletask/instances"):
        _, found = await cors_headers(edge, "GET", path, {"Origin": "https://example.test"})
        assert found == {"Access-Control-Allow-Origin": "*"}


async def test_an_origin_that_is_not_allowed_gets_neither_headers_nor_an_answer(serve: EdgeFactory) -> None:
    edge = await serve(cors_origins=("http://localhost:3000",))
    stranger = {**PREFLIGHT, "Origin": "http://localhost:3000.evil.test"}

    assert await cors_headers(edge, "OPTIONS", "/api/Hello", stranger) == (204, {})
    assert await cors_headers(edge, "GET", "/api/Hello", {"Origin": stranger["Origin"]}) == (403, {})
    assert edge.executor.calls == []


async def test_without_cors_options_is_a_method_like_any_other(edge: Edge) -> None:
    edge.executor.answers["Hello"] = responds(b"options")

    async with edge.request("OPTIONS", "/api/Hello", headers={**PREFLIGHT, "Origin": edge.url}) as answer:
        assert (answer.status, await answer.read()) == (200, b"options")
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_may_read_an_error_too(serve: EdgeFactory) -> None:
    edge = await serve(cors_origins=("*",))
    edge.executor.answers["Hello"] = RuntimeError("a defect")

    assert await cors_headers(edge, "GET", "/api/Hello", {"Origin": "http://a.test"}) == (
        500,
        {"Access-Control-Allow-Origin": "*"},
    )


async def test_requests_are_logged_with_their_status(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "Host.Web"):
        async with edge.request("GET", "/api/Hello?code=secret"):
            pass

    executing, executed = (json.loads(message.split(": ", 1)[1]) for message in caplog.messages)
    assert (executing["method"], executing["uri"]) == ("GET", "/api/Hello")
    assert (executed["requestId"], executed["status"]) == (executing["requestId"], 204)


async def raw_answer(port: int, data: bytes) -> bytes:
    """Returns the answer to these bytes on a new connection, until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /api/Hello HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/Hello HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /api/Hello HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"POST /api/Hello HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_bytes_that_are_not_http_get_400_and_no_log_line(
    edge: Edge, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw_answer(edge.server.port, data)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "start",
    [
        b"GET /api/Hello",
        b"GET /api/Hello HTTP/0.9",
        b"GET http://evil.test/api/Hello HTTP/1.1",
        b"GET https://localhost:7071/api/Hello HTTP/1.1",
        b"GET http://user@localhost/api/Hello HTTP/1.1",
        b"CONNECT localhost:7071 HTTP/1.1",
        b"CONNECT /api/Hello HTTP/1.1",
    ],
)
async def test_a_first_line_that_the_rules_do_not_see_is_400(edge: Edge, start: bytes) -> None:
    for port in edge.ports:
        answer = await raw_answer(port, start + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert re.match(rb"HTTP/\d\.\d 400 ", answer)
    assert edge.executor.calls == []


async def test_a_whole_url_in_the_first_line_counts_by_its_path(edge: Edge) -> None:
    start = b"GET http://Localhost/api/Hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await raw_answer(edge.server.port, start)).startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize(
    ("line", "header", "count", "is_answered"),
    [
        (8_000, 0, 0, (True, True)),
        (8_300, 0, 0, (False, True)),
        (65_000, 0, 0, (False, True)),
        (66_000, 0, 0, (False, False)),
        (0, 32_000, 0, (True, True)),
        (0, 33_000, 0, (False, False)),
        (0, 0, 97, (True, True)),
        (0, 0, 98, (False, False)),
    ],
)
async def test_lines_and_headers_have_limits(
    edge: Edge, line: int, header: int, count: int, is_answered: tuple[bool, bool]
) -> None:
    """A line may be longer on the RPC port, whose ids and filters come from the SDK."""
    rest = b"\r\nHost: localhost\r\nConnection: close\r\n" + b"X: y\r\n" * count
    request = b"GET /nothing?" + b"x" * line + b" HTTP/1.1" + rest + b"Y: " + b"y" * header + b"\r\n\r\n"
    for port, is_allowed in zip(edge.ports, is_answered, strict=True):
        answer = await raw_answer(port, request)
        assert answer.startswith(b"HTTP/1.1 404 " if is_allowed else (b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


async def test_an_incomplete_body_reaches_no_function(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"POST /api/Hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
    writer.write_eof()

    await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    writer.close()
    assert edge.executor.calls == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


ANYTHING = st.binary(max_size=60)
PRINTABLE = st.binary(max_size=30).map(lambda data: bytes(b for b in data if 0x20 < b != 0x7F))
PATHS = st.sampled_from(
    [b"/", b"/api/", b"/api/Hello/", b"/admin/", b"/admin/functions/", b"/runtime/webhooks/durabletask/",
     b"/runtime/webhooks/durabletask/instances/", b"/runtime/webhooks/durabletask/orchestrators/Orch/",
     b"/durabletask/instances/", b"/durabletask/orchestrators/Orch/"]
)  # fmt: skip
TWISTS = st.sampled_from([b"", b"?", b"%", b"%ff", b"%00", b"%ed%a0%80", b"%2f", b"../", b";", b"+", b"\\", b"#"])
QUERIES = st.sampled_from(
    [b"top=", b"createdTimeFrom=", b"runtimeStatus=", b"timeout=0&pollingInterval=", b"showInput=", b"taskHub="]
)
BODIES = st.one_of(st.binary(max_size=200), st.text(max_size=50).map(lambda text: json.dumps(text).encode()))


def quoted(data: bytes) -> bytes:
    """Returns the bytes in a form that the parser accepts in a request line: all but visible ASCII is escaped."""
    return b"".join(bytes([b]) if 0x20 < b < 0x7F else b"%%%02x" % b for b in data)


@given(
    method=st.sampled_from([b"GET", b"POST", b"DELETE", b"PUT", b"OPTIONS", b"HEAD", b"PATCH"]),
    path=st.tuples(PATHS, st.one_of(st.just(b""), st.tuples(TWISTS, ANYTHING).map(b"".join))).map(b"".join),
    query=st.tuples(QUERIES, ANYTHING).map(b"".join),
    host=st.sampled_from([b"localhost", b"127.0.0.1:7071", b"\xff"]),
    token=PRINTABLE,
    body=BODIES,
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_bytes_of_a_client_make_a_500(
    edge: Edge, method: bytes, path: bytes, query: bytes, host: bytes, token: bytes, body: bytes
) -> None:
    target = quoted(path + b"?" + query)
    head = b"%s %s HTTP/1.1\r\nHost: %s\r\nx-ms-continuation-token: %s\r\n" % (method, target, host, token)
    request = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for port in edge.ports:
        answer = await raw_answer(port, request)
        assert answer.startswith(b"HTTP/1."), answer
        assert answer[9:12] != b"500", answer


class TestExpect:
    @pytest.mark.parametrize("value", [b"\x80", b"the impossible", b"100-Continue"])
    async def test_with_any_value_does_not_change_the_answer(self, edge: Edge, value: bytes) -> None:
        answer = await raw_answer(
            edge.server.port,
            b"GET /admin/host/ping HTTP/1.1\r\nHost: localhost\r\nExpect: %s\r\nConnection: close\r\n\r\n" % value,
        )
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    async def test_a_wanted_body_is_requested_with_100_continue(self, edge: Edge) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
        writer.write(POST_WITH_EXPECT % b"localhost")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"full")
        assert (await asyncio.wait_for(reader.read(), WAIT_SECONDS)).startswith(b"HTTP/1.1 204 ")
        assert edge.executor.last_request.body == b"full"
        writer.close()

    async def test_a_refused_body_is_not_requested(self, edge: Edge) -> None:
        answer = await raw_answer(edge.server.port, POST_WITH_EXPECT % b"evil.test" + b"full")
        assert answer.startswith(b"HTTP/1.1 403 ")


POST_WITH_EXPECT = (
    b"POST /api/Hello HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
)


async def test_a_disconnected_client_is_not_waited_for(edge: Edge) -> None:
    before = len(asyncio.all_tasks())
    _, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(
        b"POST /runtime/webhooks/durabletask/orchestrators/Orch?timeout=600&pollingInterval=0.01 HTTP/1.1\r\n"
        b"Host: localhost\r\nContent-Length: 0\r\n\r\n"
    )
    await eventually(lambda: edge.hub.records)
    assert len(asyncio.all_tasks()) > before
    writer.close()
    await eventually(lambda: len(asyncio.all_tasks()) == before)


async def test_a_body_that_arrives_too_slowly_is_given_up(serve: EdgeFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "PATIENCE_SECONDS", 0.2)
    edge = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"POST /api/Hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")

    async def dribble() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    dribbling = asyncio.create_task(dribble())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), WAIT_SECONDS)
    dribbling.cancel()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert edge.executor.calls == []


async def test_a_body_that_arrives_in_time_is_waited_for(serve: EdgeFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "PATIENCE_SECONDS", 0.2)
    edge = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"POST /api/Hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 20000\r\n\r\n")
    for _ in range(20):
        writer.write(b"x" * 1000)
        await asyncio.sleep(0.03)
    assert (await asyncio.wait_for(reader.read(), WAIT_SECONDS)).startswith(b"HTTP/1.1 204 ")
    assert len(edge.executor.last_request.body) == 20_000
    writer.close()
