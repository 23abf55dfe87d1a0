"""Parallel calls, signals, and tasks with an owner."""

from __future__ import annotations

import asyncio

import pytest

from devhost.storage.concurrency import Callers, TaskOwner, call_each


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


async def waiting(callers: Callers[str], count: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(callers.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    assert callers.count == count
    return tasks


async def test_things_go_to_callers_in_the_order_in_which_they_came() -> None:
    callers = Callers[str](lambda thing: None)
    tasks = await waiting(callers, 2)
    assert [callers.hand("a"), callers.hand("b"), callers.hand("c")] == [True, True, False]
    assert await asyncio.gather(*tasks) == ["a", "b"]
    assert callers.count == 0


async def test_what_was_handed_to_a_caller_that_is_cancelled_comes_back() -> None:
    taken_back: list[str] = []
    callers = Callers[str](taken_back.append)
    gone, stays = await waiting(callers, 2)
    callers.hand("a")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert taken_back == ["a"]
    assert callers.hand("b")
    assert await stays == "b"


async def test_a_caller_that_has_gone_is_passed_over() -> None:
    callers = Callers[str](lambda thing: None)
    gone, stays = await waiting(callers, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert callers.hand("a")
    assert await stays == "a"


async def test_a_failure_reaches_all_callers() -> None:
    callers = Callers[str](lambda thing: None)
    tasks = await waiting(callers, 2)
    callers.fail(ValueError("broken"))
    assert [str(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == ["broken"] * 2
