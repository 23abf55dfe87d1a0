"""Two hosts on one hub: partitions have one owner, and no instance is advanced twice from one history.

Leases use the Clock interface, so the tests advance the second host's clock instead of waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

pytest.importorskip("anyio")

from durablehost.clock import Clock, SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.engine import partitions
from durablehost.engine.partitions import CLAIM_DURATION
from durablehost.engine.ports import TaskHub
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.faults.clocks import SteppedClock
from packages.durablehost.tests.faults.crash import FIRST, SECOND, options_on
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, start_run
from packages.durablehost.tests.faults.proxy import Fault, Hold, StorageProxy, open_proxy
from packages.durablehost.tests.faults.storage_call import Operation, StorageCall

PARTITIONS = 4
CHUNKS = 6
RUNS = [f"run-{number}" for number in range(8)]
# A pass over the leases, and a margin for a busy machine.
TAKE_OVER_SECONDS = 120


@pytest.fixture(autouse=True)
def _frequent_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the interval of lease checks, which is not under test."""
    monkeypatch.setattr(partitions, "PASS_SECONDS", partitions.HASTY_PASS_SECONDS)


def owners(account: Account) -> Mapping[str | None, int]:
    """How many partitions each owner has."""
    rows = account.rows("Partitions")
    assert len(rows) == PARTITIONS
    return Counter(row.get("CurrentOwner") for row in rows)


def host_options(proxy: StorageProxy, hub_name: str, worker_id: str) -> StorageOptions:
    """Hides from each host whether the other is alive, as if it were on another machine."""
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


async def test_partitions_are_shared_with_a_second_host_and_go_to_it_when_the_first_ends(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    async with open_proxy(azurite.ports) as proxy, AsyncExitStack() as longer_lived:
        first_runs, second_runs = Chunks(), Chunks()
        async with host(proxy, hub_name, FIRST, first_runs, is_drained=True) as first:
            await eventually(lambda: owners(account) == {FIRST: PARTITIONS})
            for run in RUNS[::2]:
                await start_run(first, run, CHUNKS)
            second = await longer_lived.enter_async_context(host(proxy, hub_name, SECOND, second_runs))
            for run in RUNS[1::2]:
                await start_run(second, run, CHUNKS)
            for run in RUNS:
                await assert_exact(second, run, CHUNKS)
            shared = {FIRST: PARTITIONS // 2, SECOND: PARTITIONS // 2}
            await eventually(lambda: owners(account) == shared, timeout_seconds=TAKE_OVER_SECONDS)
            # Either host may run an activity; each was run by one of the two.
            assert (first_runs.runs + second_runs.runs).total() == len(RUNS) * CHUNKS
        await eventually(lambda: owners(account) == {SECOND: PARTITIONS}, timeout_seconds=TAKE_OVER_SECONDS)
        await start_run(second, "last", CHUNKS)
        await assert_exact(second, "last", CHUNKS)


async def test_the_partitions_of_a_dead_host_are_free_when_its_leases_have_ended_and_not_before(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    async with open_proxy(azurite.ports) as line, open_proxy(azurite.ports) as proxy:
        async with host(line, hub_name, FIRST, Chunks()):
            await eventually(lambda: owners(account) == {FIRST: PARTITIONS})
            # A killed host releases nothing.
            line.is_down = True
        seconds = CLAIM_DURATION.total_seconds()
        clock = SteppedClock(seconds / 2)
        async with host(proxy, hub_name, SECOND, Chunks(), clock) as second:
            await start_run(second, "run", CHUNKS)
            await eventually(lambda: proxy.calls[Operation.READ_LEASES] > 0)
            assert owners(account) == {FIRST: PARTITIONS}
            clock.ahead_seconds = seconds + 1
            await eventually(lambda: owners(account) == {SECOND: PARTITIONS}, timeout_seconds=TAKE_OVER_SECONDS)
            await assert_exact(second, "run", CHUNKS)


async def test_a_host_that_was_paused_beyond_its_lease_advances_no_instance_twice(
    azurite: Azurite, hub_name: str, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Pauses a host right before it writes a history, until another host has finished the run."""
    caplog.set_level(logging.WARNING, "Host.Engine")
    goes_on = asyncio.Event()
    is_paused = asyncio.Event()

    def pause(call: StorageCall) -> Fault | None:
        if call.operation is Operation.WRITE_HISTORY:
            is_paused.set()
        return Hold(goes_on) if is_paused.is_set() else None

    async with open_proxy(azurite.ports) as line, open_proxy(azurite.ports) as proxy:
        async with host(line, hub_name, FIRST, Chunks()) as first:
            await eventually(lambda: owners(account) == {FIRST: PARTITIONS})
            await start_run(first, "run", CHUNKS)
            line.rule = pause
            await asyncio.wait_for(is_paused.wait(), WAIT_SECONDS)
            clock = SteppedClock(CLAIM_DURATION.total_seconds() + 1)
            async with host(proxy, hub_name, SECOND, Chunks(), clock) as second:
                await assert_exact(second, "run", CHUNKS)
                written = account.rows("History")
                goes_on.set()
                await eventually(lambda: "Another host has advanced" in caplog.text)
                assert account.rows("History") == written
                await assert_exact(second, "run", CHUNKS)
