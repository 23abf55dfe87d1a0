"""HTTP functions through the web server: the request for the function, the response for the caller."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from durablehost.app.invocation import Failure, HttpResponse, InvocationResult
from durablehost.errors import FunctionTimeout, WorkerCrashed
from durablehost.keys.ring import KeyRing
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function, responds


async def answer_of(edge: Edge, method: str, path: str, **options: Any) -> tuple[int, bytes]:
    async with edge.request(method, path, **options) as answer:
        return answer.status, await answer.read()


async def test_a_request_reaches_the_function_with_all_its_parts(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("Orders", route="orders/{customer}/{id?}")))
    headers = CIMultiDict([("X-Many", "1"), ("X-Many", "2"), ("X-Name", "Zoë")])

    await answer_of(edge, "POST", "/api/orders/J%20D?a=1&b=&a=2&C=%20x+y&c=z&flag", data=b"body", headers=headers)

    request = edge.executor.last_request
    assert (request.method, request.body) == ("POST", b"body")
    assert request.url == f"{edge.url}/api/orders/J%20D?a=1&b=&a=2&C=%20x+y&c=z&flag"
    assert request.params == {"customer": "J D"}
    assert request.query == {"a": "1,2", "C": " x y,z"}
    assert request.headers["x-many"] == "1,2"
    assert request.headers["x-name"] == "Zoë"
    assert all(name == name.lower() for name in request.headers)
    call = edge.executor.calls[0]
    assert call.function_name == "Orders"
    assert call.reason == "This function was programmatically called via the host APIs."
    assert len(call.invocation_id) == 36


async def test_an_encoded_slash_stays_in_its_segment(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("Orders", route="orders/{id}")))

    await answer_of(edge, "GET", "/api/orders/a%2Fb%25")

    assert edge.executor.last_request.params == {"id": "a%2Fb%"}


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/orders/../orders/./a", "/api/orders/a"),
        ("/api/x/%2e%2E/orders/%2E/a", "/api/orders/a"),
        ("/../../api/orders/a", "/api/orders/a"),
        ("/api//../orders/a", "/api/orders/a"),
        ("/api/orders/a/b/..", "/api/orders/a/"),
        ("/api/orders/a/.", "/api/orders/a/"),
        ("/api/orders/..a", "/api/orders/..a"),
        ("/api/orders/..%2Fa", "/api/orders/..%2Fa"),
        ("/api/orders/...", "/api/orders/..."),
    ],
)
async def test_segments_of_dots_are_removed_from_the_path(serve: EdgeFactory, path: str, seen: str) -> None:
    edge = await serve(make_app(make_function("Orders", route="orders/{id}")))
    async with edge.session.get(URL(f"{edge.url}{path}", encoded=True)) as answer:
        assert answer.status == 204
    assert edge.executor.last_request.url == f"{edge.url}{seen}"


@pytest.mark.parametrize(
    "path", ["/api/Hello/../../admin/functions", "/api/%2e%2e/admin/functions", "/x/../admin/functions"]
)
async def test_segments_of_dots_lead_around_no_key(serve: EdgeFactory, path: str) -> None:
    edge = await serve(
        keys=KeyRing(master="m", host={"default": "h"}, system={"durabletask_extension": "d"}, functions={})
    )
    for key, status in (("", 401), ("m", 200)):
        async with edge.session.get(URL(f"{edge.url}{path}?code={key}", encoded=True)) as answer:
            assert answer.status == status


async def test_a_nul_in_the_path_is_400(edge: Edge) -> None:
    for base in (edge.url, edge.webhook, edge.server.rpc_base_url):
        async with edge.session.get(URL(f"{base}/api/He%00llo", encoded=True)) as answer:
            assert (answer.status, "%00" in (await answer.json())["ExceptionMessage"]) == (400, True)
    assert edge.executor.calls == []


async def test_a_chunked_body_is_delivered(edge: Edge) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first,"
        yield b"second"

    await answer_of(edge, "POST", "/api/Hello", data=chunks())

    assert edge.executor.last_request.body == b"first,second"


async def test_a_compressed_body_is_delivered_as_it_was_sent(edge: Edge) -> None:
    body = gzip.compress(b"x" * 1000)

    await answer_of(edge, "POST", "/api/Hello", data=body, headers={"Content-Encoding": "gzip"})

    assert edge.executor.last_request.body == body


async def test_a_large_body_is_accepted_from_a_client_that_waits_for_continue(edge: Edge) -> None:
    await answer_of(edge, "POST", "/api/Hello", data=b"x" * 1_000_000, expect100=True)

    assert len(edge.executor.last_request.body) == 1_000_000


async def test_a_response_goes_out_with_status_headers_cookies_and_body(edge: Edge) -> None:
    edge.executor.answers["Hello"] = InvocationResult(
        response=HttpResponse(
            status=418,
            headers={"Content-Type": "text/plain; charset=utf-8", "X-One": "1", "Content-Length": "999"},
            body="Zoë".encode(),
            cookies=("a=1; Path=/", "b=2; HttpOnly"),
        )
    )

    async with edge.request("GET", "/api/hello/") as answer:
        assert (answer.status, await answer.text()) == (418, "Zoë")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-One"] == "1"
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2; HttpOnly"]


async def test_a_function_without_a_response_is_204(edge: Edge) -> None:
    assert await answer_of(edge, "GET", "/api/Hello") == (204, b"")


@pytest.mark.parametrize(
    "outcome",
    [
        InvocationResult(failure=Failure(type_name="ValueError", message="secret", stack="secret")),
        FunctionTimeout("Timeout value of 00:05:00 exceeded by function"),
        WorkerCrashed("the process ended with code 7"),
        RuntimeError("secret"),
    ],
)
async def test_a_function_that_fails_is_500_and_shows_no_details(edge: Edge, outcome: Any) -> None:
    edge.executor.answers["Hello"] = outcome

    status, body = await answer_of(edge, "GET", "/api/Hello")

    assert status == 500
    assert b"secret" not in body


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(status=101, headers={}, body=b""),
        HttpResponse(status=99999, headers={}, body=b""),
        HttpResponse(status=200, headers={"X": "a\r\nSet-Cookie: stolen=1"}, body=b""),
        HttpResponse(status=200, headers={"bad name": "1"}, body=b""),
        HttpResponse(status=200, headers={"X": "\ud800"}, body=b""),
        HttpResponse(status=200, headers={"X": "Zo\u00eb"}, body=b""),
        HttpResponse(status=200, headers={"X": "a\x7fb"}, body=b""),
        HttpResponse(status=200, headers={}, body=b"", cookies=("a=1; path=/\u00fc",)),
        HttpResponse(status=200, headers={}, body=b"", cookies=("a=1\nb",)),
    ],
)
async def test_a_result_that_is_not_an_http_response_is_500_and_is_logged(
    edge: Edge, response: HttpResponse, caplog: pytest.LogCaptureFixture
) -> None:
    edge.executor.answers["Hello"] = InvocationResult(response=response)

    async with edge.request("GET", "/api/Hello") as answer:
        assert (answer.status, await answer.read()) == (500, b"")
        assert "Set-Cookie" not in answer.headers
    assert "The response of 'Hello' cannot be sent" in caplog.text


async def test_no_route_a_wrong_method_and_a_disabled_function_are_404(serve: EdgeFactory) -> None:
    app = make_app(make_function("Post", methods=("POST",)), make_function("Off", is_disabled=True))
    edge = await serve(app)

    for method, path in [
        ("GET", "/api/Post"),
        ("HEAD", "/api/Post"),
        ("GET", "/api/Off"),
        ("GET", "/api"),
        ("GET", "/x"),
    ]:
        async with edge.request(method, path) as answer:
            assert (answer.status, await answer.read()) == (404, b"")
            assert "Allow" not in answer.headers


async def test_a_head_request_gets_the_headers_without_the_body(edge: Edge) -> None:
    edge.executor.answers["Hello"] = responds(b"12345")

    async with edge.request("HEAD", "/api/Hello") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "5", b"")


async def test_a_body_above_the_limit_is_413_chunked_or_not(serve: EdgeFactory) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 11

    edge = await serve(body_limit_bytes=10)

    assert await answer_of(edge, "POST", "/api/Hello", data=b"x" * 11) == (413, b"")
    assert await answer_of(edge, "POST", "/api/Hello", data=chunks()) == (413, b"")
    assert edge.executor.calls == []
    assert await answer_of(edge, "POST", "/api/Hello", data=b"x" * 10) == (204, b"")


async def test_custom_headers_are_added_if_the_answer_lacks_them(serve: EdgeFactory) -> None:
    edge = await serve(custom_headers={"X-Frame-Options": "DENY", "X-Own": "default"})
    edge.executor.answers["Hello"] = InvocationResult(
        response=HttpResponse(status=200, headers={"x-own": "mine"}, body=b"")
    )

    async with edge.request("GET", "/api/Hello") as answer:
        assert (answer.headers["X-Frame-Options"], answer.headers.getall("X-Own")) == ("DENY", ["mine"])


async def test_a_client_that_goes_away_does_not_cancel_the_function(edge: Edge) -> None:
    entered, finish, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> InvocationResult:
        entered.set()
        await finish.wait()
        ended.set()
        return InvocationResult()

    edge.executor.answers["Hello"] = slow
    _, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"GET /api/Hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(entered.wait(), WAIT_SECONDS)

    writer.close()
    await writer.wait_closed()
    finish.set()

    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)


async def test_while_the_host_stops_new_requests_get_503_and_running_ones_end(edge: Edge) -> None:
    finish = asyncio.Event()

    async def slow() -> InvocationResult:
        await finish.wait()
        return responds(b"done")

    edge.executor.answers["Hello"] = slow
    running = asyncio.create_task(answer_of(edge, "GET", "/api/Hello"))
    await eventually(lambda: edge.executor.calls)
    drain = asyncio.create_task(edge.server.drain(10))
    await eventually(lambda: edge.server.is_stopping)

    assert await answer_of(edge, "GET", "/api/Hello") == (503, b"Function host is not running.")
    async with edge.session.get(f"{edge.server.rpc_base_url}instances") as answer:
        assert answer.status == 200  # a function that still runs may need it
    assert not drain.done()
    finish.set()

    assert await running == (200, b"done")
    await asyncio.wait_for(drain, WAIT_SECONDS)


async def test_stop_ends_a_function_that_outlasts_the_drain(edge: Edge) -> None:
    cancelled = asyncio.Event()

    async def endless() -> InvocationResult:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError("unreachable")

    edge.executor.answers["Hello"] = endless
    running = asyncio.create_task(answer_of(edge, "GET", "/api/Hello"))
    await eventually(lambda: edge.executor.calls)

    await edge.server.stop(0.01)

    assert cancelled.is_set()
    await asyncio.gather(running, return_exceptions=True)
