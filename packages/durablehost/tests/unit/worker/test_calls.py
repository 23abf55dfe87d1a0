"""From bindings to arguments and back, through a real process."""

from __future__ import annotations

import json
import re

import pytest

from durablehost.app.invocation import HttpResponse, InvocationResult
from durablehost.worker import protocol
from packages.durablehost.tests.unit.worker.conftest import CLIENT, HTTP, RESPONSE, AppBuilder, StartPool


async def test_an_http_function_sees_the_request_and_its_client(app: AppBuilder, start_pool: StartPool) -> None:
    app.function(
        "F",
        HTTP,
        CLIENT,
        RESPONSE,
        source="""
        import json
        import azure.functions as func

        async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
            seen = [req.method, req.url, req.headers["Content-Type"], req.params["a"], req.route_params["id"]]
            headers = {"x-a": "1", "Set-Cookie": "c=v; Path=/; HttpOnly"}
            body = json.dumps([seen, req.get_json(), json.loads(starter)])
            return func.HttpResponse(body, status_code=201, headers=headers, mimetype="application/json")
        """,
    )
    result = await (await start_pool()).http("F", b'{"z": 1}')
    assert result.failure is None
    assert result.response is not None
    assert result.response.status == 201
    assert dict(result.response.headers) == {"x-a": "1", "content-type": "application/json"}
    assert result.response.cookies == ("c=v; domain=; path=/; httponly",)
    assert json.loads(result.response.body) == [
        ["POST", "http://localhost:7071/api/x?a=1", "application/json", "1", "7"],
        {"z": 1},
        {"taskHubName": "starter"},
    ]


async def test_a_returned_string_is_the_text_of_a_response(app: AppBuilder, start_pool: StartPool) -> None:
    app.http("F", "def main(req) -> str: return 'hé'")
    result = await (await start_pool()).http("F")
    assert result.response == HttpResponse(
        status=200, headers={"content-type": "text/plain; charset=utf-8"}, body="hé".encode()
    )


async def test_an_out_parameter_is_the_response_if_it_is_set(app: AppBuilder, start_pool: StartPool) -> None:
    app.function(
        "F",
        HTTP,
        {"type": "http", "name": "res", "direction": "out"},
        source="""
        import azure.functions as func

        def main(req, res: func.Out[func.HttpResponse]):
            if req.get_body():
                res.set(func.HttpResponse("x"))
                assert res.get().get_body() == b"x"
        """,
    )
    pool = await start_pool()
    is_set, unset = await pool.http("F", b"set"), await pool.http("F")
    assert is_set.response is not None
    assert is_set.response.body == b"x"
    assert unset == InvocationResult()


async def test_the_returned_response_wins_over_the_out_parameter(app: AppBuilder, start_pool: StartPool) -> None:
    app.function(
        "F",
        HTTP,
        {"type": "http", "name": "res", "direction": "out"},
        RESPONSE,
        source="""
        def main(req, res):
            res.set("parameter")
            return "returned"
        """,
    )
    result = await (await start_pool()).http("F")
    assert result.response is not None
    assert result.response.body == b"returned"


async def test_other_output_bindings_are_captured(app: AppBuilder, start_pool: StartPool) -> None:
    outputs = [{"type": kind, "name": kind, "direction": "out"} for kind in ("queue", "twilioSms", "blob")]
    app.function(
        "F",
        {"type": "activityTrigger", "name": "input"},
        *outputs,
        source="""
        def main(input, queue, twilioSms, blob):
            queue.set("q")
            twilioSms.set('{"to": 1}')
            blob.set(b"\\xff")
            return 5
        """,
    )
    result = await (await start_pool()).call("F")
    assert result.failure is None
    assert result.return_value == "5"
    assert result.outputs == {"queue": '"q"', "twilioSms": '"{\\"to\\": 1}"', "blob": '"/w=="'}


async def test_a_response_that_cannot_be_encoded_fails_the_call(app: AppBuilder, start_pool: StartPool) -> None:
    app.http("Nothing", "def main(req): return None")
    app.http("Dict", "def main(req): return {}")
    app.http("Status", "import azure.functions as f\ndef main(req): return f.HttpResponse('', status_code='abc')")
    app.http("Surrogate", "def main(req): return '\\ud800'")
    pool = await start_pool()
    for name, message in {
        "Nothing": 'for Python type "NoneType"',
        "Dict": 'for Python type "dict"',
        "Status": "ValueError: invalid literal for int()",
        "Surrogate": "UnicodeEncodeError",
    }.items():
        failure = (await pool.http(name)).failure
        assert failure is not None
        assert message in f"{failure.type_name}: {failure.message}"


async def test_a_value_without_a_binding_to_return_it_fails_the_call(app: AppBuilder, start_pool: StartPool) -> None:
    app.function("F", HTTP, source="def main(req): return 'x'")
    failure = (await (await start_pool()).http("F")).failure
    assert failure is not None
    assert failure.message == "function 'F' without a $return bindingreturned a non-None value"


async def test_a_wrong_result_has_no_frames_of_anybody(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("F", "def main(input): return object()")
    failure = (await (await start_pool()).call("F")).failure
    assert failure is not None
    assert "must be json serializable" in failure.stack
    assert not failure.has_frames


async def test_an_exception_becomes_data_and_its_stack_begins_in_user_code(
    app: AppBuilder, start_pool: StartPool
) -> None:
    for name, keyword in {"Plain": "def", "Coroutine": "async def"}.items():
        app.activity(
            name,
            f"""
            class Broken(Exception): ...

            {keyword} main(input):
                try:
                    1 / 0
                except ZeroDivisionError as error:
                    raise Broken("it broke: \\ud800") from error
            """,
        )
    pool = await start_pool()
    for name in ("Plain", "Coroutine"):
        failure = (await pool.call(name)).failure
        assert failure is not None
        assert (failure.type_name, failure.message) == ("Broken", "it broke: \\ud800")
        assert "ZeroDivisionError: division by zero" in failure.stack
        assert 'raise Broken("it broke' in failure.stack
        assert "durablehost" not in failure.stack


async def test_no_exception_of_user_code_harms_the_process(app: AppBuilder, start_pool: StartPool) -> None:
    source = """
        import asyncio

        class Nasty(Exception):
            def __str__(self): raise ValueError

        class Rude(Exception):
            def __str__(self): raise KeyboardInterrupt

        class Unnamed(type):
            @property
            def __name__(self): raise KeyboardInterrupt

        class Nameless(Exception, metaclass=Unnamed): ...

        KINDS = (
            KeyboardInterrupt, asyncio.CancelledError, Nasty, GeneratorExit, StopIteration, BaseException, SystemExit,
            Rude, Nameless,
        )
    """
    app.activity("Plain", source + "\n        def main(input): raise KINDS[input]")
    app.activity("Coroutine", source + "\n        async def main(input): raise KINDS[input]")
    app.activity("Pid", "import os\ndef main(input): return os.getpid()")
    pool = await start_pool()
    pid = await pool.activity("Pid")
    for name in ("Plain", "Coroutine"):
        for kind in range(9):
            assert (await pool.call(name, {"input": str(kind)})).failure is not None
    assert await pool.activity("Pid") == pid


@pytest.mark.parametrize(("how", "message"), [("sys.exit()", ""), ("sys.exit(3)", "3"), ("sys.exit('why')", "why")])
async def test_an_exit_is_an_exception_of_the_call(
    app: AppBuilder, start_pool: StartPool, how: str, message: str
) -> None:
    app.activity("Plain", f"import sys\ndef main(input): {how}")
    app.activity("Coroutine", f"import sys\nasync def main(input): {how}")
    pool = await start_pool()
    for name in ("Plain", "Coroutine"):
        failure = (await pool.call(name)).failure
        assert failure is not None
        assert (failure.type_name, failure.message) == ("SystemExit", message)


async def test_the_context_describes_the_call(app: AppBuilder, start_pool: StartPool) -> None:
    app.function(
        "F",
        HTTP,
        RESPONSE,
        source="""
        import json
        import azure.functions as func

        def main(req, context: func.Context):
            trace, retry = context.trace_context, context.retry_context
            return func.HttpResponse(json.dumps([
                len(context.invocation_id), context.function_name, context.function_directory,
                trace.Traceparent, trace.trace_parent, trace.Tracestate, trace.Attributes,
                retry.retry_count, retry.max_retry_count, retry.exception,
            ]))
        """,
    )
    result = await (await start_pool()).http("F", trace_parent="00-1-2-01")
    assert result.response is not None
    assert json.loads(result.response.body) == [
        36, "F", str(app.root / "F"), "00-1-2-01", "00-1-2-01", "", {}, 0, 0, None,
    ]  # fmt: skip


async def test_five_megabytes_pass_both_ways(app: AppBuilder, start_pool: StartPool) -> None:
    app.http(
        "F", "import azure.functions as f\ndef main(req): return f.HttpResponse(req.get_body()[::-1], mimetype='a/b')"
    )
    body = bytes(range(256)) * 20_000
    result = await (await start_pool()).http("F", body)
    assert result.response is not None
    assert result.response.body == body[::-1]


async def test_a_large_text_passes_both_ways(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("F", "def main(input): return input * 2")
    text = "ü\x00" * 500_000
    assert await (await start_pool()).activity("F", text) == text * 2


async def test_an_input_above_the_limit_of_a_frame_fails_the_call_by_name(
    app: AppBuilder, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.activity("F", "def main(input): return len(input)")
    pool = await start_pool()
    monkeypatch.setattr(protocol, "MAX_BODY_SIZE", 1_000_000)
    failure = (await pool.call("F", {"input": json.dumps("x" * 1_000_000)})).failure
    assert failure is not None
    assert re.search(
        r"The input of function 'F' is too large: 1000\d{3} bytes are more than the 1000000", failure.message
    )
    assert await pool.activity("F", "x" * 900_000) == 900_000


async def test_a_result_above_the_limit_of_a_frame_fails_the_call_by_name(
    app: AppBuilder, start_pool: StartPool
) -> None:
    source = """
        import sys

        def main(input):
            sys.modules["durablehost.worker.protocol"].MAX_BODY_SIZE = 1_000_000  # the limit of this process
            return "x" * input
    """
    app.activity("F", source)
    pool = await start_pool()
    failure = (await pool.call("F", {"input": "1000000"})).failure
    assert failure is not None
    assert re.search(
        r"The result of function 'F' is too large: 1000\d{3} bytes are more than the 1000000", failure.message
    )
    assert len(await pool.activity("F", 900_000)) == 900_000


async def test_custom_classes_pass_between_activities(app: AppBuilder, start_pool: StartPool) -> None:
    source = """
        class Point:
            def __init__(self, x): self.x = x
            @staticmethod
            def to_json(point): return str(point.x)
            @staticmethod
            def from_json(text): return Point(int(text))

        def main(input): return Point(5)
    """
    app.activity("Make", source)
    app.activity("Take", "def main(input): return [type(input).__name__, input.x]")
    pool = await start_pool()
    point = await pool.activity("Make")
    assert point["__module__"] == "__app__.Make"
    assert await pool.activity("Take", point) == ["Point", 5]
