"""Which execution of an instance processes a message, with the real SDK over real storage.

The usual monitor pattern leaves a cancelled timer in the queue, for an execution that is finished.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import FunctionApp
from durablehost.clock import SystemClock
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import InstanceRecord, TaskHub
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import OVERRIDABLE
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import APP, function

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
ID = "order-42"


class SlowExecutor(SdkExecutor):
    """Delays each activity by its input, in seconds, and each orchestrator by `episode_seconds`."""

    episode_seconds = 0.0

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name in self.activities:
            await asyncio.sleep(json.loads(str(invocation.inputs["context"])))
        else:
            await asyncio.sleep(self.episode_seconds)
        return await super().invoke(invocation)


def executor_of(orchestrate: Callable[[Context], Any]) -> SlowExecutor:
    return SlowExecutor({"run": orchestrate}, {"sleep": lambda seconds: seconds}, {})


@asynccontextmanager
async def engine_on(hub: TaskHub, executor: SdkExecutor) -> AsyncIterator[None]:
    kinds: Mapping[str, str] = {"run": "orchestrationTrigger", "sleep": "activityTrigger"}
    app = FunctionApp(root=APP.root, functions=tuple(function(name, kind) for name, kind in kinds.items()))
    engine = Engine(hub, executor, app, SystemClock(), EngineOptions(max_orchestrations=4, max_activities=4))
    stopping = asyncio.Event()
    running = asyncio.create_task(engine.run(stopping), name="engine")
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait([running], timeout=10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def start(hub: TaskHub, value: Any = None, **members: Any) -> None:
    text = json.dumps(json.dumps(value))
    await hub.start_instance(build.start(ID, name="run", input_text=text, **members), overridable=OVERRIDABLE)


async def send(hub: TaskHub, event: HistoryEvent) -> None:
    target = OrchestrationInstance(instance_id=ID, execution_id=None)
    await hub.send(TaskMessage(event=event, target=target))


async def say(hub: TaskHub, name: str) -> None:
    await send(hub, EventRaised(timestamp=build.now(), name=name, input=json.dumps(name)))


async def record_with(hub: TaskHub, status: RuntimeStatus) -> InstanceRecord:
    async def has_it() -> InstanceRecord | None:
        record = await hub.get_instance(ID)
        return record if record and record.runtime_status is status else None

    record = await eventually(has_it)
    assert record is not None
    return record


async def output_of(hub: TaskHub) -> Any:
    return json.loads((await record_with(hub, RuntimeStatus.COMPLETED)).output or "")


def parent(context: Context) -> Generator[Any, Any, Any]:
    """Starts an activity at once, and a child when `Go` comes."""
    if context.get_input() == "child":
        return "grown"
    work = context.call_activity("sleep", 0)
    go = context.wait_for_external_event("Go")
    if (yield context.task_any([work, go])) == work:
        yield go
    return (yield context.task_all([work, context.call_sub_orchestrator("run", "child")]))


def monitor(context: Context) -> Generator[Any, Any, Any]:
    """The first execution leaves a timer of 2 seconds behind, the second one works and waits for `Tick` meanwhile."""
    if context.get_input() == "first":
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=2))
        yield context.task_any([context.wait_for_external_event("Next"), timer])
        timer.cancel()
        context.continue_as_new("second")
        return None
    work = context.call_activity("sleep", 2.5)
    tick = yield context.wait_for_external_event("Tick")
    context.set_custom_status(tick)
    return [tick, (yield work)]


@pytest.fixture
def one_partition(options: StorageOptions) -> StorageOptions:
    return replace(options, partition_count=1)


class Monitor:
    """A monitor with slow episodes, so that its old timer comes due in one batch with the message of the test."""

    def __init__(self, hub: TaskHub, executor: SlowExecutor) -> None:
        self.hub = hub
        self.executor = executor

    async def reach_the_old_timer(self) -> None:
        await start(self.hub, "first")
        await say(self.hub, "Next")
        await eventually(lambda: self.executor.runs >= 3)
        self.executor.episode_seconds = 1.0
        # An event that is not awaited causes an episode, which is running while the timer and the message arrive.
        await asyncio.sleep(1.2)
        await say(self.hub, "Noise")
        await asyncio.sleep(0.3)


@pytest.fixture
async def met(one_partition: StorageOptions) -> AsyncIterator[Monitor]:
    executor = executor_of(monitor)
    async with open_task_hub(one_partition, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        async with engine_on(hub, executor):
            monitored = Monitor(hub, executor)
            await monitored.reach_the_old_timer()
            yield monitored


async def test_an_event_in_one_batch_with_an_old_timer_arrives(met: Monitor) -> None:
    await say(met.hub, "Tick")
    assert await output_of(met.hub) == ["Tick", 2.5]


async def test_a_termination_in_one_batch_with_an_old_timer_ends_the_instance(met: Monitor) -> None:
    await send(met.hub, ExecutionTerminated(timestamp=build.now(), input="enough"))
    await record_with(met.hub, RuntimeStatus.TERMINATED)
    await say(met.hub, "Tick")
    runs = met.executor.runs
    await asyncio.sleep(3)
    assert (await record_with(met.hub, RuntimeStatus.TERMINATED)).output == "enough"
    assert met.executor.runs == runs


async def test_a_suspension_in_one_batch_with_an_old_timer_suspends_the_instance(met: Monitor) -> None:
    await send(met.hub, ExecutionSuspended(timestamp=build.now(), reason="pause"))
    await record_with(met.hub, RuntimeStatus.SUSPENDED)
    await say(met.hub, "Tick")
    await send(met.hub, ExecutionResumed(timestamp=build.now(), reason="go on"))
    assert await output_of(met.hub) == ["Tick", 2.5]


def in_order(context: Context) -> Generator[Any, Any, Any]:
    first = yield context.wait_for_external_event("A")
    return [first, (yield context.call_activity("sleep", 0))]


async def test_messages_to_an_instance_with_a_scheduled_start_wait_for_the_start(
    one_partition: StorageOptions,
) -> None:
    async with open_task_hub(one_partition, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        async with engine_on(hub, executor_of(in_order)):
            await start(hub, scheduled_at=build.now() + timedelta(seconds=4))
            await say(hub, "A")
            await send(hub, ExecutionSuspended(timestamp=build.now(), reason="wait"))
            await record_with(hub, RuntimeStatus.SUSPENDED)
            await send(hub, ExecutionResumed(timestamp=build.now(), reason="go"))
            assert await output_of(hub) == ["A", 0]


async def test_an_instance_that_is_terminated_before_its_scheduled_start_never_starts(
    one_partition: StorageOptions,
) -> None:
    executor = executor_of(in_order)
    async with open_task_hub(one_partition, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        async with engine_on(hub, executor):
            await start(hub, scheduled_at=build.now() + timedelta(seconds=3))
            await send(hub, ExecutionTerminated(timestamp=build.now(), input="not today"))
            await record_with(hub, RuntimeStatus.TERMINATED)
            await asyncio.sleep(4)
            assert (await record_with(hub, RuntimeStatus.TERMINATED)).output == "not today"
    assert executor.runs == 0


async def test_an_event_that_no_execution_awaited_is_not_delivered_to_the_next_start_of_the_id(
    one_partition: StorageOptions,
) -> None:
    async with open_task_hub(one_partition, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        async with engine_on(hub, executor_of(in_order)):
            await start(hub)
            await say(hub, "B")
            await asyncio.sleep(0.5)
            await say(hub, "A")
            await record_with(hub, RuntimeStatus.COMPLETED)
        async with engine_on(hub, executor_of(waits_for_b)):
            await start(hub)
            await asyncio.sleep(1.5)
            await record_with(hub, RuntimeStatus.RUNNING)
            await say(hub, "B")
            await record_with(hub, RuntimeStatus.COMPLETED)


def waits_for_b(context: Context) -> Generator[Any, Any, Any]:
    return (yield context.wait_for_external_event("B"))


async def test_a_child_that_an_event_in_one_batch_with_the_start_leads_to_is_started_once(
    one_partition: StorageOptions,
) -> None:
    """Its episode is written ahead, after the messages of the first episode are sent."""
    async with open_task_hub(one_partition, SystemClock()) as hub:
        await hub.create()
        await start(hub)
        await say(hub, "Go")
        await hub.start()
        async with engine_on(hub, executor_of(parent)):
            assert await output_of(hub) == [0, "grown"]
        history = await hub.read_history(ID)
    kinds = Counter(event.type_name for event in history)
    assert (kinds["TaskScheduled"], kinds["SubOrchestrationInstanceCreated"], kinds["EventRaised"]) == (1, 1, 1)
    assert [each.event_id for each in history if each.event_id >= 0] == [0, 1, 2]


@pytest.mark.parametrize("writes", range(1, 8))
async def test_such_a_child_is_right_after_a_crash_at_any_write(one_partition: StorageOptions, writes: int) -> None:
    """The writes: a lease; a request, the stage, the start of the child, the history, the record; deletions."""
    options = replace(
        one_partition,
        control_queue_visibility_seconds=1,
        work_item_visibility_seconds=1,
        is_abandoned_owner=lambda owner: owner == "host-a",
    )
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        await second.create()
        await start(second)
        await say(second, "Go")
        line = Line(writes)
        async with open_failing_hub(replace(options, worker_id="host-a"), line) as first:
            await first.start()
            async with engine_on(first, executor_of(parent)):
                await asyncio.wait([asyncio.ensure_future(line.was_cut.wait())], timeout=30)
            line.cut()
        await second.start()
        async with engine_on(second, executor_of(parent)):
            assert await output_of(second) == [0, "grown"]
