"""Parallel calls, signals, and tasks with an owner."""

from __future__ import annotations

import asyncio

import pytest

from devhost.storage.concurrency import Signal, TaskOwner, call_each


async def test_calls_run_side_by_side_within_the_limit_and_answer_in_order() -> None:
    running = 0
    most = 0

    async def double(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number * 2

    assert await call_each(double, range(20), limit=4) == [number * 2 for number in range(20)]
    assert most == 4


async def test_the_first_error_is_raised_when_all_calls_have_ended() -> None:
    ended = []

    async def call(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)
        if number in (1, 2):
            raise ValueError(str(number))

    with pytest.raises(ValueError, match="1"):
        await call_each(call, range(4))
    assert sorted(ended) == [0, 1, 2, 3]


async def test_the_death_of_a_task_is_told_to_whoever_asks() -> None:
    told = asyncio.Event()
    owner = TaskOwner(told.set)

    async def die() -> None:
        raise ValueError("a defect")

    owner.check()
    owner.spawn(die(), "short-lived")
    await asyncio.wait_for(told.wait(), 5)
    with pytest.raises(ValueError, match="a defect"):
        owner.check()


async def test_cancelling_all_tasks_is_no_failure() -> None:
    owner = TaskOwner(lambda: None)
    task = owner.spawn(asyncio.sleep(3600), "endless")
    await owner.cancel_all()
    assert task.cancelled()
    owner.check()


async def test_a_signal_wakes_all_who_wait_and_none_who_come_later() -> None:
    signal = Signal()
    waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    signal.notify()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(signal.wait(), 0.01)
