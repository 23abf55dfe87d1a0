"""When a queue is polled, and how long an abandoned message stays invisible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from durablehost.core.history import OrchestrationInstance, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.errors import StorageUnavailable
from durablehost.storage.messages.listening import QueueListener, poll_wait_seconds
from durablehost.storage.messages.queues import (
    MAX_DELAY_SECONDS,
    MessageQueue,
    StoredMessage,
    delay_until_due,
    redelivery_seconds,
)
from durablehost.storage.messages.received import HeldMessage
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build


def test_an_abandoned_message_stays_invisible_longer_each_time_up_to_ten_minutes() -> None:
    assert [redelivery_seconds(count) for count in (1, 2, 3, 9, 10, 50)] == [2, 4, 8, 512, 600, 600]


def test_a_message_is_hidden_for_whole_seconds_and_received_before_it_is_due() -> None:
    delays = {-5: 0, 0: 0, 0.2: 0, 1: 0, 1.2: 0, 1.5: 1, 2: 1, 61: 60}
    assert {seconds: delay_until_due(seconds) for seconds in delays} == delays
    assert delay_until_due(40 * 24 * 3600) == MAX_DELAY_SECONDS


def test_an_empty_queue_is_polled_less_and_less_often() -> None:
    waits = [poll_wait_seconds(count, 30, 1.0) for count in range(1, 8)]
    assert waits == pytest.approx([0.05, 0.1, 0.15, 0.25, 0.45, 0.85, 1.65])
    assert poll_wait_seconds(50, 30, 1.0) == 30
    assert poll_wait_seconds(1, 0.01, 1.0) == 0.01


class ScriptedQueue:
    """A queue with given answers, empty afterwards; it counts the polls."""

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
    """Accepts every message that is handed over."""

    def __init__(self, *, wanted: int = 32, has_room: bool = True) -> None:
        self.wanted = wanted
        self.has_room = has_room
        self.received: list[object] = []

    async def receive(self, messages: list[StoredMessage]) -> None:
        self.received.extend(messages)

    def take_over(self, held: HeldMessage) -> None:
        self.received.append(held)


class Batches(Collecting):
    """Accepts every message, and notes which came together."""

    async def receive(self, messages: list[StoredMessage]) -> None:
        self.received.append(list(messages))


async def test_the_first_messages_are_received_together_up_to_a_limit() -> None:
    queue = ScriptedQueue(["a", "b"], ["c", "d"], ["e", "f"], StorageUnavailable("refused"), ["g"])
    inbox = Batches(wanted=2)
    async with listening(queue, inbox, first_polls=2):
        assert await eventually(lambda: inbox.received == [["a", "b", "c", "d"], ["e", "f"], ["g"]])


async def test_an_outage_loses_none_of_the_first_messages() -> None:
    queue = ScriptedQueue(["a", "b"], StorageUnavailable("refused"), ["c"])
    inbox = Batches(wanted=2)
    async with listening(queue, inbox, first_polls=8):
        assert await eventually(lambda: inbox.received == [["a", "b"], ["c"]])


def listener(queue: ScriptedQueue, inbox: Collecting, first_polls: int = 1) -> QueueListener:
    return QueueListener(
        cast(MessageQueue, queue), inbox, visibility_seconds=300, longest_wait_seconds=3600, first_polls=first_polls
    )


@asynccontextmanager
async def listening(queue: ScriptedQueue, inbox: Collecting, first_polls: int = 1) -> AsyncIterator[QueueListener]:
    running = listener(queue, inbox, first_polls)
    task = asyncio.create_task(running.run())
    yield running
    running.stop()
    await asyncio.wait_for(task, WAIT_SECONDS)


async def test_a_listener_survives_an_outage_of_storage() -> None:
    inbox = Collecting()
    async with listening(ScriptedQueue(StorageUnavailable("refused"), ["a"]), inbox):
        assert await eventually(lambda: inbox.received == ["a"])


async def test_a_waiting_listener_is_woken_by_a_sent_message() -> None:
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


async def test_a_listener_does_not_poll_while_no_message_is_wanted() -> None:
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


async def test_a_message_is_handed_over_if_the_queue_is_known_to_be_empty() -> None:
    inbox = Collecting()
    running = listener(ScriptedQueue(), inbox)
    assert not running.takes_over(EVENT)
    assert not running.takes_over(REQUEST)
    async with listening(ScriptedQueue(["a"]), inbox) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        assert running.takes_over(REQUEST)
        assert running.hand_over(HELD)
    assert inbox.received == ["a", HELD]


async def test_results_overtake_queued_messages_but_events_and_requests_do_not() -> None:
    queue = ScriptedQueue([], ["a"])
    async with listening(queue, inbox := Collecting()) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        running.notify()
        assert not running.takes_over(EVENT)
        assert not running.takes_over(REQUEST)
        assert running.takes_over(ANSWER)
        assert await eventually(lambda: running.takes_over(EVENT))
    assert inbox.received == ["a"]


async def test_an_event_does_not_overtake_messages_sent_while_the_queue_answers() -> None:
    queue = ScriptedQueue()
    async with listening(queue, Collecting()) as running:
        assert await eventually(lambda: running.takes_over(EVENT))
        queue.on_get = running.notify
        running.notify()
        assert await eventually(lambda: running.takes_over(REQUEST))
        assert not running.takes_over(EVENT)
        queue.on_get = None


async def test_a_full_batch_does_not_prove_that_the_queue_is_empty() -> None:
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
