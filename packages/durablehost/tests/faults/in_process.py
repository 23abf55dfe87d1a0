"""Hosts inside the test process: engine and task hub over real storage, user code through the real SDK.

Rule of this file: the expected result of a run is checked in one place, `assert_exact`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import FunctionApp
from durablehost.clock import Clock, SystemClock
from durablehost.core.history import ExecutionCompleted, HistoryEvent, TaskCompleted, TaskScheduled
from durablehost.core.status import RuntimeStatus
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import Executor, InstanceRecord, TaskHub
from packages.durablehost.tests.contract.account import OVERRIDABLE
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import function

APP = FunctionApp(
    root=Path(),
    functions=(function("FanOut", "orchestrationTrigger"), function("Chunk", "activityTrigger")),
)
ACTIVITIES_AT_ONCE = 8
# Of each request and each result; the input of the instance has five times as many.
LARGE_LETTERS = 1_000_000
# Longer than a run on a busy machine waits for messages of a host that is gone.
END_SECONDS = 240


def fan_out(context: df.DurableOrchestrationContext) -> Any:
    """Processes the chunks, each with a payload of the given length, and returns their results in order."""
    options = context.get_input()
    values = [{"chunk": chunk, "text": "x" * options["letters"]} for chunk in range(options["chunks"])]
    return (yield context.task_all([context.call_activity("Chunk", value) for value in values]))


class Chunks:
    """User code: `fan_out` and its activity, which counts its runs by chunk."""

    def __init__(self, on_chunk: Callable[[int], None] = lambda chunk: None) -> None:
        self.runs: Counter[int] = Counter()
        self.on_chunk = on_chunk
        self._sdk = SdkExecutor({"FanOut": fan_out}, {"Chunk": self._process}, {})

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        await asyncio.sleep(0)
        return await self._sdk.invoke(invocation)

    def _process(self, value: dict[str, Any]) -> dict[str, Any]:
        self.runs[value["chunk"]] += 1
        self.on_chunk(value["chunk"])
        return value

    @property
    def repeated(self) -> int:
        """The number of runs beyond one for each chunk."""
        return self.runs.total() - len(self.runs)


@asynccontextmanager
async def engine_on(
    hub: TaskHub, executor: Executor, clock: Clock | None = None, app: FunctionApp = APP, *, is_drained: bool = False
) -> AsyncIterator[None]:
    """Runs dispatchers that are cut off or drained at the end of the block; a cut can fall into an episode."""
    engine = Engine(
        hub,
        executor,
        app,
        clock or SystemClock(),
        EngineOptions(max_orchestrations=4, max_activities=ACTIVITIES_AT_ONCE, renew_seconds=0.5),
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(engine.run(stopping), name="engine")
    try:
        yield
        if is_drained:
            stopping.set()
            await asyncio.wait([running], timeout=END_SECONDS)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def start_run(hub: TaskHub, instance_id: str, chunks: int, *, letters: int = 0) -> None:
    options = json.dumps({"chunks": chunks, "letters": letters, "unread": "x" * 5 * letters})
    start = build.start(instance_id, name="FanOut", input_text=options)
    await hub.start_instance(start, overridable=OVERRIDABLE)


async def record_of(hub: TaskHub, instance_id: str) -> InstanceRecord | None:
    """Waits until the instance has ended, and returns its record."""
    record = await hub.get_instance(instance_id)
    return record if record and record.runtime_status.is_finished else None


async def assert_exact(hub: TaskHub, instance_id: str, chunks: int, *, letters: int = 0) -> None:
    """Asserts that the run completes with each chunk exactly once in its output and in its history."""
    record = await eventually(lambda: record_of(hub, instance_id), timeout_seconds=END_SECONDS, interval_seconds=0.1)
    assert record is not None
    assert record.runtime_status is RuntimeStatus.COMPLETED, record
    expected = [{"chunk": chunk, "text": "x" * letters} for chunk in range(chunks)]
    assert json.loads(record.output or "null") == expected
    assert_each_once(await hub.read_history(instance_id), chunks)


def assert_each_once(history: tuple[HistoryEvent, ...], chunks: int) -> None:
    scheduled = [event.event_id for event in history if isinstance(event, TaskScheduled)]
    completed = [event.task_scheduled_id for event in history if isinstance(event, TaskCompleted)]
    assert (scheduled, sorted(completed)) == (list(range(chunks)), list(range(chunks)))
    assert sum(isinstance(event, ExecutionCompleted) for event in history) == 1
