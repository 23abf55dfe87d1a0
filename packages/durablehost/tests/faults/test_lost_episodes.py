"""A host dies after an episode has sent its requests, and the next one repeats the episode with more results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("anyio")

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import FunctionApp
from durablehost.clock import SystemClock
from durablehost.core.messages import answers, completed_task_id
from durablehost.core.state import fold
from durablehost.emulator.azurite import Azurite
from durablehost.engine.activities import Activities
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import OVERRIDABLE
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.crash import FIRST, SECOND, AtCall, beside, options_on
from packages.durablehost.tests.faults.in_process import END_SECONDS, engine_on, record_of
from packages.durablehost.tests.faults.proxy import no_fault, open_proxy
from packages.durablehost.tests.faults.storage_call import Operation
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.core.examples import to_me
from packages.durablehost.tests.unit.engine.scripted import function

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
ACTIVITIES = {"work": function("work", "activityTrigger"), "flaky": function("flaky", "activityTrigger")}
APP = FunctionApp(root=Path(), functions=(function("run", "orchestrationTrigger"), *ACTIVITIES.values()))
RETRY_MILLISECONDS = 5000


def run(context: Context) -> Generator[Any, Any, Any]:
    """Two lanes: `first` and then `second`; `third`, which fails once."""
    first = context.call_activity("work", "first")
    third = context.call_activity_with_retry("flaky", df.RetryOptions(RETRY_MILLISECONDS, 2), "third")
    winner = yield context.task_any([first, third])
    assert winner == first
    second = context.call_activity("work", "second")
    return [first.result, *(yield context.task_all([second, third]))]


class Lanes:
    """User code: `flaky` neither fails nor ends until `may_fail` is set, then fails once."""

    def __init__(self) -> None:
        self.may_fail = asyncio.Event()
        self.called: list[str] = []
        self._sdk = SdkExecutor({"run": run}, {"work": self._note, "flaky": self._fail_once}, {})

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name == "flaky":
            await self.may_fail.wait()
        return await self._sdk.invoke(invocation)

    def _note(self, value: str) -> str:
        self.called.append(value)
        return value

    def _fail_once(self, value: str) -> str:
        if value not in self.called:
            raise ValueError(self._note(value))
        return value


async def test_a_result_of_a_lost_episode_does_not_complete_the_timer_that_has_its_task_id_now(
    azurite: Azurite, hub_name: str
) -> None:
    """The lost episode gives task id 2 to `second`, the repeated one to the delay before `third` is tried again."""
    executor = Lanes()
    async with open_proxy(azurite.ports) as proxy:
        # The results are quick: their requests stay stored until the history has them.
        options = replace(options_on(proxy, hub_name, FIRST), longest_repeatable_seconds=END_SECONDS)
        proxy.rule = AtCall(operation=Operation.WRITE_HISTORY, number=2, is_served=False)
        async with open_task_hub(beside(azurite, options), SystemClock()) as client:
            await client.create()
            start = build.start("run", name="run", input_text=json.dumps("null"))
            await client.start_instance(start, overridable=OVERRIDABLE)
            async with open_task_hub(options, SystemClock()) as first:
                await first.start()
                async with engine_on(first, executor, app=APP):
                    await eventually(lambda: proxy.is_down, timeout_seconds=END_SECONDS, interval_seconds=0.05)
        proxy.rule, proxy.is_down = no_fault, False
        executor.may_fail.set()
        executor.called.clear()
        async with open_task_hub(replace(options, worker_id=SECOND), SystemClock()) as hub:
            await hub.start()
            work = Activities(hub, executor, ACTIVITIES, SystemClock())
            while not {"first", "second", "third"} <= {*executor.called}:
                await asyncio.wait_for(work.process(await work.fetch()), END_SECONDS)
            async with engine_on(hub, executor, app=APP):
                record = await eventually(
                    lambda: record_of(hub, "run"), timeout_seconds=END_SECONDS, interval_seconds=0.1
                )
            history = await hub.read_history("run")
    assert record is not None
    assert record.output == json.dumps(["first", "second", "third"], separators=(",", ":"))
    scheduled = fold(history).scheduled
    results = {task_id: event for event in history if (task_id := completed_task_id(event)) is not None}
    assert results.keys() == scheduled.keys()
    assert all(answers(to_me(event), scheduled[task_id]) for task_id, event in results.items())
