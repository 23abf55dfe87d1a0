"""One run from an HTTP request to its end, over the in-memory hub: its spans, read from an in-memory exporter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from durablehost.app.invocation import HttpResponse, Invocation, InvocationResult
from durablehost.app.model import TriggerKind
from durablehost.core.history import ExecutionStarted, TaskScheduled
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.instance_logs import InstanceLogs
from durablehost.engine.ports import InstanceRecord
from durablehost.engine.tracing import NO_TRACES, Tracer
from durablehost.web.links import Links
from durablehost.web.server import WebServer
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub
from packages.durablehost.tests.unit.engine.scripted import (
    ScriptedExecutor,
    call,
    orchestrator_state,
    raised,
    returned,
)
from packages.durablehost.tests.unit.traces.recorder import Recorder, parent_id, trace_id, tree
from packages.durablehost.tests.unit.web.fakes import host_status, make_app, make_function, make_settings

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
APP = make_app(
    make_function("Begin", route="begin/{what}"),
    make_function("Run", "orchestrationTrigger"),
    make_function("Child", "orchestrationTrigger"),
    make_function("Say", "activityTrigger"),
    make_function("Fail", "activityTrigger"),
    make_function("Counter", "entityTrigger"),
)
WORK = (
    call("Say"),
    call("Say"),
    call("Fail"),
    {"actionType": 2, "functionName": "Child", "input": "1", "instanceId": "child"},
    {"actionType": 7, "instanceId": "@counter@one", "operation": "add", "input": "1"},
)
# The numbers of TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted and EventRaised.
RESULTS = {5, 6, 8, 15}

WHOLE_RUN = """\
POST /api/begin/{what} SERVER UNSET
  create_orchestration:Run PRODUCER UNSET
    orchestration:Run SERVER OK
      activity:Fail CLIENT ERROR
        activity:Fail SERVER ERROR
      activity:Say CLIENT UNSET
        activity:Say SERVER UNSET
      activity:Say CLIENT UNSET
        activity:Say SERVER UNSET
      entity:counter:add CLIENT UNSET
        entity:counter:add SERVER OK
      orchestration:Child CLIENT UNSET
        orchestration:Child SERVER OK"""


@dataclass
class World:
    """A web server and an engine over one hub in memory."""

    hub: MemoryTaskHub
    executor: ScriptedExecutor
    client: OrchestrationClient
    server: WebServer
    session: aiohttp.ClientSession

    async def begin(self, headers: dict[str, str] | None = None) -> None:
        """Starts the run through the HTTP function, and waits for its end."""
        url = f"http://127.0.0.1:{self.server.port}/api/begin/run?code=secret"
        async with self.session.post(url, headers=headers) as answer:
            assert answer.status == 202
        await self.end_of("run")

    async def end_of(self, instance_id: str) -> InstanceRecord:
        async def finished() -> InstanceRecord | None:
            record = await self.client.get(instance_id)
            return record if record and record.runtime_status.is_finished else None

        record = await eventually(finished)
        assert record is not None
        return record

    def context_of(self, function_name: str) -> list[tuple[str, str]]:
        calls = [each for each in self.executor.calls if each.function_name == function_name]
        return [(each.trace_parent, each.trace_state) for each in calls]


async def make_world(tracer: Tracer) -> AsyncIterator[World]:
    clock = ManualClock()
    hub, executor, links, stopping = MemoryTaskHub(clock), ScriptedExecutor(), Links(hub_name="Test"), asyncio.Event()
    client = OrchestrationClient(
        hub,
        APP.of_kind(TriggerKind.ORCHESTRATION),
        clock,
        entity_functions=APP.of_kind(TriggerKind.ENTITY),
        tracer=tracer,
    )
    server = WebServer(
        APP,
        executor,
        client,
        links,
        make_settings(),
        host_status,
        clock=clock,
        starts=ActivityStarts(),
        logs=InstanceLogs(clock),
        rpc_port=0,
        tracer=tracer,
    )
    await server.start()
    async with aiohttp.ClientSession() as session:
        world = World(hub, executor, client, server, session)
        script(world)
        options = EngineOptions(max_orchestrations=10, max_activities=10)
        engine = Engine(hub, executor, APP, clock, options, tracer=tracer)
        await hub.start()
        loop = asyncio.create_task(engine.run(stopping), name="engine")
        try:
            yield world
        finally:
            stopping.set()
            await asyncio.wait_for(loop, timeout=WAIT_SECONDS)
            await hub.stop()
            await server.stop()


def script(world: World) -> None:
    async def begin(invocation: Invocation) -> InvocationResult:
        """As the SDK: with the context of the span that is the current one."""
        headers = {"traceparent": invocation.trace_parent, "tracestate": invocation.trace_state}
        async with world.session.post(
            f"{world.server.rpc_base_url}orchestrators/Run/run",
            json={},
            headers={name: value for name, value in headers.items() if value},
        ) as answer:
            assert answer.status == 202
        return InvocationResult(response=HttpResponse(status=202, headers={}, body=b""))

    async def run(invocation: Invocation) -> InvocationResult:
        history = json.loads(str(invocation.inputs["req"]))["history"]
        is_done = sum(event["EventType"] in RESULTS for event in history) == len(WORK)
        return orchestrator_state(*WORK, isDone=is_done, output="done" if is_done else None)

    world.executor.scripts |= {"Begin": begin, "Run": run}
    world.executor.script("Say", returned("hello"))
    world.executor.script("Fail", raised("ValueError", "no"))
    world.executor.script("Child", orchestrator_state(isDone=True, output=1))
    operation = {"isError": False, "result": "1"}
    batch = {"entityExists": True, "entityState": "1", "results": [operation], "signals": []}
    world.executor.script("Counter", returned(batch))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture
async def world(recorder: Recorder) -> AsyncIterator[World]:
    async for world in make_world(recorder.tracer):
        yield world


@pytest.fixture
async def untraced() -> AsyncIterator[World]:
    async for world in make_world(NO_TRACES):
        yield world


def attributes(spans: tuple[ReadableSpan, ...], name: str, kind: str) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in spans if (span.name, span.kind.name) == (name, kind)]


async def test_the_spans_of_a_run_are_one_trace_below_the_span_of_the_caller(world: World, recorder: Recorder) -> None:
    await world.begin(HEADERS)
    spans = recorder.close()
    assert {trace_id(span) for span in spans} == {TRACE}
    assert tree(spans, CALLER) == WHOLE_RUN


async def test_a_run_without_a_caller_is_a_trace_of_its_own(world: World, recorder: Recorder) -> None:
    await world.begin()
    spans = recorder.close()
    assert len({trace_id(span) for span in spans}) == 1
    assert tree(spans, None) == WHOLE_RUN


async def test_spans_have_the_attributes_of_the_extension(world: World, recorder: Recorder) -> None:
    await world.begin(HEADERS)
    spans = recorder.close()
    (created,) = attributes(spans, "create_orchestration:Run", "PRODUCER")
    execution_id = created.pop("durabletask.task.execution_id")
    assert len(execution_id) == 32
    run = {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "Run",
        "durabletask.task.instance_id": "run",
    }
    assert created == run
    assert attributes(spans, "orchestration:Run", "SERVER") == [{**run, "durabletask.task.status": "Completed"}]
    failed = {
        "durabletask.type": "activity",
        "durabletask.task.name": "Fail",
        "durabletask.task.instance_id": "run",
        "durabletask.task.task_id": 2,
    }
    assert attributes(spans, "activity:Fail", "CLIENT") == attributes(spans, "activity:Fail", "SERVER") == [failed]
    child = {**run, "durabletask.task.name": "Child"}
    assert attributes(spans, "orchestration:Child", "CLIENT") == [child]
    call_of_entity = {"durabletask.type": "entity", "durabletask.task.operation": "call_entity"}
    assert attributes(spans, "entity:counter:add", "CLIENT") == [
        {**call_of_entity, "durabletask.event.target_instance_id": "@counter@one"}
    ]
    assert attributes(spans, "entity:counter:add", "SERVER") == [
        {**call_of_entity, "durabletask.task.instance_id": "@counter@one"}
    ]


async def test_the_span_of_a_request_has_the_attributes_of_http_but_no_query(world: World, recorder: Recorder) -> None:
    await world.begin(HEADERS)
    (request,) = attributes(recorder.close(), "POST /api/begin/{what}", "SERVER")
    (invocation,) = [each for each in world.executor.calls if each.function_name == "Begin"]
    assert request == {
        "http.request.method": "POST",
        "http.route": "/api/begin/{what}",
        "http.response.status_code": 202,
        "url.path": "/api/begin/run",
        "url.scheme": "http",
        "faas.trigger": "http",
        "faas.name": "Begin",
        "faas.invocation_id": invocation.invocation_id,
    }


async def test_a_failed_request_has_an_error_status(world: World, recorder: Recorder) -> None:
    world.executor.script("Begin", raised("ValueError", "no"))
    async with world.session.post(f"http://127.0.0.1:{world.server.port}/api/begin/run") as answer:
        assert answer.status == 500
    (span,) = recorder.close()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "500"


async def test_the_text_of_a_failure_is_the_description_of_its_status(world: World, recorder: Recorder) -> None:
    await world.begin(HEADERS)
    texts = {span.status.description for span in recorder.close() if span.name == "activity:Fail"}
    assert texts == {"Activity function 'Fail' failed:  ValueError: no"}


async def test_functions_are_called_within_their_spans(world: World, recorder: Recorder) -> None:
    await world.begin(HEADERS)
    by_name = {(span.name, span.kind.name): span for span in recorder.close()}
    for function, name in (
        ("Begin", "POST /api/begin/{what}"),
        ("Run", "orchestration:Run"),
        ("Fail", "activity:Fail"),
        ("Child", "orchestration:Child"),
        ("Counter", "entity:counter:add"),
    ):
        context = by_name[name, "SERVER"].context
        assert context is not None
        assert set(world.context_of(function)) == {(f"00-{TRACE}-{context.span_id:016x}-01", "vendor=1")}, function


async def test_nothing_is_recorded_of_a_trace_that_its_caller_does_not_sample(world: World, recorder: Recorder) -> None:
    await world.begin({"traceparent": f"00-{TRACE}-{CALLER}-00"})
    assert recorder.close() == ()
    assert {context[-3:] for context, _ in world.context_of("Say")} == {"-00"}


async def test_a_start_that_no_client_has_traced_gets_the_span_of_its_creation(
    world: World, recorder: Recorder
) -> None:
    """Such as that of a command, which exports nothing."""
    await OrchestrationClient(world.hub, None, ManualClock()).start("Child", instance_id="alone")
    await world.end_of("alone")
    expected = "create_orchestration:Child PRODUCER UNSET\n  orchestration:Child SERVER OK"
    assert tree(recorder.close(), None) == expected


async def test_a_refused_start_has_an_error_status(world: World, recorder: Recorder) -> None:
    world.executor.script("Run", orchestrator_state({"actionType": 6, "externalEventName": "never"}))
    await world.client.start("Run", instance_id="run")
    with pytest.raises(Exception, match="already exists"):
        await world.client.start("Run", instance_id="run")
    statuses = {span.status.status_code for span in recorder.close() if span.kind.name == "PRODUCER"}
    assert statuses == {StatusCode.UNSET, StatusCode.ERROR}


async def test_external_events_and_signals_of_clients_have_spans(world: World, recorder: Recorder) -> None:
    go, never = ({"actionType": 6, "externalEventName": name} for name in ("go", "never"))
    world.executor.script("Run", orchestrator_state(go), orchestrator_state(go, never))
    await world.client.start("Run", instance_id="run")
    webhook = f"http://127.0.0.1:{world.server.port}/runtime/webhooks/durabletask"
    for path in ("instances/run/raiseEvent/go", "entities/Counter/one?op=add"):
        async with world.session.post(f"{webhook}/{path}", json=1, headers=HEADERS) as answer:
            assert answer.status == 202
    await eventually(lambda: world.context_of("Counter"))
    await world.client.terminate("run", "enough")
    await world.end_of("run")
    spans = recorder.close()
    assert tree(spans, CALLER) == (
        "entity:counter:add PRODUCER UNSET\n  entity:counter:add CONSUMER OK\norchestration_event:go PRODUCER UNSET"
    )
    (event,) = attributes(spans, "orchestration_event:go", "PRODUCER")
    assert event == {
        "durabletask.type": "event",
        "durabletask.task.name": "go",
        "durabletask.event.target_instance_id": "run",
    }
    (run,) = [span for span in spans if span.name == "orchestration:Run"]
    assert (run.status.status_code, run.status.description) == (StatusCode.ERROR, "Terminated")


async def test_executions_that_continue_one_another_share_a_span(world: World, recorder: Recorder) -> None:
    again = {"actionType": 4, "input": "2"}
    world.executor.script("Child", orchestrator_state(again, isDone=True), orchestrator_state(isDone=True, output=1))
    await world.client.start("Child", instance_id="eternal")
    await world.end_of("eternal")
    names = [span.name for span in recorder.close()]
    assert sorted(names) == ["create_orchestration:Child", "orchestration:Child"]


async def test_without_traces_the_context_of_the_caller_is_passed_on(untraced: World) -> None:
    await untraced.begin(HEADERS)
    for function in ("Begin", "Run", "Say", "Fail", "Child", "Counter"):
        assert set(untraced.context_of(function)) == {(HEADERS["traceparent"], "vendor=1")}, function


async def test_without_traces_and_a_caller_nothing_is_stored(untraced: World) -> None:
    await untraced.begin()
    history = await untraced.hub.read_history("run")
    contexts = [e.parent_trace_context for e in history if isinstance(e, (ExecutionStarted, TaskScheduled))]
    assert contexts == [None] * 4
    assert untraced.context_of("Say") == [("", "")] * 2


async def test_a_client_span_is_that_of_the_stored_request(world: World, recorder: Recorder) -> None:
    """So that a real host that goes on with the run ends the same span."""
    await world.begin(HEADERS)
    history = await world.hub.read_history("run")
    stored = {str((e.parent_trace_context or {})["TraceParent"]) for e in history if isinstance(e, TaskScheduled)}
    parents = {
        f"00-{TRACE}-{parent_id(span)}-01"
        for span in recorder.close()
        if span.name.startswith("activity:") and span.kind.name == "SERVER"
    }
    assert parents == stored
