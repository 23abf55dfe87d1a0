"""When a queue is asked, and how long a message stays away."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from devhost.errors import StorageUnavailable
from devhost.storage.listening import QueueListener, poll_wait_seconds
from devhost.storage.queues import MAX_DELAY_SECONDS, MessageQueue, StoredMessage, back_off_seconds, whole_delay
from tests.eventually import eventually


def test_a_message_given_up_stays_away_longer_each_time_up_to_ten_minutes() -> None:
    assert [back_off_seconds(count) for count in (1, 2, 3, 9, 10, 50)] == [2, 4, 8, 512, 600, 600]


def test_a_delay_is_rounded_up_and_neither_negative_nor_longer_than_the_service_allows() -> None:
    assert [whole_delay(seconds) for seconds in (-5, 0, 0.001, 1, 1.2)] == [0, 0, 1, 1, 2]
    assert whole_delay(40 * 24 * 3600) == MAX_DELAY_SECONDS


def test_an_empty_queue_is_asked_more_and_more_seldom() -> None:
    waits = [poll_wait_seconds(count, 30, 1.0) for count in range(1, 8)]
    assert waits == pytest.approx([0.05, 0.1, 0.15, 0.25, 0.45, 0.85, 1.65])
    assert poll_wait_seconds(50, 30, 1.0) == 30
    assert poll_wait_seconds(1, 0.01, 1.0) == 0.01


class ScriptedQueue:
    """A queue whose answers are given beforehand; then it is empty. Tells when it has been asked."""

    name = "control-00"

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def get(self, count: int, *, visibility_seconds: int) -> object:
        self.asked += 1
        answer = self._answers.pop(0) if self._answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer


def listener(queue: ScriptedQueue, received: list[object], *, wanted: int = 32) -> QueueListener:
    async def receive(messages: list[StoredMessage]) -> None:
        received.extend(messages)

    return QueueListener(
        cast(MessageQueue, queue), receive, lambda: wanted, visibility_seconds=300, longest_wait_seconds=3600
    )


async def test_a_listener_outlives_a_storage_that_is_away() -> None:
    queue = ScriptedQueue(StorageUnavailable("refused"), ["a"])
    received: list[object] = []
    listening = listener(queue, received)
    task = asyncio.create_task(listening.run())
    assert await eventually(lambda: received == ["a"])
    listening.stop()
    await asyncio.wait_for(task, 5)


async def test_a_listener_that_waits_long_is_woken_by_what_is_sent() -> None:
    queue = ScriptedQueue(*[[]] * 12, ["a"])
    received: list[object] = []
    listening = listener(queue, received)
    task = asyncio.create_task(listening.run())
    for asked in range(1, 13):
        await eventually(lambda asked=asked: queue.asked >= asked)  # type: ignore[misc]
        listening.notify()
    assert await eventually(lambda: received == ["a"])
    listening.notify(0.01)
    before = queue.asked
    await eventually(lambda: queue.asked > before)
    listening.stop()
    await asyncio.wait_for(task, 5)


async def test_a_listener_asks_for_nothing_while_nothing_is_wanted() -> None:
    queue = ScriptedQueue(["a"])
    listening = listener(queue, [], wanted=0)
    task = asyncio.create_task(listening.run())
    listening.notify()
    await asyncio.sleep(0)
    listening.stop()
    await asyncio.wait_for(task, 5)
    assert queue.asked == 0
