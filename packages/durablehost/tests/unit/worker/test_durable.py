"""Entry points of the Durable Functions SDK, called with the texts of the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from packages.durablehost.tests.unit.worker.conftest import ENTITY, ORCHESTRATOR, AppBuilder, StartPool

pytest.importorskip("azure.durable_functions")

AT = "2026-03-01T10:00:0"


def event(kind: int, second: int, **members: Any) -> dict[str, Any]:
    return {"EventType": kind, "EventId": -1, "IsPlayed": False, "Timestamp": f"{AT}{second}Z", **members}


BEGIN = [event(12, 0), event(0, 0, Name="Orch", Version="", Input=None)]
BOTH_DONE = [
    *BEGIN,
    event(4, 0, Name="Say", Version="", Input=None, EventId=0),
    event(13, 0),
    event(12, 2),
    event(5, 1, TaskScheduledId=0, Result='"Hello Tokyo!"'),
    event(4, 2, Name="Say", Version="", Input=None, EventId=1),
    event(13, 2),
    event(12, 4),
    event(5, 3, TaskScheduledId=1, Result='"Hello Oslo!"'),
]


def payload(history: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "history": history,
            "input": None,
            "instanceId": "abc",
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        }
    )


@pytest.fixture
def durable_app(app: AppBuilder) -> AppBuilder:
    app.function(
        "Orch",
        ORCHESTRATOR,
        source="""
        import azure.durable_functions as df

        def chain(ctx):
            a = yield ctx.call_activity("Say", "Tokyo")
            ctx.set_custom_status({"done": 1})
            b = yield ctx.call_activity("Say", "Oslo")
            return [a, b]

        main = df.Orchestrator.create(chain)
        """,
    )
    app.function(
        "Failing",
        ORCHESTRATOR,
        source="""
        import azure.durable_functions as df

        def fail(ctx):
            yield ctx.call_activity("Say", "Tokyo")
            raise ValueError("no more cities")

        main = df.Orchestrator.create(fail)
        """,
    )
    return app


async def test_an_orchestrator_returns_the_text_of_the_sdk(durable_app: AppBuilder, start_pool: StartPool) -> None:
    pool = await start_pool()
    first = await pool.call("Orch", {"context": payload(BEGIN)})
    assert first.return_value == (
        '{"isDone": false, "schemaVersion": 2, '
        '"actions": [[{"actionType": 0, "functionName": "Say", "input": "\\"Tokyo\\""}]]}'
    )
    last = await pool.call("Orch", {"context": payload(BOTH_DONE)})
    assert last.return_value is not None
    result = json.loads(last.return_value)
    assert (result["isDone"], result["output"]) == (True, ["Hello Tokyo!", "Hello Oslo!"])
    assert result["customStatus"] == {"done": 1}


async def test_a_failed_orchestrator_carries_its_state_but_does_not_log_it(
    durable_app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    result = await (await start_pool()).call("Failing", {"context": payload(BOTH_DONE)})
    assert result.failure is not None
    assert result.failure.type_name == "Exception"
    message, _, state = result.failure.message.partition("\n\n$OutOfProcData$:")
    assert message == "no more cities"
    assert json.loads(state)["error"] == "no more cities"
    [line] = [r.getMessage() for r in caplog.records if r.name == "Function.Failing" and r.levelname == "ERROR"]
    assert "Exception: Exception: no more cities" in line
    assert "OutOfProcData" not in line


async def test_an_entity_returns_its_state_and_a_result_for_each_operation_of_a_batch(
    app: AppBuilder, start_pool: StartPool
) -> None:
    app.function(
        "Counter",
        ENTITY,
        source="""
        import azure.durable_functions as df

        def counter(context):
            value = context.get_state(lambda: 0)
            if context.operation_name == "add":
                value += context.get_input()
            context.set_state(value)
            context.set_result(value)

        main = df.Entity.create(counter)
        """,
    )
    batch = [
        {"name": "add", "input": '"3"', "isSignal": True},
        {"name": "add", "input": "3", "isSignal": False},  # not encoded twice: the SDK cannot read it
        {"name": "get", "input": None, "isSignal": False},
    ]
    text = json.dumps({"self": {"name": "counter", "key": "one"}, "exists": True, "state": "1", "batch": batch})
    answer = await (await start_pool()).call("Counter", {"context": text})
    assert answer.return_value is not None
    result = json.loads(answer.return_value)
    assert (result["entityExists"], result["entityState"], result["signals"]) == (True, "4", [])
    assert [each["isError"] for each in result["results"]] == [False, True, False]
    assert (result["results"][0]["result"], result["results"][2]["result"]) == ("4", "4")


async def test_an_exception_of_an_orchestrator_is_logged_once_with_its_own_frames(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.function(
        "Orchestrate",
        ORCHESTRATOR,
        source="""
        import azure.durable_functions as df

        def orchestrate(context):
            yield from inner(context)

        def inner(context):
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("boom") from error
            yield

        main = df.Orchestrator.create(orchestrate)
        """,
    )
    await (await start_pool()).call("Orchestrate", {"context": payload(BEGIN)})
    text = caplog.records[-1].getMessage()
    frames = [line for line in text.splitlines() if '  File "' in line]
    assert [frame.rpartition("in ")[2] for frame in frames] == ["inner", "orchestrate", "inner"]
    assert all("Orchestrate" in frame for frame in frames)
    assert text.splitlines()[-1] == "ValueError: boom"
    assert text.count("direct cause") == 1


@pytest.mark.parametrize(
    ("trigger", "body", "problem"),
    [
        (ORCHESTRATOR, "yield context", "not generator: its script must have `main = df.Orchestrator.create(...)`."),
        (ORCHESTRATOR, "return 5", "not int: its script must have `main = df.Orchestrator.create(...)`."),
        (ORCHESTRATOR, "pass", "not NoneType: its script must have `main = df.Orchestrator.create(...)`."),
        (ENTITY, "return {}", "not dict: its script must have `main = df.Entity.create(...)`."),
    ],
)
async def test_a_script_that_does_not_wrap_its_function_fails_with_the_reason(
    app: AppBuilder, start_pool: StartPool, trigger: dict[str, Any], body: str, problem: str
) -> None:
    app.function("Bare", trigger, source=f"def main(context):\n    {body}\n")
    result = await (await start_pool()).call("Bare", {"context": payload(BEGIN)})
    assert result.failure is not None
    assert result.failure.message == f"the function must return JSON text, {problem}"
