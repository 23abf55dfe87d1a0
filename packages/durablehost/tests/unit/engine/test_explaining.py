"""Explanations of instances on the in-memory hub, with and without an engine that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.app.event_names import event_names
from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import FunctionApp
from durablehost.core.history import HistoryEvent, OrchestratorCompleted, OrchestratorStarted
from durablehost.core.status import RuntimeStatus
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.explanation import AppFunctions
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import UnreadableState
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub
from packages.durablehost.tests.unit.engine.scripted import (
    APP,
    ScriptedExecutor,
    call,
    orchestrator_state,
    raised,
    returned,
)

APPROVE: dict[str, Any] = {"actionType": 6, "externalEventName": "approve", "reason": "ExternalEvent"}


SAID = orchestrator_state(call("Say"), isDone=True, output="said")


class Host:
    """A hub with a client that explains, and an engine that can be run."""

    def __init__(self, app: FunctionApp = APP) -> None:
        self.clock = ManualClock()
        self.hub = MemoryTaskHub(self.clock)
        self.executor = ScriptedExecutor()
        self.awaited, self.starts = AwaitedEvents(), ActivityStarts()
        functions = AppFunctions.of(app)
        self.client = OrchestrationClient(
            self.hub, functions.orchestrators, self.clock, awaited=self.awaited, starts=self.starts, app=functions
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        options = EngineOptions(max_orchestrations=10, max_activities=10)
        engine = Engine(self.hub, self.executor, APP, self.clock, options, self.awaited, starts=self.starts)
        await self.hub.start()
        loop = asyncio.create_task(engine.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(loop, WAIT_SECONDS)
            await self.hub.stop()

    async def explain(self, instance_id: str) -> tuple[str, list[str]]:
        explanation = await self.client.explain(instance_id)
        assert explanation is not None
        return explanation.text, [reason.kind for reason in explanation.reasons]


@pytest.fixture
def host() -> Host:
    return Host()


async def test_an_unknown_instance_has_no_explanation(host: Host) -> None:
    assert await host.client.explain("nobody") is None


async def test_a_start_waits_for_a_host(host: Host) -> None:
    instance_id = await host.client.start("Chain")
    assert (await host.explain(instance_id))[1] == ["no-host", "start"]


async def test_an_awaited_event_is_known_by_name_in_the_host_that_ran_the_orchestrator(host: Host) -> None:
    host.executor.script("Chain", orchestrator_state(APPROVE))
    async with host.running():
        instance_id = await host.client.start("Chain")

        async def waits() -> bool:
            return (await host.explain(instance_id))[1] == ["external-event"]

        await eventually(waits)
        text = "It waits for an external event named 'approve', since 10:00:00 UTC."
        assert (await host.explain(instance_id))[0] == text

        # An event that nobody awaits, a suspension and a resumption change nothing about the wait.
        host.clock.advance(60)
        await host.client.raise_event(instance_id, "Approve", "1")
        await eventually(lambda: has_kept(host))
        await host.client.suspend(instance_id, "lunch")
        await eventually(lambda: host.hub.storage.records[instance_id].runtime_status is RuntimeStatus.SUSPENDED)
        assert (await host.explain(instance_id))[1] == ["suspended"]
        await host.client.resume(instance_id, None)
        await eventually(lambda: host.hub.storage.records[instance_id].runtime_status is RuntimeStatus.RUNNING)
        await eventually(lambda: has_kept(host))
        explanation = await host.client.explain(instance_id)
        assert explanation is not None
        assert explanation.reasons[0].text == text
        assert explanation.reasons[1].kind == "event-not-awaited"


def has_kept(host: Host) -> bool:
    return any(host.hub._kept.values())


async def test_the_name_of_an_awaited_event_is_not_claimed_for_a_history_that_has_changed(host: Host) -> None:
    host.executor.script("Chain", orchestrator_state(APPROVE))
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: instance_id in host.hub.storage.histories)
    stored = host.hub.storage.histories[instance_id]
    host.hub.storage.histories[instance_id] = replace(stored, events=stored.events + build_episode())
    assert "approve" not in (await host.explain(instance_id))[0]


def build_episode() -> tuple[HistoryEvent, ...]:
    return (OrchestratorStarted(timestamp=build.AT), OrchestratorCompleted(timestamp=build.AT))


async def test_an_activity_that_runs_is_found_in_this_host(host: Host) -> None:
    gate = asyncio.Event()

    async def wait_for_gate(_: Invocation) -> InvocationResult:
        await gate.wait()
        return returned("hello")

    host.executor.script("Chain", orchestrator_state(call("Say")), SAID)
    host.executor.scripts["Say"] = wait_for_gate
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: "Say" in [each.function_name for each in host.executor.calls])
        text, kinds = await host.explain(instance_id)
        gate.set()
        assert kinds == ["activities", "activities"]
        assert text.endswith("The activity runs in this host for 0 s.")
        await eventually(lambda: host.hub.storage.records[instance_id].runtime_status is RuntimeStatus.COMPLETED)
        assert (await host.explain(instance_id))[1] == ["completed"]


async def test_an_activity_with_retry_options_is_explained_by_its_attempt_and_its_input(host: Host) -> None:
    options = {"firstRetryIntervalInMilliseconds": 60_000, "maxNumberOfAttempts": 5}
    say = {**call("Say", '{"chunk_id":17}'), "actionType": 1, "retryOptions": options}
    host.executor.script("Chain", orchestrator_state(say))
    host.executor.script("Say", raised("ValueError", "empty"))
    async with host.running():
        instance_id = await host.client.start("Chain")

        async def pauses_after(failures: str) -> bool:
            return f"has failed {failures}" in (await host.explain(instance_id))[0]

        await eventually(lambda: pauses_after("once"))
        assert await host.explain(instance_id) == (
            "Chunk 17 ('Say') has failed once: ValueError: empty. Attempt 2 of 5 is due at 10:01:00 UTC (in 60 s).",
            ["retry"],
        )
        host.clock.advance(61)
        await eventually(lambda: pauses_after("twice"))
        text, _ = await host.explain(instance_id)
        assert "Chunk 17 ('Say') has failed twice: ValueError: empty. Attempt 3 of 5 is due at" in text


async def test_an_activity_that_an_orchestrator_calls_again_itself_is_counted_as_far_as_the_history_shows(
    host: Host,
) -> None:
    pause = {"actionType": 5, "fireAt": (host.clock.now() + timedelta(seconds=60)).isoformat(), "isCanceled": False}
    one, two = call("Say", '{"chunk_id":17}'), call("Say", '{"chunk_id":18}')
    host.executor.script("Chain", orchestrator_state(one, two), orchestrator_state(one, two, pause))
    gate = asyncio.Event()

    async def fail_the_first(invocation: Invocation) -> InvocationResult:
        if "18" in str(invocation.inputs["context"]):
            await gate.wait()
        return raised("ValueError", "empty")

    host.executor.scripts["Say"] = fail_the_first
    async with host.running():
        instance_id = await host.client.start("Chain")

        async def pauses() -> bool:
            return "retry" in (await host.explain(instance_id))[1]

        await eventually(pauses)
        text, _ = await host.explain(instance_id)
        gate.set()
    assert "Chunk 17 ('Say') has failed once: ValueError: empty. Its next attempt, if there is one, is due at" in text
    assert "'Say' (chunk 18)" in text


@pytest.mark.parametrize(
    "end", [{"isDone": True, "output": "late"}, {"isDone": True, "error": "late"}], ids=["returned", "failed"]
)
async def test_an_orchestrator_that_finishes_while_its_timer_is_set_is_explained_and_warned_of_once(
    host: Host, end: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    timer = {"actionType": 5, "fireAt": (host.clock.now() + timedelta(hours=1)).isoformat(), "isCanceled": False}
    host.executor.script("Chain", orchestrator_state(APPROVE, timer, **end))
    async with host.running():
        instance_ids = [await host.client.start("Chain") for _ in range(2)]

        async def is_explained() -> bool:
            return [(await host.explain(each))[1] for each in instance_ids] == [["finished", "timer"]] * 2

        await eventually(is_explained)
        # A suspension changes nothing about it.
        await host.client.suspend(instance_ids[0], None)
        await eventually(lambda: host.hub.storage.records[instance_ids[0]].runtime_status is RuntimeStatus.SUSPENDED)
        await host.client.resume(instance_ids[0], None)
        await eventually(lambda: host.hub.storage.records[instance_ids[0]].runtime_status is RuntimeStatus.RUNNING)
        await eventually(is_explained)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "The orchestrator 'Chain' has finished while one of its timers is set: the instance stays Running until the "
        "timer is due, here as in Azure. Call cancel() on a timer that is no longer needed."
    ]


async def test_a_record_that_changes_meanwhile_is_read_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    instance_id = await host.client.start("Chain")
    host.hub.storage.control.clear()
    record = host.hub.storage.records[instance_id]
    ended = replace(record, runtime_status=RuntimeStatus.COMPLETED, completed_at=record.created_at)
    answers = [record, ended]

    async def peek(_: str) -> InstanceRecord:
        host.hub.storage.records[instance_id] = answers.pop(0) if len(answers) > 1 else answers[0]
        return host.hub.storage.records[instance_id]

    monkeypatch.setattr(host.hub, "peek_instance", peek)
    assert (await host.explain(instance_id))[1] == ["completed"]


async def test_a_history_that_cannot_be_read_is_the_reason(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    instance_id = await host.client.start("Chain")

    async def damaged(_: str) -> tuple[HistoryEvent, ...]:
        raise UnreadableState("row 3 is missing")

    monkeypatch.setattr(host.hub, "read_history", damaged)
    assert "unreadable" in (await host.explain(instance_id))[1]


async def test_the_names_in_the_code_help_if_no_host_knows_the_awaited_event(tmp_path: Path) -> None:
    script = tmp_path / "__init__.py"
    script.write_text("def main(context):\n    yield context.wait_for_external_event('approve')\n")
    chain, *others = APP.functions
    app = replace(APP, functions=(replace(chain, script_file=script), *others))
    host = Host(app)
    host.executor.script("Chain", orchestrator_state(APPROVE))
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: instance_id in host.hub.storage.histories)
    host.client = OrchestrationClient(host.hub, None, host.clock, app=AppFunctions.of(app))
    text, kinds = await host.explain(instance_id)
    assert kinds == ["no-host", "external-event"]
    assert text.endswith("Its code asks for the event 'approve'.")


def test_the_names_of_events_are_read_from_calls_with_literal_names(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "NAME = 'computed'\n"
        "def main(context):\n"
        "    a = context.wait_for_external_event('approve')\n"
        "    b = context.wait_for_external_event(name='reject')\n"
        "    c = context.wait_for_external_event('approve')\n"
        "    d = context.wait_for_external_event(NAME), other(), context.call_activity('x')\n"
    )
    assert event_names(script) == ("approve", "reject")
    script.write_text("def (")
    assert event_names(script) == ()
    assert event_names(tmp_path / "nothing.py") == ()


def test_the_oldest_waits_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durablehost.engine.awaited._MOST_REMEMBERED", 2)
    awaited = AwaitedEvents()
    for number in range(3):
        awaited.note(str(number), "e", 5, ["go"], build.AT, retries={})
    assert awaited.of("0", "e", 5) is None
    assert awaited.of("2", "e", 5) == {"go": build.AT}
    assert awaited.of("2", "other", 5) is None
    awaited.carry_over("2", "e", 5, 7)
    awaited.carry_over("1", "e", 4, 7)
    assert awaited.of("2", "e", 7) == {"go": build.AT}
    assert awaited.of("1", "e", 7) is None
