"""Answers of activities without a message of their own: the request stands for them until a turn takes them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientConnectionError, ClientHandlerType, ClientRequest, ClientResponse

from devhost.clock import SystemClock
from devhost.core.checkpoint import Checkpoint
from devhost.core.history import TaskCompleted, TaskScheduled
from devhost.core.messages import TaskMessage
from devhost.engine.ports import ActivityWorkItem, OrchestrationWorkItem, TaskHub
from devhost.errors import StorageUnavailable
from devhost.storage.options import StorageOptions
from devhost.storage.task_hub import open_task_hub
from tests.contract.account import CONTROL, Account, begun, next_item, nothing_comes
from tests.contract.failing_transport import Line, open_failing_hub
from tests.hubs import build

WORK_ITEMS = "-workitems"
SECONDS = 2
# Too large for a message of a queue: it goes into a blob.
LARGE = f'"{"x" * 100_000}"'


@asynccontextmanager
async def host(options: StorageOptions, worker_id: str = "host-a") -> AsyncIterator[TaskHub]:
    short = replace(
        options,
        worker_id=worker_id,
        control_queue_visibility_seconds=SECONDS,
        work_item_visibility_seconds=SECONDS,
        is_abandoned_owner=lambda owner: owner == "host-a",
    )
    async with open_task_hub(short, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        yield hub


async def answered(hub: TaskHub, count: int = 1, *, last_result: str = '"done"') -> TaskMessage:
    """An instance that has asked for some activities, and the answers to them, which its hub holds; the last one."""
    item = await begun(hub)
    requests = [build.task_scheduled(item, task_id) for task_id in range(count)]
    events = [request.event for request in requests]
    await hub.complete_orchestration(item, build.checkpoint(item, *events, outbox=tuple(requests)))
    for _ in requests:
        activity = await asyncio.wait_for(hub.fetch_activity(), 10)
        task_id = activity.received.message.event.event_id
        result = last_result if task_id == count - 1 else '"done"'
        reply = build.task_completed("order-42", item.execution_id, task_id, result)
        await hub.complete_activity(activity, reply)
    return reply


def results(item: OrchestrationWorkItem) -> list[str | None]:
    return [each.message.event.result for each in item.messages if isinstance(each.message.event, TaskCompleted)]


async def test_a_quick_answer_is_stored_by_the_turn_that_takes_it_in(options: StorageOptions, account: Account) -> None:
    async with host(options) as hub:
        await answered(hub)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (0, 1)

        item = await next_item(hub)
        assert results(item) == ['"done"']
        await hub.complete_orchestration(item, build.checkpoint(item))
        assert account.stored(WORK_ITEMS) == 0
        assert any(isinstance(event, TaskCompleted) for event in await hub.read_history("order-42"))


async def test_a_quick_answer_needs_no_message_however_many_others_are_held(
    options: StorageOptions, account: Account
) -> None:
    async with host(replace(options, control_queue_buffer_threshold=1)) as hub:
        await answered(hub, 3)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (0, 3)


async def test_a_costly_answer_is_stored_at_once(options: StorageOptions, account: Account) -> None:
    async with host(replace(options, longest_repeatable_seconds=-1)) as hub:
        await answered(hub)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)
        assert results(await next_item(hub)) == ['"done"']


async def test_a_crash_before_that_turn_makes_the_request_come_again(options: StorageOptions, account: Account) -> None:
    async with host(options) as first:
        reply = await answered(first)
        # Nothing more is heard of the first host from here on.
        async with host(options, "host-b") as second:
            again = await asyncio.wait_for(second.fetch_activity(), SECONDS * 5)
            assert isinstance(again.received.message.event, TaskScheduled)
            assert again.received.message.event.event_id == 0
            await second.complete_activity(again, reply)


async def test_a_host_that_ends_stores_the_answers_it_holds(options: StorageOptions, account: Account) -> None:
    async with host(options) as first:
        await answered(first)
    assert account.stored(WORK_ITEMS) == 0
    assert len(account.texts(CONTROL)) == 1
    async with host(options, "host-b") as second:
        assert results(await next_item(second)) == ['"done"']


async def test_an_answer_whose_turn_is_given_up_comes_again_without_its_activity(
    options: StorageOptions, account: Account
) -> None:
    async with host(options) as hub:
        await answered(hub)
        await hub.abandon_orchestration(await next_item(hub))
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)
        assert results(await next_item(hub)) == ['"done"']


@pytest.mark.parametrize("recorded", [False, True])
async def test_an_answer_that_a_storage_takes_no_leave_of_comes_again_as_its_request(
    options: StorageOptions, recorded: bool
) -> None:
    """The storage goes away before the turn is given up, or before the messages of a recorded one are deleted."""
    line = Line()
    short = replace(options, control_queue_visibility_seconds=SECONDS, work_item_visibility_seconds=SECONDS)
    async with open_failing_hub(short, line) as hub:
        await hub.create()
        await hub.start()
        reply = await answered(hub)
        item = await next_item(hub)
        if recorded:
            # The history and the row of the instance.
            line.writes_left = 2
            with pytest.raises(StorageUnavailable):
                await hub.complete_orchestration(item, build.checkpoint(item))
            assert line.was_cut.is_set()
        line.cut()
        with pytest.raises(StorageUnavailable):
            await hub.abandon_orchestration(item)
        line.mend()

        again = await asyncio.wait_for(hub.fetch_activity(), SECONDS * 10)
        await hub.complete_activity(again, reply)
        assert results(await next_item(hub)) == ['"done"']


async def test_a_request_stays_in_hand_until_the_whole_batch_of_its_answer_is_given_up(options: StorageOptions) -> None:
    """That can take longer than the request stays invisible; the answer to it would be taken for the one given up."""
    queues_are_back, blobs_are_back = asyncio.Event(), asyncio.Event()
    queues_are_back.set()

    async def away(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        if request.method == "POST" and "-control-" in request.url.path and not queues_are_back.is_set():
            raise ClientConnectionError("the queues take nothing")
        if request.method == "PUT" and "-largemessages" in request.url.path:
            await blobs_are_back.wait()
        return await send(request)

    short = replace(options, control_queue_visibility_seconds=SECONDS, work_item_visibility_seconds=SECONDS)
    async with open_failing_hub(short, away) as hub:
        await hub.create()
        await hub.start()
        await answered(hub, 2, last_result=LARGE)
        item = await next_item(hub)
        assert results(item) == ['"done"', LARGE]
        queues_are_back.clear()
        loop = asyncio.get_running_loop()
        giving_up = loop.create_task(hub.abandon_orchestration(item))
        coming: asyncio.Task[ActivityWorkItem] = loop.create_task(hub.fetch_activity())
        done, _ = await asyncio.wait({coming}, timeout=SECONDS * 2)
        assert not done

        blobs_are_back.set()
        with pytest.raises(StorageUnavailable):
            await giving_up
        queues_are_back.set()
        again = [await asyncio.wait_for(each, SECONDS * 10) for each in (coming, hub.fetch_activity())]
        assert {activity.received.message.event.event_id for activity in again} == {0, 1}
        for activity in again:
            task_id = activity.received.message.event.event_id
            await hub.complete_activity(activity, build.task_completed("order-42", item.execution_id, task_id, "1"))
        assert results(await next_item(hub)) == ["1", "1"]


@pytest.mark.parametrize("kind", ["held", "deferred"])
async def test_an_answer_that_has_to_wait_is_stored_and_waits(
    options: StorageOptions, account: Account, kind: str
) -> None:
    async with host(options) as hub:
        await answered(hub)
        item = await next_item(hub)
        await hub.complete_orchestration(item, Checkpoint(), **{kind: item.messages})
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)

        again = await next_item(hub)
        assert results(again) == ['"done"']
        await hub.complete_orchestration(again, Checkpoint(), held=again.messages)
        assert await nothing_comes(hub)
    assert len(account.texts(CONTROL)) == 1


async def test_an_answer_that_waits_for_its_turn_keeps_its_request_from_coming_again(
    options: StorageOptions, account: Account
) -> None:
    async with host(options) as hub:
        await answered(hub)
        loop = asyncio.get_running_loop()
        came: asyncio.Task[object] = loop.create_task(hub.fetch_activity())
        done, _ = await asyncio.wait({came}, timeout=SECONDS * 2)
        assert not done
        came.cancel()
        await asyncio.gather(came, return_exceptions=True)
        item = await next_item(hub)
        await hub.complete_orchestration(item, build.checkpoint(item))
        assert account.stored(WORK_ITEMS) == 0
