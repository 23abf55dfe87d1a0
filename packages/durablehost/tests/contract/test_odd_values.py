"""Any value in any argument of any call, on real storage: every instance ends, and the log has no traceback.

tests/replay runs more of the same programs without storage.
"""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Sequence

import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import HealthCheck, Phase, given, settings

from durablehost.app.model import FunctionApp
from durablehost.clock import SystemClock
from durablehost.core.status import RuntimeStatus
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import TaskHub
from packages.durablehost.tests.contract.account import OVERRIDABLE, Account
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.odd_programs import PROGRAMS, Step, child, counter, echo, interpreter
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import APP, function

COUNT = 40
ENDED = {RuntimeStatus.COMPLETED, RuntimeStatus.FAILED}


def drawn_programs(count: int) -> list[list[Step]]:
    """Generates the same programs in every run."""
    programs: list[list[Step]] = []

    @settings(max_examples=count, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(PROGRAMS)
    def draw(program: list[Step]) -> None:
        programs.append(program)

    draw()
    return programs


def engine_on(hub: TaskHub, programs: Sequence[Sequence[Step]]) -> Engine:
    executor = SdkExecutor({"run": interpreter(programs), "child": child}, {"echo": echo}, {"counter": counter})
    functions = (
        function("run", "orchestrationTrigger"),
        function("child", "orchestrationTrigger"),
        function("echo", "activityTrigger"),
        function("counter", "entityTrigger"),
    )
    app = FunctionApp(root=APP.root, functions=functions)
    return Engine(hub, executor, app, SystemClock(), EngineOptions(max_orchestrations=10, max_activities=10))


async def test_an_instance_ends_for_any_arguments_of_its_calls(hub: TaskHub, caplog: pytest.LogCaptureFixture) -> None:
    programs = drawn_programs(COUNT)
    caplog.set_level(logging.WARNING)
    stopping = asyncio.Event()
    running = asyncio.create_task(engine_on(hub, programs).run(stopping), name="engine")
    for number in range(len(programs)):
        text = json.dumps(json.dumps(number))
        start = build.start(f"odd-{number}", name="run", input_text=text)
        await hub.start_instance(start, overridable=OVERRIDABLE)
    open_numbers = set(range(len(programs)))

    async def all_have_ended() -> bool:
        for number in sorted(open_numbers):
            record = await hub.get_instance(f"odd-{number}")
            if record is not None and record.runtime_status in ENDED:
                open_numbers.discard(number)
        assert not open_numbers, [programs[number] for number in open_numbers]
        return True

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own, about late completions
        try:
            await eventually(all_have_ended, interval_seconds=0.5)
        finally:
            stopping.set()
            await asyncio.wait_for(running, WAIT_SECONDS)
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


ODD_IDS = ["..", ".", "a/../b", "a//b", "a\\b", "a\0b", "\x9f", "?#%2e", "\ufffe", "\uffff", "'", "<>&", " ", "x" * 512,
           "\0" * 256, "\U0001f9e8" * 256]  # fmt: skip


async def test_an_instance_of_any_id_keeps_large_payloads_and_leaves_none_behind(
    hub: TaskHub, account: Account
) -> None:
    large = json.dumps("é" * 40_000)

    async def live(instance_id: str) -> None:
        await hub.start_instance(build.start(instance_id, input_text=large), overridable=OVERRIDABLE)

    await asyncio.gather(*map(live, ODD_IDS))
    for _ in ODD_IDS:
        item = await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
        await hub.complete_orchestration(item, build.checkpoint(item, output=large))
    for instance_id in ODD_IDS:
        record = await hub.get_instance(instance_id)
        assert record is not None, instance_id
        assert (record.instance_id, record.input, record.output) == (instance_id, large, large)
        assert await hub.purge_instance(instance_id)
    assert account.blob_names() == []
