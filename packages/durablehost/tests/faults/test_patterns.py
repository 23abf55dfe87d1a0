"""Monitors, approvals, eternal orchestrations, entities, families and suspensions on hosts that die at random moments.

All of them run in parallel on one hub: in memory with messages in any order, and on Azurite. The moments come from a
seed. Every instance has to end as it does without crashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from durablehost.clock import Clock, SystemClock
from durablehost.core.entities import read_snapshot
from durablehost.core.history import ExecutionCompleted, ExecutionResumed
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.ports import TaskHub
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import OVERRIDABLE
from packages.durablehost.tests.contract.conftest import options
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.faults.patterns import (
    APP,
    CALLER_IDS,
    CALLERS,
    CALLS,
    COUNTER_ID,
    EXPECTED,
    client_messages,
    new_executor,
    starts,
)
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryStorage, MemoryTaskHub

__all__ = ["options"]

END_SECONDS = 240
LONGEST_LIFE_SECONDS = 3.0
# From less than one episode to a large part of all episodes.
WRITES = (3, 60)
KILLS = 6
# How long no host runs after a kill: longer than any message stays invisible.
PAUSE_SECONDS = 600
POLL_SECONDS = 0.01


@asynccontextmanager
async def engine_on(hub: TaskHub, clock: Clock) -> AsyncIterator[None]:
    options = EngineOptions(
        max_orchestrations=4,
        max_activities=4,
        renew_seconds=0.5,
        # Beyond this window, entities do not know what they have done before: the pauses after all kills are within it.
        entity_reorder_window_seconds=KILLS * PAUSE_SECONDS * 2,
    )
    engine = Engine(hub, new_executor(), APP, clock, options)
    running = asyncio.create_task(engine.run(asyncio.Event()), name="engine")
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def are_over(hub: TaskHub) -> bool:
    records = [await hub.get_instance(instance_id) for instance_id in EXPECTED]
    return all(record is not None and record.runtime_status.is_finished for record in records)


async def assert_exact(hub: TaskHub) -> None:
    outputs: dict[str, Any] = {}
    for instance_id, expected in EXPECTED.items():
        record = await hub.get_instance(instance_id)
        assert record is not None
        assert record.runtime_status is expected.status, record
        is_json = expected.status.value == "Completed"
        outputs[instance_id] = json.loads(record.output or "null") if is_json else record.output
        assert expected.output in (None, outputs[instance_id])
        history = await hub.read_history(instance_id)
        # An instance that was terminated before it began has no history.
        assert sum(isinstance(event, ExecutionCompleted) for event in history) == bool(history)
    answers = [answer for instance_id in CALLER_IDS for answer in outputs[instance_id]]
    assert sorted(answers) == list(range(1, CALLERS * CALLS + 1))
    assert all(outputs[instance_id] == sorted(outputs[instance_id]) for instance_id in CALLER_IDS)
    counter = await hub.get_instance(COUNTER_ID)
    assert counter is not None
    assert read_snapshot(counter.input).state == str(CALLERS * CALLS)


@dataclass
class Client:
    """Sends the events that the instances wait for, a part of them to each host."""

    hub: TaskHub
    moments: random.Random
    waiting: list[TaskMessage]

    async def start_all(self) -> None:
        for start in starts():
            await self.hub.start_instance(start, overridable=OVERRIDABLE)

    async def send_some(self, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            instance_id = self.moments.choice(self.waiting).target.instance_id
            message = next(each for each in self.waiting if each.target.instance_id == instance_id)
            if isinstance(message.event, ExecutionResumed) and not await self._is_suspended(instance_id):
                continue  # refused by a host
            await self.hub.send(message)
            self.waiting.remove(message)

    async def _is_suspended(self, instance_id: str) -> bool:
        record = await self.hub.get_instance(instance_id)
        return record is not None and record.runtime_status is RuntimeStatus.SUSPENDED


async def live(
    client: Client,
    was_cut: asyncio.Event,
    *,
    is_last: bool,
    seconds: float = END_SECONDS,
    pass_time: Callable[[], None] = lambda: None,
) -> None:
    """Waits until the host has died, or, if it is the last one, until all instances have ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not was_cut.is_set():
        pass_time()
        await asyncio.sleep(POLL_SECONDS)
        with contextlib.suppress(StorageUnavailable):
            if is_last:
                await client.send_some(1)
            if await are_over(client.hub):
                return


@pytest.mark.parametrize("seed", range(12))
async def test_patterns_end_exactly_on_a_hub_in_memory_that_shuffles_its_messages(seed: int) -> None:
    moments, clock, storage = random.Random(seed), ManualClock(), MemoryStorage()
    client = Client(MemoryTaskHub(clock, storage), moments, client_messages(clock.now()))
    await client.start_all()
    for kill in range(KILLS + 1):
        await client.send_some(2)
        hub = MemoryTaskHub(clock, storage)
        was_cut = asyncio.Event()
        writes_left = moments.randint(*WRITES) if kill < KILLS else 1_000_000

        def fail_when_cut(operation: str, *, is_cut: asyncio.Event = was_cut) -> None:
            nonlocal writes_left
            moments.shuffle(storage.control)
            writes_left -= 1
            if writes_left < 0:
                is_cut.set()
                raise StorageUnavailable("the line is cut")

        storage.before_write = fail_when_cut
        await hub.start()
        async with engine_on(hub, clock):
            await live(client, was_cut, is_last=kill == KILLS, pass_time=lambda: clock.advance(0.1))
        storage.before_write = lambda operation: None
        clock.advance(PAUSE_SECONDS)
    await assert_exact(client.hub)


@pytest.mark.azurite
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 12))])
async def test_patterns_end_exactly_on_azurite(options: StorageOptions, seed: int) -> None:
    moments = random.Random(seed)
    options = replace(
        options,
        partition_count=2,
        control_queue_visibility_seconds=1,
        work_item_visibility_seconds=1,
        max_polling_interval_seconds=0.2,
        is_abandoned_owner=lambda owner: owner == "host-a",
    )
    async with open_task_hub(replace(options, worker_id="client"), SystemClock()) as outside:
        await outside.create()
        client = Client(outside, moments, client_messages(SystemClock().now()))
        await client.start_all()
        for kill in range(KILLS + 1):
            line = Line()
            async with open_failing_hub(options, line) as hub:
                await hub.start()
                async with engine_on(hub, SystemClock()):
                    line.writes_left = moments.randint(*WRITES) if kill < KILLS else None
                    await client.send_some(2)
                    is_last = kill == KILLS
                    seconds = END_SECONDS if is_last else LONGEST_LIFE_SECONDS
                    await live(client, line.was_cut, is_last=is_last, seconds=seconds)
                line.cut()
        await assert_exact(outside)
