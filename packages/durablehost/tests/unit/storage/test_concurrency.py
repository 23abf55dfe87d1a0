"""Parallel calls, signals, and tasks with an owner."""

from __future__ import annotations

import asyncio

import pytest

from durablehost import resilience
from durablehost.storage.concurrency import Callers, TaskOwner, call_each
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually


async def test_calls_run_in_parallel_within_the_limit_and_return_in_order() -> None:
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


async def test_a_task_that_fails_is_logged_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    owner = TaskOwner()
    other = owner.spawn(asyncio.sleep(0.01), "another")

    async def fail() -> None:
        raise ValueError("a defect")

    owner.spawn(fail(), "short-lived")
    await other
    assert "The task 'short-lived' failed" in caplog.text
    assert "a defect" in caplog.text


async def test_a_loop_is_restarted_after_any_error_until_it_returns(caplog: pytest.LogCaptureFixture) -> None:
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise KeyError("a defect")

    await asyncio.wait_for(TaskOwner().spawn_loop(loop, "a loop"), WAIT_SECONDS)
    assert rounds == 3
    assert "'a loop' failed" in caplog.text


async def test_a_loop_that_fails_for_ever_fills_no_log_and_can_be_cancelled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resilience, "back_off_seconds", lambda failures: 0)
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        rounds += 1
        raise KeyError("a defect")

    owner = TaskOwner()
    task = owner.spawn_loop(loop, "a loop")
    await eventually(lambda: rounds > 1000)
    await owner.cancel_all()
    assert task.cancelled()
    assert len(caplog.records) < 20


async def test_cancelling_all_tasks_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    owner = TaskOwner()
    task = owner.spawn(asyncio.sleep(3600), "endless")
    await owner.cancel_all()
    assert task.cancelled()
    assert not caplog.records


async def waiting(callers: Callers[str], count: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(callers.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    assert callers.count == count
    return tasks


async def test_items_go_to_callers_in_the_order_of_their_calls() -> None:
    callers = Callers[str](lambda thing: None)
    tasks = await waiting(callers, 2)
    assert [callers.hand("a"), callers.hand("b"), callers.hand("c")] == [True, True, False]
    assert await asyncio.gather(*tasks) == ["a", "b"]
    assert callers.count == 0


async def test_an_item_handed_to_a_cancelled_caller_comes_back() -> None:
    taken_back: list[str] = []
    callers = Callers[str](taken_back.append)
    gone, stays = await waiting(callers, 2)
    callers.hand("a")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert taken_back == ["a"]
    assert callers.hand("b")
    assert await stays == "b"


async def test_a_cancelled_caller_is_skipped() -> None:
    callers = Callers[str](lambda thing: None)
    gone, stays = await waiting(callers, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert callers.hand("a")
    assert await stays == "a"
