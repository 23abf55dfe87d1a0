"""Two hosts on one hub: who owns the partitions, and that no instance is advanced twice from one history.

The times of leases are those of the Clock seam, so the second host's clock is put forward instead of waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

pytest.importorskip("anyio")

from devhost.azurite import Azurite
from devhost.clock import Clock, SystemClock
from devhost.engine import partitions
from devhost.engine.partitions import CLAIM_DURATION
from devhost.engine.ports import TaskHub
from devhost.storage.options import StorageOptions
from devhost.storage.task_hub import open_task_hub
from tests.contract.account import Account
from tests.eventually import eventually
from tests.faults.clocks import SteppedClock
from tests.faults.crash import FIRST, SECOND, options_on
from tests.faults.in_process import Chunks, assert_exact, engine_on, start_run
from tests.faults.proxy import Fault, Hold, StorageProxy, open_proxy
from tests.faults.storage_call import Operation, StorageCall

PARTITIONS = 4
CHUNKS = 6
RUNS = [f"run-{number}" for number in range(8)]
# A pass over the leases, and what a busy machine adds.
TAKE_OVER_SECONDS = 40


@pytest.fixture(autouse=True)
def _frequent_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often the leases are looked at is not what is tried."""
    monkeypatch.setattr(partitions, "PASS_SECONDS", partitions.HASTY_PASS_SECONDS)


def owners(account: Account) -> set[str | None]:
    rows = account.rows("Partitions")
    assert len(rows) == PARTITIONS
    return {row.get("CurrentOwner") for row in rows}


def host_options(proxy: StorageProxy, hub_name: str, worker_id: str) -> StorageOptions:
    """Nobody knows of the other host whether it is alive, as on another machine."""
    options = options_on(proxy, hub_name, worker_id)
    return replace(options, partition_count=PARTITIONS, is_abandoned_owner=lambda owner: False)


@asynccontextmanager
async def host(
    proxy: StorageProxy,
    hub_name: str,
    worker_id: str,
    executor: Chunks,
    clock: Clock | None = None,
    *,
    is_drained: bool = False,
) -> AsyncIterator[TaskHub]:
    clock = clock or SystemClock()
    async with open_task_hub(host_options(proxy, hub_name, worker_id), clock) as hub:
        await hub.create()
        await hub.start()
        async with engine_on(hub, executor, clock, is_drained=is_drained):
            yield hub


async def test_partitions_stay_with_the_first_host_and_go_to_the_second_when_it_ends(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    async with open_proxy(azurite.ports) as proxy, AsyncExitStack() as longer_lived:
        first_runs, second_runs = Chunks(), Chunks()
        async with host(proxy, hub_name, FIRST, first_runs, is_drained=True):
            await eventually(lambda: owners(account) == {FIRST})
            second = await longer_lived.enter_async_context(host(proxy, hub_name, SECOND, second_runs))
            for run in RUNS:
                await start_run(second, run, CHUNKS)
            for run in RUNS:
                await assert_exact(second, run, CHUNKS)
            assert owners(account) == {FIRST}
            # Activities are for whoever takes them; each was run by one of the two.
            assert (first_runs.runs + second_runs.runs).total() == len(RUNS) * CHUNKS
        await eventually(lambda: owners(account) == {SECOND}, timeout_seconds=TAKE_OVER_SECONDS)
        await start_run(second, "last", CHUNKS)
        await assert_exact(second, "last", CHUNKS)


async def test_the_partitions_of_a_dead_host_are_free_when_its_leases_have_ended_and_not_before(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    async with open_proxy(azurite.ports) as line, open_proxy(azurite.ports) as proxy:
        async with host(line, hub_name, FIRST, Chunks()):
            await eventually(lambda: owners(account) == {FIRST})
            # It gives nothing back.
            line.is_down = True
        seconds = CLAIM_DURATION.total_seconds()
        clock = SteppedClock(seconds / 2)
        async with host(proxy, hub_name, SECOND, Chunks(), clock) as second:
            await start_run(second, "run", CHUNKS)
            await eventually(lambda: proxy.calls[Operation.READ_LEASES] > 0)
            assert owners(account) == {FIRST}
            clock.ahead_seconds = seconds + 1
            await eventually(lambda: owners(account) == {SECOND}, timeout_seconds=TAKE_OVER_SECONDS)
            await assert_exact(second, "run", CHUNKS)


async def test_a_host_that_was_paused_beyond_its_lease_advances_no_instance_twice(
    azurite: Azurite, hub_name: str, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands still right before it writes a history, and goes on when another host has finished the run."""
    caplog.set_level(logging.WARNING, "Host.Engine")
    goes_on = asyncio.Event()
    is_paused = asyncio.Event()

    def pause(call: StorageCall) -> Fault | None:
        if call.operation is Operation.WRITE_HISTORY:
            is_paused.set()
        return Hold(goes_on) if is_paused.is_set() else None

    async with open_proxy(azurite.ports) as line, open_proxy(azurite.ports) as proxy:
        async with host(line, hub_name, FIRST, Chunks()) as first:
            await eventually(lambda: owners(account) == {FIRST})
            await start_run(first, "run", CHUNKS)
            line.rule = pause
            await asyncio.wait_for(is_paused.wait(), 30)
            clock = SteppedClock(CLAIM_DURATION.total_seconds() + 1)
            async with host(proxy, hub_name, SECOND, Chunks(), clock) as second:
                await assert_exact(second, "run", CHUNKS)
                written = account.rows("History")
                goes_on.set()
                await eventually(lambda: "Another host has advanced" in caplog.text, timeout_seconds=30)
                assert account.rows("History") == written
                await assert_exact(second, "run", CHUNKS)
