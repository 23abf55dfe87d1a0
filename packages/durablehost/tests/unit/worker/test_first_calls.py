"""Which calls wait for each other, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from durablehost.app.invocation import Invocation
from durablehost.worker import first_calls
from durablehost.worker.first_calls import FirstCalls


def call(name: str, *, is_repeated: bool) -> Invocation:
    return Invocation(invocation_id=name, function_name=name, inputs={}, work=name if is_repeated else "")


HTTP, NEW, OTHER = call("http", is_repeated=False), call("new", is_repeated=True), call("other", is_repeated=True)


class Calls:
    """Calls that run until the test ends them."""

    def __init__(self) -> None:
        self._turns = FirstCalls()
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.begun: list[str] = []

    async def begin(self, invocation: Invocation) -> None:
        self._ends[invocation.function_name] = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._run(invocation)))
        await asyncio.sleep(0.01)

    async def end(self, invocation: Invocation) -> None:
        self._ends.pop(invocation.function_name).set()
        await asyncio.sleep(0.01)

    async def close(self) -> None:
        for end in self._ends.values():
            end.set()
        await asyncio.gather(*self._tasks)

    async def _run(self, invocation: Invocation) -> None:
        end = self._ends[invocation.function_name]
        async with self._turns.admit(invocation):
            self.begun.append(invocation.function_name)
            await end.wait()


@pytest.fixture
async def calls(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Calls]:
    # Practically for ever.
    monkeypatch.setattr(first_calls, "MOMENT_SECONDS", 60)
    async with AsyncExitStack() as stack:
        calls = Calls()
        stack.push_async_callback(calls.close)
        yield calls


async def test_a_first_call_and_a_call_that_is_not_repeated_wait_for_each_other(calls: Calls) -> None:
    await calls.begin(HTTP)
    await calls.begin(NEW)
    assert calls.begun == ["http"]
    await calls.end(HTTP)
    assert calls.begun == ["http", "new"]
    await calls.begin(HTTP)
    assert calls.begun == ["http", "new"]
    await calls.end(NEW)
    assert calls.begun == ["http", "new", "http"]
    # This is no longer the first call.
    await calls.begin(NEW)
    assert calls.begun == ["http", "new", "http", "new"]


async def test_calls_of_the_same_kind_do_not_wait_for_each_other(calls: Calls) -> None:
    await calls.begin(NEW)
    await calls.begin(OTHER)
    assert calls.begun == ["new", "other"]


async def test_a_call_that_was_in_a_crash_delays_no_other_call(calls: Calls) -> None:
    await calls.begin(replace(NEW, crashes=1))
    await calls.begin(HTTP)
    assert calls.begun == ["new", "http"]


async def test_a_call_delays_others_only_in_its_first_moment(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_calls, "MOMENT_SECONDS", 0.02)
    await calls.begin(NEW)
    await asyncio.sleep(0.1)
    monkeypatch.setattr(first_calls, "MOMENT_SECONDS", 60)
    await calls.begin(HTTP)
    assert calls.begun == ["new", "http"]


async def test_no_call_waits_for_long(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_calls, "MOMENT_SECONDS", 0.02)
    await calls.begin(NEW)
    await calls.begin(HTTP)
    await calls.begin(OTHER)
    await asyncio.sleep(0.2)
    assert sorted(calls.begun) == ["http", "new", "other"]
