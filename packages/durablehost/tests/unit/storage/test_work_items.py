"""Activity requests between queue and callers: none is lost, and none is held without need."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from durablehost.core.history import OrchestrationInstance, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.storage.concurrency import TaskOwner
from durablehost.storage.messages.queues import MessageQueue, StoredMessage
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.work_items import (
    LARGEST_BATCH,
    MAX_BUFFERED,
    MAX_BUFFERED_BYTES,
    BatchSize,
    WorkItemInbox,
)
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build

REQUEST = TaskMessage(
    event=TaskScheduled(timestamp=build.AT, name="Say"),
    target=OrchestrationInstance(instance_id="a", execution_id="e"),
)


class Queue:
    name = "workitems"


class Reader:
    async def read(self, stored: StoredMessage) -> HeldMessage | None:
        return None if stored.text == "poison" else HeldMessage(stored=stored, message=REQUEST)


def stored(message_id: str, *, text: str = "", receipt: str = "r1") -> StoredMessage:
    return StoredMessage(
        queue=cast(MessageQueue, Queue()),
        message_id=message_id,
        pop_receipt=receipt,
        text=text,
        dequeue_count=1,
        inserted_at=None,
    )


class Released:
    """Collects the requests that are returned."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.owner = TaskOwner()

    async def release(self, messages: list[StoredMessage]) -> None:
        self.ids.extend(each.message_id for each in messages)


@pytest.fixture
def released() -> Released:
    return Released()


@pytest.fixture
def inbox(released: Released) -> WorkItemInbox:
    return WorkItemInbox(Reader(), released.release, released.owner)


async def waiting(inbox: WorkItemInbox, count: int) -> list[asyncio.Task[HeldMessage]]:
    tasks = [asyncio.create_task(inbox.take()) for _ in range(count)]
    await eventually(lambda: inbox.wanted >= count)
    return tasks


async def test_no_request_is_wanted_while_no_caller_waits(inbox: WorkItemInbox) -> None:
    assert inbox.wanted == 0
    (caller,) = await waiting(inbox, 1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert inbox.wanted == 0


async def test_each_request_goes_to_one_caller_in_order(inbox: WorkItemInbox) -> None:
    callers = await waiting(inbox, 3)
    await inbox.receive([stored("1"), stored("poison", text="poison"), stored("2"), stored("3")])
    taken = await asyncio.gather(*callers)
    assert [each.stored.message_id for each in taken] == ["1", "2", "3"]
    assert inbox.held("2") is taken[1]


async def test_a_request_whose_caller_went_away_is_left_for_the_next(inbox: WorkItemInbox) -> None:
    (caller,) = await waiting(inbox, 1)
    await inbox.receive([stored("1")])
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert (await inbox.take()).stored.message_id == "1"


async def test_a_request_received_again_while_it_runs_only_renews_its_receipt(inbox: WorkItemInbox) -> None:
    callers = await waiting(inbox, 1)
    await inbox.receive([stored("1")])
    (taken,) = await asyncio.gather(*callers)
    (other,) = await waiting(inbox, 1)
    await inbox.receive([stored("1", receipt="r2")])
    assert not other.done()
    assert taken.stored.pop_receipt == "r2"
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_requests_that_do_not_begin_soon_go_back_and_the_next_batch_is_small(
    released: Released,
) -> None:
    inbox = WorkItemInbox(Reader(), released.release, released.owner, longest_buffered_seconds=0.01)
    callers = await waiting(inbox, 1)
    await inbox.receive([stored("1"), stored("2"), stored("3")])
    await asyncio.gather(*callers)
    assert await eventually(lambda: released.ids == ["2", "3"])
    assert inbox.remove_waiting() == []


def held(message_id: str) -> HeldMessage:
    return HeldMessage(stored=stored(message_id), message=REQUEST)


async def test_a_request_handed_over_goes_to_a_waiting_caller_or_to_the_next_one(inbox: WorkItemInbox) -> None:
    (caller,) = await waiting(inbox, 1)
    inbox.take_over(held("1"))
    assert (await caller).stored.message_id == "1"
    inbox.take_over(held("2"))
    assert (await inbox.take()).stored.message_id == "2"
    assert inbox.held("2").stored.message_id == "2"


async def test_requests_handed_over_that_do_not_begin_soon_go_back(released: Released) -> None:
    inbox = WorkItemInbox(Reader(), released.release, released.owner, longest_buffered_seconds=0.01)
    inbox.take_over(held("1"))
    assert await eventually(lambda: released.ids == ["1"])
    assert inbox.remove_waiting() == []


@pytest.mark.parametrize(("taken", "most"), [(0, LARGEST_BATCH), (50, 50), (2 * MAX_BUFFERED, MAX_BUFFERED)])
async def test_no_more_requests_are_handed_over_than_were_begun_lately(
    inbox: WorkItemInbox, taken: int, most: int
) -> None:
    for number in range(taken):
        inbox.take_over(held(f"taken {number}"))
        await inbox.take()
    for number in range(most):
        assert inbox.has_room
        inbox.take_over(held(str(number)))
    assert not inbox.has_room


def test_a_batch_grows_while_it_is_used_up_quickly_and_shrinks_when_it_is_not() -> None:
    size = BatchSize()
    sizes = []
    for _ in range(6):
        size.used_up(0.1)
        sizes.append(size.value)
    assert sizes == [2, 4, 8, 16, 16, 16]
    assert sizes[-1] == LARGEST_BATCH
    size.used_up(0.5)
    assert size.value == 16
    size.used_up(3)
    assert size.value == 8
    size.not_used_up()
    assert size.value == 1


def large(message_id: str, size: int = MAX_BUFFERED_BYTES // 2) -> HeldMessage:
    request = TaskMessage(event=TaskScheduled(timestamp=build.AT, name="Say", input="x" * size), target=REQUEST.target)
    return HeldMessage(stored=stored(message_id), message=request)


async def test_the_buffer_of_requests_is_limited_by_bytes(inbox: WorkItemInbox, released: Released) -> None:
    inbox.take_over(large("1"))
    assert inbox.has_room
    inbox.take_over(large("2"))
    assert not inbox.has_room
    inbox.take_over(large("3"))
    assert await eventually(lambda: released.ids == ["3"])
    assert [(await inbox.take()).stored.message_id for _ in range(2)] == ["1", "2"]
    assert inbox.has_room
    inbox.take_over(large("4"))
    assert [each.stored.message_id for each in inbox.remove_waiting()] == ["4"]
    inbox.take_over(large("5"))
    assert inbox.has_room
    assert released.ids == ["3"]
