"""Reads that callers share: none gets a value that is older than its question."""

from __future__ import annotations

import asyncio

import pytest

from durablehost.engine.shared_reads import SharedReads
from packages.durablehost.tests.eventually import eventually


class Source:
    """A value that changes, behind reads that end when they are told to."""

    def __init__(self) -> None:
        self.value = 0
        self.reads: list[asyncio.Future[int]] = []

    async def read(self, key: str) -> int:
        value = self.value
        self.reads.append(asyncio.get_running_loop().create_future())
        await self.reads[-1]
        return value

    async def end_read(self, number: int, error: Exception | None = None) -> None:
        await eventually(lambda: len(self.reads) > number)
        if error:
            self.reads[number].set_exception(error)
        else:
            self.reads[number].set_result(0)


async def asked(reads: SharedReads[int], key: str = "a") -> asyncio.Task[int]:
    task = asyncio.create_task(reads.read(key))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_callers_during_a_read_share_the_next_one() -> None:
    source = Source()
    reads = SharedReads(source.read)
    first = await asked(reads)
    source.value = 1
    others = [await asked(reads) for _ in range(10)]
    await source.end_read(0)
    await source.end_read(1)
    assert await first == 0
    assert await asyncio.gather(*others) == [1] * 10
    assert len(source.reads) == 2


async def test_a_caller_never_gets_what_was_read_before_it_asked() -> None:
    source = Source()
    reads = SharedReads(source.read)
    first = await asked(reads)
    source.value = 1
    second = await asked(reads)
    await source.end_read(0)
    await first
    source.value = 2
    third = await asked(reads)
    await source.end_read(1)
    await source.end_read(2)
    assert (await second, await third) == (1, 2)


async def test_keys_are_read_side_by_side() -> None:
    source = Source()
    reads = SharedReads(source.read)
    tasks = [await asked(reads, key) for key in "abc"]
    assert len(source.reads) == 3
    for number in range(3):
        await source.end_read(number)
    await asyncio.gather(*tasks)


async def test_a_failed_read_fails_its_callers_and_no_later_one() -> None:
    source = Source()
    reads = SharedReads(source.read)
    first = await asked(reads)
    others = [await asked(reads), await asked(reads)]
    await source.end_read(0, OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await first
    await source.end_read(1)
    assert await asyncio.gather(*others) == [0, 0]


async def test_a_caller_that_goes_away_leaves_the_others_their_value() -> None:
    source = Source()
    reads = SharedReads(source.read)
    gone, stays = await asked(reads), await asked(reads)
    gone.cancel()
    await source.end_read(0)
    await source.end_read(1)
    assert await stays == 0
