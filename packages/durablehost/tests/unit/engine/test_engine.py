"""The engine over the in-memory hub: it processes work, stops cleanly, and retries what failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import TriggerKind
from durablehost.core.history import EventRaised, ExecutionStarted, OrchestrationInstance, TaskCompleted, TaskFailed
from durablehost.core.lineage import continued_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine import dispatcher
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import ActivityWorkItem, InstanceRecord
from durablehost.errors import FunctionTimeout, PayloadTooLarge, StorageUnavailable, WorkerCrashed
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryStorage, MemoryTaskHub
from packages.durablehost.tests.unit.core.examples import AT
from packages.durablehost.tests.unit.engine.scripted import (
    APP,
    ScriptedExecutor,
    call,
    orchestrator_state,
    raised,
    returned,
)

SAID = orchestrator_state(call("Say"), isDone=True, output="said")


class Host:
    """One host: engine and client over a storage that may outlive it."""

    def __init__(self, storage: MemoryStorage, executor: ScriptedExecutor, clock: ManualClock) -> None:
        self.clock = clock
        self.executor = executor
        self.hub = MemoryTaskHub(clock, storage)
        self.client = OrchestrationClient(self.hub, APP.of_kind(TriggerKind.ORCHESTRATION), clock)
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self, *, max_orchestrations: int = 10, max_activities: int = 10) -> AsyncIterator[Host]:
        engine = Engine(
            self.hub,
            self.executor,
            APP,
            self.clock,
            EngineOptions(max_orchestrations=max_orchestrations, max_activities=max_activities),
        )
        await self.hub.start()
        loop = asyncio.create_task(engine.run(self.stopping), name="engine")
        try:
            yield self
        finally:
            self.stopping.set()
            await asyncio.wait_for(loop, timeout=WAIT_SECONDS)
            await self.hub.stop()

    async def end_of(self, instance_id: str) -> InstanceRecord:
        async def finished() -> InstanceRecord | None:
            record = await self.client.get(instance_id)
            return record if record and record.runtime_status.is_finished else None

        record = await eventually(finished)
        assert record is not None
        return record


@pytest.fixture
def executor() -> ScriptedExecutor:
    executor = ScriptedExecutor()
    executor.script("Chain", orchestrator_state(call("Say")), SAID)
    executor.script("Say", returned("hello"))
    return executor


@pytest.fixture
def host(executor: ScriptedExecutor) -> Host:
    return Host(MemoryStorage(), executor, ManualClock())


async def test_an_orchestration_runs_to_its_end(host: Host) -> None:
    async with host.running():
        record = await host.end_of(await host.client.start("Chain", input_text='"in"'))
    assert (record.runtime_status, record.output, record.input) == (RuntimeStatus.COMPLETED, '"said"', '"in"')
    assert record.name == "Chain"


async def test_a_version_that_stays_pending_in_azure_is_logged_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.running():
        for version in ("2.0", "2.0", None):
            await host.end_of(await host.client.start("Chain", version=version))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "An instance of the orchestrator 'Chain' has the version '2.0', but defaultVersion in host.json is not set: in "
        "Azure it stays Pending. Set defaultVersion to that version or a later one, or versionMatchStrategy to "
        '"None".'
    ]


async def test_function_names_are_found_case_insensitively(host: Host) -> None:
    async with host.running():
        record = await host.end_of(await host.client.start("chain"))
    assert record.name == "Chain"


async def test_a_result_is_stored_as_the_activity_returned_it(host: Host) -> None:
    async with host.running():
        instance_id = await host.client.start("Chain")
        await host.end_of(instance_id)
    history = await host.client.history(instance_id)
    assert [event.result for event in history if isinstance(event, TaskCompleted)] == ['"hello"']


async def test_an_unknown_activity_fails_its_task_by_name(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", orchestrator_state(call("Nobody")))
    async with host.running():
        instance_id = await host.client.start("Chain")
        failures = await eventually(lambda: _failures(host, instance_id))
        (failed,) = [e for e in await host.client.history(instance_id) if isinstance(e, TaskFailed)]
    problem = "Activity function 'Nobody' does not exist. The following are the known activity functions: 'Say'."
    assert failures == [f"Activity function 'Nobody' failed: {problem}"]
    assert json.loads(failed.details or "")["Message"] == problem


async def _failures(host: Host, instance_id: str) -> list[str]:
    return [event.reason for event in await host.client.history(instance_id) if event.type_name == "TaskFailed"]  # type: ignore[attr-defined]


async def test_an_exception_of_an_activity_is_reported_as_upstream_does(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Say", raised("ValueError", "no voice"))
    async with host.running():
        instance_id = await host.client.start("Chain")
        failures = await eventually(lambda: _failures(host, instance_id))
        (failed,) = [e for e in await host.client.history(instance_id) if isinstance(e, TaskFailed)]
    assert failures == ["Activity function 'Say' failed:  ValueError: no voice"]
    exception = json.loads(failed.details or "")
    assert (exception["ClassName"], exception["Message"]) == ("System.Exception", " ValueError: no voice")
    assert exception["InnerException"]["Message"] == (
        "Result: Failure\nException: ValueError: no voice\nStack: the stack"
    )


async def test_a_result_that_is_too_large_to_store_fails_its_task_by_name(
    host: Host, executor: ScriptedExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = host.hub.complete_activity

    async def refuse_results(item: ActivityWorkItem, result: TaskMessage) -> None:
        if isinstance(result.event, TaskCompleted):
            raise PayloadTooLarge("The payload is larger than 1 bytes.")
        await complete(item, result)

    monkeypatch.setattr(host.hub, "complete_activity", refuse_results)
    async with host.running():
        instance_id = await host.client.start("Chain")
        failures = await eventually(lambda: _failures(host, instance_id))
    assert failures == ["Activity function 'Say' failed: The payload is larger than 1 bytes."]


async def test_an_activity_that_ran_too_long_fails(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Say", FunctionTimeout("Timeout value of 00:05:00 was exceeded by function: Functions.Say"))
    async with host.running():
        instance_id = await host.client.start("Chain")
        failures = await eventually(lambda: _failures(host, instance_id))
    assert failures == [
        "Activity function 'Say' failed: Timeout value of 00:05:00 was exceeded by function: Functions.Say"
    ]


async def test_an_activity_whose_process_died_runs_again(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Say", WorkerCrashed("gone"), returned("hello"))
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: sum(c.function_name == "Say" for c in executor.calls) == 1 and not executor.running)
        host.clock.advance(10)
        record = await host.end_of(instance_id)
    assert record.output == '"said"'


async def test_an_activity_that_crashes_its_process_every_time_fails_in_the_end(
    host: Host, executor: ScriptedExecutor
) -> None:
    executor.script("Say", WorkerCrashed("python exited with code 3"))

    async def failures_when_time_passes() -> list[str]:
        host.clock.advance(30)
        return await _failures(host, instance_id)

    async with host.running():
        instance_id = await host.client.start("Chain")
        failures = await eventually(failures_when_time_passes)
    assert failures == ["Activity function 'Say' failed: python exited with code 3"]


async def end_when_time_passes(host: Host, instance_id: str) -> InstanceRecord:
    async def ended() -> InstanceRecord | None:
        host.clock.advance(30)
        record = await host.client.get(instance_id)
        return record if record and record.runtime_status.is_finished else None

    record = await eventually(ended)
    assert record is not None
    return record


async def test_an_orchestrator_that_crashes_its_process_every_time_fails_its_instance(
    host: Host, executor: ScriptedExecutor
) -> None:
    executor.script("Chain", WorkerCrashed("python exited with code -11, killed by SIGSEGV."))
    async with host.running():
        record = await end_when_time_passes(host, await host.client.start("Chain"))
        assert await host.client.purge(record.instance_id) == 1
    assert record.runtime_status is RuntimeStatus.FAILED
    assert record.output == ("Orchestrator function 'Chain' failed: python exited with code -11, killed by SIGSEGV.")
    assert [call.crashes for call in executor.calls] == [0, 2, 4, 6, 8]


async def test_an_orchestrator_that_crashes_its_process_at_an_event_fails_its_instance(
    host: Host, executor: ScriptedExecutor
) -> None:
    """The runs over the history so far succeed every time; they must not reset the count of crashes."""
    waiting = orchestrator_state({"actionType": 6, "externalEventName": "Go"})

    async def crash_at_the_event(invocation: Invocation) -> InvocationResult:
        if '"Go"' in str(invocation.inputs["context"]):
            raise WorkerCrashed("gone")
        return waiting

    executor.scripts["Chain"] = crash_at_the_event
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: bool(executor.calls))
        await host.client.raise_event(instance_id, "Go", "1")
        record = await end_when_time_passes(host, instance_id)
    assert (record.runtime_status, record.output) == (
        RuntimeStatus.FAILED,
        "Orchestrator function 'Chain' failed: gone",
    )


async def test_an_orchestrator_whose_process_died_once_continues(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", WorkerCrashed("gone"), orchestrator_state(call("Say")), SAID)
    async with host.running():
        record = await end_when_time_passes(host, await host.client.start("Chain"))
    assert record.output == '"said"'
    assert [call.crashes for call in executor.calls if call.function_name == "Chain"] == [0, 2, 0]


async def test_orchestrators_that_block_do_not_hold_up_others(host: Host, executor: ScriptedExecutor) -> None:
    gate = asyncio.Event()

    async def block(_: Invocation) -> InvocationResult:
        await gate.wait()
        return orchestrator_state(isDone=True)

    executor.scripts["Other"] = block
    async with host.running():
        # More than run at once.
        blocked = [await host.client.start("Other") for _ in range(15)]
        record = await host.end_of(await host.client.start("Chain"))
        assert record.output == '"said"'
        gate.set()
        for instance_id in blocked:
            await host.end_of(instance_id)


async def test_no_more_orchestrators_run_at_once_than_the_limit_allows(
    host: Host, executor: ScriptedExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those that take longer do not count.
    monkeypatch.setattr(dispatcher, "LONG_EPISODE_SECONDS", 3600.0)
    gate = asyncio.Event()

    async def wait_for_gate(_: Invocation) -> InvocationResult:
        await gate.wait()
        return orchestrator_state(isDone=True)

    executor.scripts["Other"] = wait_for_gate
    async with host.running(max_orchestrations=3):
        started = [await host.client.start("Other") for _ in range(8)]
        await eventually(lambda: executor.running == 3)
        gate.set()
        for instance_id in started:
            await host.end_of(instance_id)
    assert executor.most_at_once == 3


async def test_activities_that_wait_for_their_trial_do_not_hold_up_others(
    host: Host, executor: ScriptedExecutor
) -> None:
    gate = asyncio.Event()

    async def wait_for_trial(invocation: Invocation) -> InvocationResult:
        if not invocation.crashes:
            raise WorkerCrashed("beside others", suspects=3)
        await gate.wait()
        return returned("hello")

    executor.scripts["Say"] = wait_for_trial
    executor.script(
        "Chain", orchestrator_state(*[call("Say")] * 8), orchestrator_state(*[call("Say")] * 8, isDone=True)
    )
    async with host.running(max_activities=3):
        instance_id = await host.client.start("Chain")
        await eventually(lambda: executor.running == 8)
        gate.set()
        await host.end_of(instance_id)


async def test_an_orchestrator_that_ran_too_long_fails_its_instance(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", FunctionTimeout("Timeout value of 00:05:00 was exceeded by function: Functions.Chain"))
    async with host.running():
        record = await host.end_of(await host.client.start("Chain"))
    assert (record.runtime_status, record.output) == (
        RuntimeStatus.FAILED,
        "Orchestrator function 'Chain' failed: Timeout value of 00:05:00 was exceeded by function: Functions.Chain",
    )


async def test_an_error_of_the_orchestrator_fails_the_instance(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", raised("TypeError", "bad payload"))
    async with host.running():
        record = await host.end_of(await host.client.start("Chain"))
    assert record.runtime_status is RuntimeStatus.FAILED
    assert record.output == (
        "Orchestrator function 'Chain' failed: One or more errors occurred. (Result: Failure\n"
        "Exception: TypeError: bad payload\nStack: the stack)"
    )


async def test_code_that_was_changed_under_a_running_instance_fails_it(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", orchestrator_state(call("Say")), orchestrator_state(call("Sing")))
    async with host.running():
        record = await host.end_of(await host.client.start("Chain"))
    assert record.runtime_status is RuntimeStatus.FAILED
    assert record.output == (
        "Orchestrator function 'Chain' failed: Non-Deterministic workflow detected: the history has TaskScheduled of "
        "'Say' as task 0, but the orchestrator now asks for the activity 'Sing' there. Was its code changed while the "
        "instance was running?"
    )


async def test_an_unsupported_feature_fails_the_instance_by_name(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", orchestrator_state({"actionType": 10}))
    async with host.running():
        record = await host.end_of(await host.client.start("Chain"))
    assert "uses scheduled signals to entities, which durablehost does not support yet" in (record.output or "")


async def test_a_termination_ends_a_running_instance(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", orchestrator_state(call("Say"), {"actionType": 6, "externalEventName": "Go"}))
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: len(executor.calls) >= 2)
        await host.client.terminate(instance_id, "enough")
        record = await host.end_of(instance_id)
    assert (record.runtime_status, record.output) == (RuntimeStatus.TERMINATED, "enough")


async def test_no_more_activities_run_at_once_than_the_limit_allows(host: Host, executor: ScriptedExecutor) -> None:
    gate = asyncio.Event()

    async def wait_for_gate(_: Invocation) -> InvocationResult:
        await gate.wait()
        return returned("hello")

    executor.scripts["Say"] = wait_for_gate
    executor.script(
        "Chain", orchestrator_state(*[call("Say")] * 8), orchestrator_state(*[call("Say")] * 8, isDone=True)
    )
    async with host.running(max_activities=3):
        instance_id = await host.client.start("Chain")
        await eventually(lambda: executor.running == 3)
        gate.set()
        await host.end_of(instance_id)
    assert executor.most_at_once == 3


async def test_a_stop_waits_for_running_activities_and_stores_their_results(
    host: Host, executor: ScriptedExecutor
) -> None:
    gate = asyncio.Event()

    async def wait_for_gate(_: Invocation) -> InvocationResult:
        await gate.wait()
        return returned("hello")

    executor.scripts["Say"] = wait_for_gate
    async with host.running():
        await host.client.start("Chain")
        await eventually(lambda: "Say" in [each.function_name for each in executor.calls])
        host.stopping.set()
        gate.set()
    assert not host.hub.storage.work_items
    assert [type(stored.message.event) for stored in host.hub.storage.control] == [TaskCompleted]


async def test_a_second_host_finishes_what_the_first_left(host: Host, executor: ScriptedExecutor) -> None:
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: len(executor.calls) >= 1)
    second = Host(host.hub.storage, executor, host.clock)
    async with second.running():
        host.clock.advance(600)
        record = await second.end_of(instance_id)
    assert record.output == '"said"'


async def test_a_storage_that_fails_for_a_while_delays_but_loses_nothing(host: Host) -> None:
    failures = iter(["history", "send", "record", "delete"])
    fails_at: list[str] = [next(failures)]

    def fail_once(operation: str) -> None:
        if fails_at and fails_at[0] == operation:
            fails_at[:] = [nxt] if (nxt := next(failures, "")) else []
            raise StorageUnavailable(f"no answer to {operation}")

    async with host.running():
        instance_id = await host.client.start("Chain")
        host.hub.storage.before_write = fail_once

        async def record_when_time_passes() -> bool:
            host.clock.advance(30)
            record = await host.client.get(instance_id)
            return record is not None and record.runtime_status.is_finished

        await eventually(record_when_time_passes)
    assert (await host.end_of(instance_id)).output == '"said"'


async def test_a_record_that_lags_behind_its_history_is_repaired_when_a_message_is_redelivered(host: Host) -> None:
    async with host.running():
        instance_id = await host.client.start("Chain")
        record = await host.end_of(instance_id)
    host.hub.storage.records[instance_id] = replace(record, runtime_status=RuntimeStatus.RUNNING, output=None)
    target = OrchestrationInstance(instance_id=instance_id, execution_id=record.execution_id)
    again = TaskMessage(event=TaskCompleted(timestamp=AT, task_scheduled_id=0), target=target, sender=target)
    second = Host(host.hub.storage, host.executor, host.clock)
    async with second.running():
        await second.hub.send(again)
        repaired = await second.end_of(instance_id)
    assert (repaired.runtime_status, repaired.output) == (RuntimeStatus.COMPLETED, '"said"')


async def test_a_termination_of_an_instance_that_never_started_ends_its_record(host: Host) -> None:
    instance_id = await host.client.start("Chain")
    host.hub.storage.control.clear()
    await host.client.terminate(instance_id, "not today")
    async with host.running():
        record = await host.end_of(instance_id)
    assert (record.runtime_status, record.output) == (RuntimeStatus.TERMINATED, "not today")


async def test_an_instance_whose_history_is_gone_says_so_and_can_be_terminated(
    host: Host, executor: ScriptedExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    executor.script("Chain", orchestrator_state({"actionType": 6, "externalEventName": "Go"}))

    async def is_running() -> bool:
        record = await host.client.get(instance_id)
        return record is not None and record.runtime_status is RuntimeStatus.RUNNING

    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(is_running)
        await eventually(lambda: not host.hub.storage.control)
        del host.hub.storage.histories[instance_id]
        await host.client.raise_event(instance_id, "Go", "1")
        await eventually(lambda: "but its history is gone: a message to it is dropped" in caplog.text)
        await host.client.terminate(instance_id, "enough")
        record = await host.end_of(instance_id)
    assert (record.runtime_status, record.output) == (RuntimeStatus.TERMINATED, "enough")


async def test_a_record_of_an_execution_that_has_continued_as_new_is_repaired(host: Host) -> None:
    async with host.running():
        instance_id = await host.client.start("Chain")
        record = await host.end_of(instance_id)
    storage = host.hub.storage
    before = record.execution_id
    assert before is not None
    stored = storage.histories[instance_id]
    goes_on = OrchestrationInstance(instance_id=instance_id, execution_id=continued_execution_id(before))
    events = tuple(
        replace(event, orchestration_instance=goes_on) if isinstance(event, ExecutionStarted) else event
        for event in stored.events
    )
    storage.histories[instance_id] = replace(stored, execution_id=goes_on.execution_id or "", events=events)
    storage.records[instance_id] = replace(record, runtime_status=RuntimeStatus.RUNNING, output=None)
    target = OrchestrationInstance(instance_id=instance_id, execution_id=before)
    again = TaskMessage(event=TaskCompleted(timestamp=AT, task_scheduled_id=0), target=target, sender=target)
    second = Host(storage, host.executor, host.clock)
    async with second.running():
        await second.hub.send(again)
        repaired = await second.end_of(instance_id)
    assert (repaired.execution_id, repaired.output) == (goes_on.execution_id, '"said"')


async def test_a_custom_status_set_before_continuing_as_new_is_kept(host: Host, executor: ScriptedExecutor) -> None:
    goes_on = orchestrator_state({"actionType": 4, "input": "1"}, isDone=True, customStatus="half way")
    executor.script("Chain", goes_on, orchestrator_state(call("Say")), orchestrator_state(call("Say"), isDone=True))
    statuses: list[str | None] = []
    host.hub.storage.before_write = lambda operation: statuses.extend(
        record.custom_status for record in host.hub.storage.records.values()
    )
    async with host.running():
        record = await host.end_of(await host.client.start("Chain"))
    assert '"half way"' in statuses
    assert record.custom_status == "null"


async def test_a_record_that_was_never_written_is_repaired_when_the_start_of_a_child_is_redelivered(host: Host) -> None:
    start = build.child_start("child", "parent", "p" * 32, 0, name="Chain")
    async with host.running():
        await host.hub.send(start)
        await host.end_of("child")
    host.hub.storage.records.clear()
    second = Host(host.hub.storage, host.executor, host.clock)
    async with second.running():
        await second.hub.send(start)
        repaired = await second.end_of("child")
    assert (repaired.name, repaired.runtime_status, repaired.output) == ("Chain", RuntimeStatus.COMPLETED, '"said"')


async def test_a_record_is_repaired_beside_an_event_that_has_to_wait(host: Host, executor: ScriptedExecutor) -> None:
    executor.script("Chain", orchestrator_state(call("Say"), {"actionType": 6, "externalEventName": "Go"}))
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: len(host.hub.storage.records) == 1 and not host.hub.storage.control)
        record = await host.client.get(instance_id)
    assert record is not None
    storage = host.hub.storage
    storage.records[instance_id] = replace(record, runtime_status=RuntimeStatus.PENDING)
    second = Host(storage, executor, host.clock)
    anyone = OrchestrationInstance(instance_id=instance_id, execution_id=None)
    await second.hub.send(TaskMessage(event=EventRaised(timestamp=AT, name="Early"), target=anyone))
    again = TaskCompleted(timestamp=AT, task_scheduled_id=0)
    await second.hub.send(TaskMessage(event=again, target=replace(anyone, execution_id=record.execution_id)))

    async def is_running() -> bool:
        now = await second.client.get(instance_id)
        return now is not None and now.runtime_status is RuntimeStatus.RUNNING

    async with second.running():
        await eventually(is_running)
    assert [type(stored.message.event) for stored in storage.control] == [EventRaised]


async def test_a_record_that_missed_a_first_episode_which_continued_as_new_and_ended_is_repaired(
    host: Host, executor: ScriptedExecutor
) -> None:
    goes_on = orchestrator_state({"actionType": 4, "input": "1"}, isDone=True)
    executor.script("Chain", goes_on, orchestrator_state(isDone=True, output="over"))
    storage = host.hub.storage

    def fail_at_the_record(operation: str) -> None:
        if operation == "record" and storage.histories:
            raise StorageUnavailable("the host dies here")

    storage.before_write = fail_at_the_record
    async with host.running():
        instance_id = await host.client.start("Chain")
        await eventually(lambda: storage.histories)
    storage.before_write = lambda operation: None
    second = Host(storage, executor, host.clock)
    async with second.running():
        host.clock.advance(600)
        record = await second.end_of(instance_id)
    assert (record.runtime_status, record.output) == (RuntimeStatus.COMPLETED, '"over"')
