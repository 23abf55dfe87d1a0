"""Storage that fails, answers late or not at all for a while: the host backs off, and every run ends exactly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

pytest.importorskip("anyio")

from durablehost.clock import SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.crash import FIRST, options_on
from packages.durablehost.tests.faults.in_process import LARGE_LETTERS, Chunks, assert_exact, engine_on, start_run
from packages.durablehost.tests.faults.proxy import Cut, Delay, Fault, Refuse, StorageProxy, open_proxy
from packages.durablehost.tests.faults.storage_call import StorageCall

CHUNKS = 30
FAULTS: dict[str, Fault] = {
    "500": Refuse(status=500),
    "503": Refuse(status=503),
    "409": Refuse(status=409),
    "reset": Cut(is_served=False),
    "no answer": Cut(is_served=True),
    "500 after it was served": Refuse(status=500, is_served=True),
    "slow": Delay(5),
}
# The operations running at the start of the outage, each with its attempts; after that a few in each second.
MOST_CALLS_UNDER_WAY = 120
MOST_CALLS_A_SECOND = 25


async def run_through(
    azurite: Azurite, hub_name: str, fault: Fault, seconds: float, *, chunks: int = CHUNKS, letters: int = 0
) -> None:
    """Runs an orchestration during which every request meets the fault for so many seconds."""
    async with open_proxy(azurite.ports) as proxy:
        executor, options = Chunks(), replace(options_on(proxy, hub_name, FIRST), partition_count=2)
        async with open_task_hub(options, SystemClock()) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, executor):
                await start_run(hub, "run", chunks, letters=letters)
                await eventually(lambda: executor.runs.total() >= chunks // 3)
                assert await calls_during(proxy, fault, seconds) <= MOST_CALLS_UNDER_WAY + MOST_CALLS_A_SECOND * seconds
                await assert_exact(hub, "run", chunks, letters=letters)


async def calls_during(proxy: StorageProxy, fault: Fault, seconds: float) -> int:
    loop = asyncio.get_running_loop()
    before, began = proxy.call_count, loop.time()
    proxy.rule = lambda call: fault
    await eventually(lambda: loop.time() - began > seconds, timeout_seconds=2 * seconds + 10)
    proxy.rule = lambda call: None
    return proxy.call_count - before


async def run_through_each(azurite: Azurite, hub_name: str, seconds: float, **size: int) -> None:
    runs = [run_through(azurite, f"{hub_name}n{n}", fault, seconds, **size) for n, fault in enumerate(FAULTS.values())]
    failures = [
        f"{name}: {failure!r}"
        for name, failure in zip(FAULTS, await asyncio.gather(*runs, return_exceptions=True), strict=True)
        if failure is not None
    ]
    assert failures == []


async def test_a_short_outage_of_storage_costs_only_time(azurite: Azurite, hub_name: str) -> None:
    await run_through_each(azurite, hub_name, seconds=4)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [1, 15, 45])
async def test_outages_of_storage_of_any_length_cost_only_time(azurite: Azurite, hub_name: str, seconds: float) -> None:
    await run_through_each(azurite, hub_name, seconds)


@pytest.mark.soak
async def test_large_inputs_and_results_survive_an_outage_of_storage(azurite: Azurite, hub_name: str) -> None:
    await run_through_each(azurite, hub_name, seconds=5, chunks=6, letters=LARGE_LETTERS)


@pytest.mark.parametrize("fault", [Refuse(status=500), Cut(is_served=True)], ids=["500", "no answer"])
async def test_occasional_storage_errors_cost_only_time(azurite: Azurite, hub_name: str, fault: Fault) -> None:
    """Applies the fault to every seventh request of a run."""

    def every_seventh(call: StorageCall) -> Fault | None:
        return fault if call.number % 7 == 0 else None

    async with open_proxy(azurite.ports) as proxy:
        options = options_on(proxy, hub_name, FIRST)
        async with open_task_hub(options, SystemClock()) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, Chunks()):
                await start_run(hub, "run", CHUNKS)
                proxy.rule = every_seventh
                await assert_exact(hub, "run", CHUNKS)
