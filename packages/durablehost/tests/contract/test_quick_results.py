"""Quick results: no message carries them; the request stays stored until an episode records the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientConnectionError, ClientHandlerType, ClientRequest, ClientResponse

from durablehost.clock import SystemClock
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import TaskCompleted, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.engine.ports import ActivityWorkItem, OrchestrationWorkItem, TaskHub
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import CONTROL, Account, begun, next_item, nothing_comes
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.eventually import WAIT_SECONDS
from packages.durablehost.tests.hubs import build

WORK_ITEMS = "-workitems"
SECONDS = 2
# Too large for a queue message, so it is stored in a blob.
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


async def complete_activities(hub: TaskHub, count: int = 1, *, last_result: str = '"done"') -> TaskMessage:
    """Starts an instance with some activities and completes these; returns the result of the last one."""
    item = await begun(hub)
    requests = [build.task_scheduled(item, task_id) for task_id in range(count)]
    events = [request.event for request in requests]
    await hub.complete_orchestration(item, build.checkpoint(item, *events, outbox=tuple(requests)))
    for _ in requests:
        activity = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
        task_id = activity.received.message.event.event_id
        result = last_result if task_id == count - 1 else '"done"'
        result_message = build.task_completed("order-42", item.execution_id, task_id, result)
        await hub.complete_activity(activity, result_message)
    return result_message


def results(item: OrchestrationWorkItem) -> list[str | None]:
    return [each.message.event.result for each in item.messages if isinstance(each.message.event, TaskCompleted)]


async def test_a_quick_result_is_stored_by_the_episode_that_records_it(
    options: StorageOptions, account: Account
) -> None:
    async with host(options) as hub:
        await complete_activities(hub)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (0, 1)

        item = await next_item(hub)
        assert results(item) == ['"done"']
        await hub.complete_orchestration(item, build.checkpoint(item))
        assert account.stored(WORK_ITEMS) == 0
        assert any(isinstance(event, TaskCompleted) for event in await hub.read_history("order-42"))


async def test_quick_results_need_no_messages_even_when_the_buffer_is_full(
    options: StorageOptions, account: Account
) -> None:
    async with host(replace(options, control_queue_buffer_threshold=1)) as hub:
        await complete_activities(hub, 3)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (0, 3)


async def test_the_result_of_a_slow_activity_is_stored_at_once(options: StorageOptions, account: Account) -> None:
    async with host(replace(options, longest_repeatable_seconds=-1)) as hub:
        await complete_activities(hub)
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)
        assert results(await next_item(hub)) == ['"done"']


async def test_a_crash_before_the_episode_redelivers_the_request(options: StorageOptions, account: Account) -> None:
    async with host(options) as first:
        result_message = await complete_activities(first)
        # From here on the first host does nothing more.
        async with host(options, "host-b") as second:
            again = await asyncio.wait_for(second.fetch_activity(), WAIT_SECONDS)
            assert isinstance(again.received.message.event, TaskScheduled)
            assert again.received.message.event.event_id == 0
            await second.complete_activity(again, result_message)


async def test_a_host_that_stops_stores_its_quick_results(options: StorageOptions, account: Account) -> None:
    async with host(options) as first:
        await complete_activities(first)
    assert account.stored(WORK_ITEMS) == 0
    assert len(account.texts(CONTROL)) == 1
    async with host(options, "host-b") as second:
        assert results(await next_item(second)) == ['"done"']


async def test_a_result_whose_episode_is_abandoned_is_redelivered_without_running_the_activity_again(
    options: StorageOptions, account: Account
) -> None:
    async with host(options) as hub:
        await complete_activities(hub)
        await hub.abandon_orchestration(await next_item(hub))
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)
        assert results(await next_item(hub)) == ['"done"']


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_result_that_storage_refuses_is_redelivered_as_its_request(
    options: StorageOptions, recorded: bool
) -> None:
    """Storage fails before the episode is abandoned, or before the messages of a recorded one are deleted."""
    line = Line()
    short = replace(options, control_queue_visibility_seconds=SECONDS, work_item_visibility_seconds=SECONDS)
    async with open_failing_hub(short, line) as hub:
        await hub.create()
        await hub.start()
        result_message = await complete_activities(hub)
        item = await next_item(hub)
        if recorded:
            # Two writes: the history and the row of the instance.
            line.writes_left = 2
            with pytest.raises(StorageUnavailable):
                await hub.complete_orchestration(item, build.checkpoint(item))
            assert line.was_cut.is_set()
        line.cut()
        with pytest.raises(StorageUnavailable):
            await hub.abandon_orchestration(item)
        line.mend()

        again = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
        await hub.complete_activity(again, result_message)
        assert results(await next_item(hub)) == ['"done"']


async def test_a_request_stays_held_until_the_whole_batch_of_its_result_is_abandoned(options: StorageOptions) -> None:
    """Abandoning can outlast the visibility timeout; a second result would then pass for the abandoned one."""
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
        await complete_activities(hub, 2, last_result=LARGE)
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
        again = [await asyncio.wait_for(each, WAIT_SECONDS) for each in (coming, hub.fetch_activity())]
        assert {activity.received.message.event.event_id for activity in again} == {0, 1}
        for activity in again:
            task_id = activity.received.message.event.event_id
            await hub.complete_activity(activity, build.task_completed("order-42", item.execution_id, task_id, "1"))
        assert results(await next_item(hub)) == ["1", "1"]


@pytest.mark.parametrize("kind", ["kept", "deferred"])
async def test_a_result_that_is_kept_or_deferred_is_stored_as_a_message(
    options: StorageOptions, account: Account, kind: str
) -> None:
    async with host(options) as hub:
        await complete_activities(hub)
        item = await next_item(hub)
        await hub.complete_orchestration(item, Checkpoint(), **{kind: item.messages})
        assert (account.stored(CONTROL), account.stored(WORK_ITEMS)) == (1, 0)

        again = await next_item(hub)
        assert results(again) == ['"done"']
        await hub.complete_orchestration(again, Checkpoint(), kept=again.messages)
        assert await nothing_comes(hub)
    assert len(account.texts(CONTROL)) == 1


async def test_a_result_that_waits_for_its_episode_keeps_its_request_invisible(
    options: StorageOptions, account: Account
) -> None:
    async with host(options) as hub:
        await complete_activities(hub)
        loop = asyncio.get_running_loop()
        came: asyncio.Task[object] = loop.create_task(hub.fetch_activity())
        done, _ = await asyncio.wait({came}, timeout=SECONDS * 2)
        assert not done
        came.cancel()
        await asyncio.gather(came, return_exceptions=True)
        item = await next_item(hub)
        await hub.complete_orchestration(item, build.checkpoint(item))
        assert account.stored(WORK_ITEMS) == 0
