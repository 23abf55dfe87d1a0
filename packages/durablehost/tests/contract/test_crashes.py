"""A host dies between any two writes, and another one finishes its work: the engine over real storage.

The first host's connection is cut after the n-th write: storage sees nothing else of a crash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.clock import SystemClock
from durablehost.core.history import ExecutionCompleted, HistoryEvent, TaskCompleted, TaskScheduled
from durablehost.core.status import RuntimeStatus
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import InstanceRecord, TaskHub
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import OVERRIDABLE, START
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.unit.engine.scripted import APP, call, orchestrator_state, returned

# Writes: one for a lease, four for an episode, two for an activity, three for an episode.
WRITES = 10


class ChainOfOne:
    """An orchestrator that calls one activity, and that activity."""

    def __init__(self) -> None:
        self.activity_calls = 0

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name == "Say":
            self.activity_calls += 1
            return returned("hello")
        payload = json.loads(str(invocation.inputs["context"]))
        is_done = any(event["EventType"] == TaskCompleted.type_number for event in payload["history"])
        return orchestrator_state(call("Say"), isDone=is_done, **({"output": "hello"} if is_done else {}))


@asynccontextmanager
async def engine_on(hub: TaskHub, executor: ChainOfOne) -> AsyncIterator[None]:
    engine = Engine(hub, executor, APP, SystemClock(), EngineOptions(max_orchestrations=4, max_activities=4))
    running = asyncio.create_task(engine.run(asyncio.Event()), name="engine")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def short_lived(options: StorageOptions) -> StorageOptions:
    """Options: messages of a dead host are redelivered within a second, and its partitions are free at once."""
    return replace(
        options,
        partition_count=1,
        control_queue_visibility_seconds=1,
        work_item_visibility_seconds=1,
        is_abandoned_owner=lambda owner: owner == "host-a",
    )


async def completed(hub: TaskHub) -> InstanceRecord | None:
    record = await hub.get_instance("order-42")
    return record if record and record.runtime_status is RuntimeStatus.COMPLETED else None


@pytest.mark.parametrize("writes", range(WRITES))
async def test_another_host_finishes_after_a_crash_at_any_write(short_lived: StorageOptions, writes: int) -> None:
    async with open_task_hub(replace(short_lived, worker_id="host-b"), SystemClock()) as second:
        await second.create()
        start = build.start("order-42", execution_id=START.target.execution_id, name="Chain")
        await second.start_instance(start, overridable=OVERRIDABLE)

        line = Line()
        async with open_failing_hub(short_lived, line) as first:
            line.writes_left = writes
            await first.start()
            async with engine_on(first, ChainOfOne()):
                await asyncio.wait([asyncio.ensure_future(line.was_cut.wait())], timeout=3)
            line.cut()

        await second.start()
        async with engine_on(second, ChainOfOne()):
            record = await eventually(lambda: completed(second))
        assert record is not None
        assert record.output == '"hello"'
        assert_consistent(await second.read_history("order-42"))


def assert_consistent(history: tuple[HistoryEvent, ...]) -> None:
    assert [event.event_id for event in history if isinstance(event, TaskScheduled)] == [0]
    assert any(isinstance(event, TaskCompleted) for event in history)
    assert sum(isinstance(event, ExecutionCompleted) for event in history) == 1


async def test_work_goes_on_after_an_outage_of_storage(short_lived: StorageOptions) -> None:
    line = Line()
    async with open_failing_hub(short_lived, line) as hub:
        await hub.create()
        await hub.start()
        line.cut()
        with pytest.raises(StorageUnavailable):
            await hub.start_instance(START, overridable=OVERRIDABLE)
        async with engine_on(hub, ChainOfOne()):
            line.mend()
            await hub.start_instance(build.start("order-42", name="Chain"), overridable=OVERRIDABLE)
            assert await eventually(lambda: completed(hub))
