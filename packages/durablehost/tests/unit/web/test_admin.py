"""The admin routes, in the shapes that tools read."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from typing import Any

import pytest

from durablehost.app.invocation import Failure, HttpRequest, InvocationResult
from durablehost.app.model import Function, FunctionError
from durablehost.errors import WorkerCrashed
from durablehost.large_text import LARGE
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function

ACTIVITY = make_function("Say", "activityTrigger")
BROKEN = FunctionError(name="Broken", message="The binding name _x is invalid.")


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    app = make_app(
        make_function("Hello", route="Greet/{Name}"), ACTIVITY, make_function("Off", is_disabled=True), errors=(BROKEN,)
    )
    return await serve(app)


async def get(edge: Edge, path: str) -> tuple[int, Any]:
    async with edge.request("GET", path) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else None


async def run(edge: Edge, name: str, body: Any) -> int:
    async with edge.request("POST", f"/admin/functions/{name}", data=body) as answer:
        assert not await answer.read() or answer.status == 400
        status: int = answer.status
        return status


async def test_the_host_status_is_running(edge: Edge) -> None:
    assert await get(edge, "/admin/host/status") == (
        200,
        {
            "id": "testhost-1",
            "state": "Running",
            "version": "4.0.0",
            "versionDetails": "4.0.0",
            "processUptime": 1500,
            "functionAppContentEditingState": "Unknown",
        },
    )


async def test_ping_is_200_without_a_body(edge: Edge) -> None:
    for method in ("GET", "POST"):
        async with edge.request(method, "/Admin/Host/Ping") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_a_function_is_described_with_its_links(edge: Edge) -> None:
    files = f"{edge.url}/admin/vfs/site/wwwroot/Hello"

    assert await get(edge, "/admin/functions/hello") == (
        200,
        {
            "name": "Hello",
            "script_root_path_href": f"{files}/",
            "script_href": f"{files}/__init__.py",
            "config_href": f"{files}/function.json",
            "test_data_href": f"{edge.url}/admin/vfs/data/Functions/sampledata/Hello.dat",
            "href": f"{edge.url}/admin/functions/Hello",
            "invoke_url_template": f"{edge.url}/api/greet/{{name}}",
            "language": "python",
            "config": {"bindings": [{"type": "httpTrigger", "name": "req", "direction": "in"}]},
            "files": None,
            "test_data": "",
            "isDisabled": False,
            "isDirect": False,
            "isProxy": False,
        },
    )


async def test_a_warm_up_runs_its_function_at_the_first_request_only(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("WarmUp", "warmupTrigger"), make_function("Other", "warmupTrigger")))
    for path in ("/admin/warmup", "/Admin/Warmup/"):
        assert await get(edge, path) == (200, None)
    assert [(call.function_name, call.inputs["req"]) for call in edge.executor.calls] == [("WarmUp", "")]


@pytest.mark.parametrize(
    "outcome", [InvocationResult(failure=Failure(type_name="E", message="m", stack="s")), WorkerCrashed("it ended")]
)
async def test_a_warm_up_that_fails_is_500_and_is_not_repeated(
    serve: EdgeFactory, outcome: InvocationResult | Exception
) -> None:
    edge = await serve(make_app(make_function("warmup", "warmupTrigger")))
    edge.executor.answers["warmup"] = outcome
    assert await get(edge, "/admin/warmup") == (500, None)
    assert await get(edge, "/admin/warmup") == (200, None)


@pytest.mark.parametrize(
    "function",
    [
        ACTIVITY,
        make_function("Other", "warmupTrigger"),
        make_function("Warmup"),
        make_function("Warmup", "timerTrigger"),
    ],
)
async def test_a_warm_up_without_its_function_is_200_and_runs_nothing(serve: EdgeFactory, function: Function) -> None:
    edge = await serve(make_app(function))
    assert await get(edge, "/admin/warmup") == (200, None)
    assert edge.executor.calls == []


async def test_a_warm_up_of_a_disabled_function_is_404(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("Warmup", "warmupTrigger", is_disabled=True)))
    assert await get(edge, "/admin/warmup") == (404, None)
    assert edge.executor.calls == []


async def test_the_list_contains_every_function_that_passed_validation(edge: Edge) -> None:
    status, functions = await get(edge, "/admin/functions")

    assert status == 200
    assert [(f["name"], f["isDisabled"], f["invoke_url_template"] is None) for f in functions] == [
        ("Hello", False, False),
        ("Off", True, False),
        ("Say", False, True),
    ]


async def test_a_function_in_error_has_a_status_with_its_error(edge: Edge) -> None:
    assert await get(edge, "/admin/functions/broken/status") == (200, {"errors": [BROKEN.message]})
    assert await get(edge, "/admin/functions/Hello/status") == (200, {})
    assert await get(edge, "/admin/functions/Nobody/status") == (404, None)


@pytest.mark.parametrize("path", ["/admin", "/admin/functions/Nobody", "/admin/host/nothing", "/admin/a/b/c/d"])
async def test_unknown_names_are_404(edge: Edge, path: str) -> None:
    assert await get(edge, path) == (404, None)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"input": "text"}', "text"),
        ('{"input": 5}', "5"),
        ("{}", ""),
        ('{"input": "{\\"a\\":1}"}', '{"a":1}'),
        # Parsed in a process of its own.
        pytest.param(BytesIO(b'{"input": "text", "other": [%s0]}' % (b"0," * LARGE)), "text", id="large"),
    ],
)
async def test_a_run_passes_the_input_to_the_trigger(edge: Edge, body: str | BytesIO, value: str) -> None:
    assert await run(edge, "say", body) == 202

    await eventually(lambda: edge.executor.calls)
    assert edge.executor.calls[0].inputs == {"req": value}


async def test_a_run_of_an_http_function_posts_the_input(edge: Edge) -> None:
    assert await run(edge, "Hello", '{"input": "Zoë"}') == 202

    await eventually(lambda: edge.executor.calls)
    request = edge.executor.calls[0].inputs["req"]
    assert isinstance(request, HttpRequest)
    assert (request.method, request.body) == ("POST", "Zoë".encode())


async def test_a_run_of_a_trigger_that_is_not_served_passes_the_text_on(serve: EdgeFactory) -> None:
    edge = await serve(make_app(make_function("Nightly", "timerTrigger"), make_function("Receive", "queueTrigger")))

    for name, text in (("nightly", ""), ("Receive", "order 7")):
        assert await run(edge, name, json.dumps({"input": text})) == 202

    await eventually(lambda: len(edge.executor.calls) == 2)
    assert [dict(call.inputs) for call in edge.executor.calls] == [{"req": ""}, {"req": "order 7"}]


async def test_a_disabled_function_can_be_run(edge: Edge) -> None:
    assert await run(edge, "Off", '{"input": ""}') == 202
    await eventually(lambda: edge.executor.calls)


@pytest.mark.parametrize("body", ["", "nope", "[]", '{"input": {"a": 1}}', '{"input": []}', b"\xff", "[" * 100_000])
async def test_an_unreadable_body_is_400_and_runs_nothing(edge: Edge, body: Any) -> None:
    assert await run(edge, "Say", body) == 400
    assert edge.executor.calls == []


async def test_a_run_of_an_unknown_function_is_404(edge: Edge) -> None:
    assert await run(edge, "Nobody", '{"input": ""}') == 404


@pytest.mark.parametrize("outcome", [WorkerCrashed("code 7"), RuntimeError("a defect")])
async def test_a_run_that_fails_is_only_logged(
    edge: Edge, outcome: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    edge.executor.answers["Say"] = outcome

    assert await run(edge, "Say", '{"input": ""}') == 202

    await eventually(lambda: "Say" in caplog.text)
    await edge.server.drain(5)


async def test_the_host_waits_for_runs_and_cancels_them_after_that(edge: Edge) -> None:
    ended, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> InvocationResult:
        try:
            await ended.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return InvocationResult()

    edge.executor.answers["Say"] = endless
    await run(edge, "Say", '{"input": ""}')
    await eventually(lambda: edge.executor.calls)

    await edge.server.stop(0.01)

    assert cancelled.is_set()
