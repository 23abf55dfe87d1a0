"""Functions of triggers that durablehost does not serve, run with a text, through a real process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from packages.durablehost.tests.unit.worker.conftest import CLIENT, AppBuilder, RunningPool, StartPool


def trigger(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "name": "event", "direction": "in", **members}


def show(expression: str, annotation: str = "") -> str:
    """Source of a function that passes its inputs to its output binding, as JSON."""
    return f"""
    import json
    import typing
    import azure.functions as func

    def main(event{annotation}, seen: func.Out[str]):
        seen.set(json.dumps({expression}))
    """


async def seen_by(pool: RunningPool, text: str) -> Any:
    result = await pool.call("F", {"event": text})
    assert result.failure is None, result.failure.stack
    return json.loads(json.loads(result.outputs["seen"]))


OUT = {"type": "queue", "name": "seen", "direction": "out"}
BODY = "event.get_body().decode()"

CASES = [
    ("timerTrigger", "", "event.past_due", ": func.TimerRequest", "", False),
    ("TimerTrigger", "", "event.schedule", ": func.TimerRequest", "not JSON", {"AdjustForDST": True}),
    ("timerTrigger", "", "event.past_due", ": func.TimerRequest", '{"IsPastDue": true}', True),
    ("timerTrigger", "", "[event.past_due, event.schedule_status]", "", "[1]", [False, {}]),
    ("queueTrigger", "", BODY, ": func.QueueMessage", "Zoë", "Zoë"),
    ("queueTrigger", "", BODY, "", '{"a": 1}', '{"a": 1}'),
    ("queueTrigger", "", "event", ": str", "text", "text"),
    ("blobTrigger", "", "event.read().decode()", ": func.InputStream", "content", "content"),
    ("eventHubTrigger", "", BODY, ": func.EventHubEvent", "e", "e"),
    ("eventHubTrigger", "many", f"[{BODY} for event in event]", ": typing.List[func.EventHubEvent]", "e", ["e"]),
    ("serviceBusTrigger", "", BODY, ": func.ServiceBusMessage", "m", "m"),
    ("serviceBusTrigger", "Many", f"[{BODY} for event in event]", "", "m", ["m"]),
    ("kafkaTrigger", "", BODY, ": func.KafkaEvent", "k", "k"),
    ("kafkaTrigger", "many", f"[{BODY} for event in event]", ": typing.List[func.KafkaEvent]", "k", ["k"]),
    ("eventGridTrigger", "", "event.get_json()", ": func.EventGridEvent", '{"id": "1", "data": {"a": 1}}', {"a": 1}),
    ("cosmosDBTrigger", "", "[dict(each) for each in event]", ": func.DocumentList", '[{"id": "1"}]', [{"id": "1"}]),
    ("warmupTrigger", "", "type(event).__name__", "", "", "WarmUpContext"),
    ("sqlTrigger", "", "event", ": str", "[]", "[]"),
    ("signalRTrigger", "", "event", "", "text", "text"),
]


@pytest.mark.parametrize(("kind", "cardinality", "expression", "annotation", "text", "expected"), CASES)
async def test_a_text_becomes_the_event_of_the_trigger(
    app: AppBuilder,
    start_pool: StartPool,
    kind: str,
    cardinality: str,
    expression: str,
    annotation: str,
    text: str,
    expected: object,
) -> None:
    members = {"cardinality": cardinality} if cardinality else {}
    app.function("F", trigger(kind, **members), OUT, source=show(expression, annotation))

    assert await seen_by(await start_pool(), text) == expected


async def test_a_durable_client_comes_with_the_event(app: AppBuilder, start_pool: StartPool) -> None:
    source = """
    import azure.functions as func

    async def main(event: func.TimerRequest, starter: str, seen: func.Out[str]):
        seen.set(starter)
    """
    app.function("F", trigger("timerTrigger"), CLIENT, OUT, source=source)

    assert await seen_by(await start_pool(), "") == {"taskHubName": "starter"}


async def test_a_text_that_is_not_an_event_fails_only_the_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.function("F", trigger("eventGridTrigger"), OUT, source=show("event.id"))
    pool = await start_pool()

    result = await pool.call("F", {"event": "no JSON"})

    assert result.failure is not None
    assert result.failure.type_name == "JSONDecodeError"
    assert "Executed 'Functions.F' (Failed" in caplog.text
    assert await seen_by(pool, '{"id": "1"}') == "1"
