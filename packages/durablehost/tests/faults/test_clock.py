"""The wall clock of the machine steps back and forward by an hour while runs are under way."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("anyio")

from durablehost.emulator.azurite import Azurite
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.faults.clocks import SteppedClock
from packages.durablehost.tests.faults.crash import FIRST, SECOND, options_on
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, start_run
from packages.durablehost.tests.faults.proxy import open_proxy

CHUNKS = 30
HOUR = 3600.0


@pytest.mark.parametrize(
    "steps", [(HOUR,), (-HOUR,), (HOUR, -HOUR, 0.0, -HOUR, HOUR)], ids=["on", "back", "to and fro"]
)
async def test_a_clock_that_steps_by_an_hour_changes_no_run(
    azurite: Azurite, hub_name: str, steps: tuple[float, ...]
) -> None:
    clock = SteppedClock()

    def step(chunk: int) -> None:
        clock.ahead_seconds = steps[chunk * len(steps) // CHUNKS]

    async with open_proxy(azurite.ports) as proxy:
        options, executor = options_on(proxy, hub_name, FIRST), Chunks(step)
        async with open_task_hub(options, clock) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, executor, clock):
                await start_run(hub, "run", CHUNKS)
                await assert_exact(hub, "run", CHUNKS)
                # Runs that begin after the step.
                await start_run(hub, "next", CHUNKS)
                await assert_exact(hub, "next", CHUNKS)
        assert executor.runs.total() == 2 * CHUNKS


async def test_a_host_whose_clock_was_put_back_gives_its_partitions_to_the_next(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    clock = SteppedClock(HOUR)
    async with open_proxy(azurite.ports) as proxy:
        options, executor = options_on(proxy, hub_name, FIRST), Chunks()
        async with open_task_hub(options, clock) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, executor, clock, is_drained=True):
                await start_run(hub, "run", CHUNKS)
                await assert_exact(hub, "run", CHUNKS)
                clock.ahead_seconds = 0
        assert [row.get("CurrentOwner") for row in account.rows("Partitions")] == [None]
        async with open_task_hub(replace(options, worker_id=SECOND), SteppedClock()) as second:
            await second.start()
            async with engine_on(second, executor):
                await start_run(second, "next", CHUNKS)
                await assert_exact(second, "next", CHUNKS)
