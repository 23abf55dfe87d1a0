"""When a queue is asked, and how long a message stays away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from devhost.core.history import OrchestrationInstance, TaskScheduled
from devhost.core.messages import TaskMessage
from devhost.errors import StorageUnavailable
from devhost.storage.listening import QueueListener, poll_wait_seconds
from devhost.storage.queues import MAX_DELAY_SECONDS, MessageQueue, StoredMessage, back_off_seconds, whole_delay
from devhost.storage.sessions import HeldMessage
from tests.eventually import eventually
from tests.hubs import build


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
        self.on_get: Callable[[], None] | None = None

    async def get(self, count: int, *, visibility_seconds: int) -> object:
        self.asked += 1
        await asyncio.sleep(0)
        if self.on_get:
            self.on_get()
        answer = self._answers.pop(0) if self._answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer


class Collecting:
    """Takes over whatever comes."""

    def __init__(self, *, wanted: int = 32, has_room: bool = True) -> None:
        self.wanted = wanted
        self.has_room = has_room
        self.received: list[object] = []

    async def receive(self, messages: list[StoredMessage]) -> None:
        self.received.extend(messages)

    def take_over(self, held: HeldMessage) -> None:
        self.received.append(held)


def listener(queue: ScriptedQueue, inbox: Collecting) -> QueueListener:
    return QueueListener(cast(MessageQueue, queue), inbox, visibility_seconds=300, longest_wait_seconds=3600)


@asynccontextmanager
async def listening(queue: ScriptedQueue, inbox: Collecting) -> AsyncIterator[QueueListener]:
    running = listener(queue, inbox)
    task = asyncio.create_task(running.run())
    yield running
    running.stop()
    await asyncio.wait_for(task, 5)


async def test_a_listener_outlives_a_storage_that_is_away() -> None:
    inbox = Collecting()
    async with listening(ScriptedQueue(StorageUnavailable("refused"), ["a"]), inbox):
        assert await eventually(lambda: inbox.received == ["a"])


async def test_a_listener_that_waits_long_is_woken_by_what_is_sent() -> None:
    queue = ScriptedQueue(*[[]] * 12, ["a"])
    inbox = Collecting()
    async with listening(queue, inbox) as running:
        for asked in range(1, 13):
            await eventually(lambda asked=asked: queue.asked >= asked)  # type: ignore[misc]
            running.notify()
        assert await eventually(lambda: inbox.received == ["a"])
        running.notify(0.01)
        before = queue.asked
        assert await eventually(lambda: queue.asked > before)


async def test_a_listener_asks_for_nothing_while_nothing_is_wanted() -> None:
    queue = ScriptedQueue(["a"])
    async with listening(queue, Collecting(wanted=0)) as running:
        running.notify()
        await asyncio.sleep(0)
    assert queue.asked == 0


HELD = cast(HeldMessage, object())
EVENT = build.event_raised("a", "Go")
ANSWER = build.task_completed("a", "e", 0)
REQUEST = TaskMessage(
    event=TaskScheduled(timestamp=build.AT, name="Say"),
    target=OrchestrationInstance(instance_id="a", execution_id="e"),
)


async def test_a_message_is_handed_over_once_the_queue_is_known_to_be_empty() -> None:
    inbox = Collecting()
    running = listener(ScriptedQueue(), inbox)
    assert not running.takes_over(EVENT)
    assert not running.takes_over(REQUEST)
    async with listening(ScriptedQueue(["a"]), inbox) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        assert running.takes_over(REQUEST)
        assert running.hand_over(HELD)
    assert inbox.received == ["a", HELD]


async def test_no_event_and_no_request_overtakes_what_waits_in_the_queue_but_an_answer_does() -> None:
    queue = ScriptedQueue([], ["a"])
    async with listening(queue, inbox := Collecting()) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        running.notify()
        assert not running.takes_over(EVENT)
        assert not running.takes_over(REQUEST)
        assert running.takes_over(ANSWER)
        assert await eventually(lambda: running.takes_over(EVENT))
    assert inbox.received == ["a"]


async def test_what_is_sent_while_the_queue_answers_is_not_overtaken_by_an_event() -> None:
    queue = ScriptedQueue()
    async with listening(queue, Collecting()) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        queue.on_get = running.notify
        running.notify()
        assert await eventually(lambda: running.takes_over(REQUEST))
        assert not running.takes_over(EVENT)
        queue.on_get = None


async def test_a_full_answer_leaves_it_open_whether_more_waits() -> None:
    queue = ScriptedQueue(["a"] * 32)
    async with listening(queue, inbox := Collecting()) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        assert queue.asked >= 2
    assert len(inbox.received) == 32


async def test_a_message_is_not_handed_over_without_room_or_after_the_end() -> None:
    inbox = Collecting()
    async with listening(ScriptedQueue(), inbox) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        inbox.has_room = False
        assert not running.takes_over(ANSWER)
        inbox.has_room = True
    assert not running.takes_over(ANSWER)
    assert not running.hand_over(HELD)
    assert inbox.received == []
