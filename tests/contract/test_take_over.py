"""What a dead host of this machine held comes at once, however long it was hidden; what a living one holds does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from devhost.clock import SystemClock
from devhost.core.messages import TaskMessage
from devhost.engine.ports import ActivityWorkItem, OrchestrationWorkItem, TaskHub
from devhost.storage import visibility
from devhost.storage.connection import connection_endpoints
from devhost.storage.journal import Journal, JournalFolder
from devhost.storage.options import StorageOptions
from devhost.storage.queues import MessageQueue
from devhost.storage.services import open_services
from devhost.storage.task_hub import open_task_hub
from devhost.storage.visibility import Extender
from tests.contract.account import CONTROL, OVERRIDABLE, Account, begun, next_item, nothing_comes
from tests.contract.failing_transport import Line, open_failing_hub
from tests.eventually import eventually
from tests.hubs import build

WORK_ITEMS = "-workitems"
HOUR = 3600
OTHER = "order-0"


@pytest.fixture
def hidden_for_long(options: StorageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageOptions:
    """Whatever is held is invisible to others for an hour, and no request that would extend it is cut off."""
    monkeypatch.setattr(visibility, "FIRST_SECONDS", HOUR)
    return replace(
        options,
        control_queue_visibility_seconds=HOUR,
        work_item_visibility_seconds=HOUR,
        journal_folder=tmp_path / "hosts",
    )


@dataclass(frozen=True, kw_only=True)
class Mortal:
    """A host of this process, and how it dies: its line and its lock are gone, and it gives nothing back."""

    hub: TaskHub
    die: Callable[[], None]


@asynccontextmanager
async def mortal_host(options: StorageOptions, worker_id: str = "host-a") -> AsyncIterator[Mortal]:
    line = Line()
    journals = JournalFolder(
        options.journal_folder,
        worker_id=worker_id,
        hub_name=options.hub_name,
        queue_endpoint=connection_endpoints(options.connection.text).queue,  # type: ignore[union-attr]
    )
    with journals:
        async with open_failing_hub(replace(options, worker_id=worker_id), line, journals) as hub:

            def die() -> None:
                line.cut()
                journals.__exit__(None, None, None)

            await hub.create()
            await hub.start()
            yield Mortal(hub=hub, die=die)


@asynccontextmanager
async def next_host(options: StorageOptions, worker_id: str = "host-b") -> AsyncIterator[TaskHub]:
    async with open_task_hub(replace(options, worker_id=worker_id), SystemClock()) as hub:
        await hub.create()
        await hub.start()
        yield hub


async def hold_much(hub: TaskHub) -> tuple[OrchestrationWorkItem, ActivityWorkItem]:
    """A turn with an event that was kept for it, an activity that runs, and an instance that waits for its turn."""
    item = await begun(hub)
    event = build.event_raised("order-42", "Go")
    await hub.send(event)
    request = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, request.event, outbox=(request,)))
    activity = await asyncio.wait_for(hub.fetch_activity(), 10)
    kept = await next_item(hub)
    await hub.complete_orchestration(kept, build.checkpoint(kept), held=kept.messages)
    await hub.send(build.event_raised("order-42", "Another"))
    turn = await next_item(hub)
    assert event_names(turn) == ["Go", "Another"]
    await hub.start_instance(build.start(OTHER), overridable=OVERRIDABLE)
    return turn, activity


def event_names(item: OrchestrationWorkItem) -> list[str]:
    return [getattr(each.message.event, "name", "") for each in item.messages]


async def fetch_all(hub: TaskHub) -> tuple[dict[str, list[str]], TaskMessage]:
    """By instance the names of the events that come; and the request of the activity."""
    items = [await next_item(hub), await next_item(hub)]
    activity = await asyncio.wait_for(hub.fetch_activity(), 10)
    return {item.instance_id: event_names(item) for item in items}, activity.received.message


async def test_all_that_a_dead_host_held_comes_to_the_next_one(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        _, activity = await hold_much(first.hub)
        first.die()
        async with next_host(hidden_for_long) as second:
            events, request = await fetch_all(second)
            assert events == {"order-42": ["Go", "Another"], OTHER: ["ProcessOrder"]}
            assert request == activity.received.message


async def test_a_host_that_runs_already_takes_over_from_one_that_dies(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        await hold_much(first.hub)
        async with next_host(hidden_for_long) as second:
            assert await nothing_comes(second)
            first.die()
            events, _ = await fetch_all(second)
            assert events == {"order-42": ["Go", "Another"], OTHER: ["ProcessOrder"]}


async def test_what_was_renewed_or_received_again_comes_as_well(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        turn, activity = await hold_much(first.hub)
        for _ in range(2):
            await first.hub.renew_orchestration(turn)
            await first.hub.renew_activity(activity)
        first.die()
        async with next_host(hidden_for_long) as second:
            events, _ = await fetch_all(second)
            assert events["order-42"] == ["Go", "Another"]


async def test_the_second_of_two_living_hosts_gets_nothing_of_the_first(
    hidden_for_long: StorageOptions, account: Account
) -> None:
    async with mortal_host(hidden_for_long) as first:
        await hold_much(first.hub)
        async with next_host(hidden_for_long) as second:
            assert await nothing_comes(second)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(second.fetch_activity(), 0.5)
            assert {row.get("CurrentOwner") for row in account.rows("Partitions")} == {"host-a"}
            assert (account.texts(CONTROL), account.texts(WORK_ITEMS)) == ([], [])


async def test_what_a_dead_host_had_put_off_stays_away_as_long_as_it_was_to(
    hidden_for_long: StorageOptions, account: Account
) -> None:
    async with open_services(hidden_for_long.connection) as services:
        with JournalFolder(
            hidden_for_long.journal_folder,
            worker_id="host-a",
            hub_name=hidden_for_long.hub_name,
            queue_endpoint=services.endpoints.queue,
        ) as journals:
            queue = MessageQueue(services.queue_service, f"{account.lower}{WORK_ITEMS}", journals.own)
            await queue.create()
            await queue.put("put off")
            await queue.put("held")
            put_off, held = await queue.get(2, visibility_seconds=HOUR)
            assert (put_off.text, held.text) == ("put off", "held")
            await queue.hide(put_off, HOUR)
    async with open_task_hub(replace(hidden_for_long, worker_id="host-b"), SystemClock()) as second:
        await second.create()
        second.look_for_dead_hosts()
        assert await eventually(lambda: account.texts(WORK_ITEMS)) == ["held"]


async def test_a_receipt_that_is_out_of_date_is_left_alone(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        queue = MessageQueue(services.queue_service, f"{options.hub_name.lower()}-queue")
        await queue.create()
        await queue.put("a")
        (message,) = await queue.get(1, visibility_seconds=HOUR)
        old = message.pop_receipt
        await queue.renew(message, HOUR)
        assert not await queue.show(message.message_id, old)
        assert not await queue.show("nobody", old)
        assert await queue.get(1, visibility_seconds=HOUR) == []
        assert await queue.show(message.message_id, message.pop_receipt)
        assert len(await queue.get(1, visibility_seconds=HOUR)) == 1


async def test_a_message_that_comes_twice_is_one_and_neither_renewal_nor_deletion_miss_it(
    options: StorageOptions,
) -> None:
    async with open_services(options.connection) as services:
        queue = MessageQueue(services.queue_service, f"{options.hub_name.lower()}-queue", Journal())
        await queue.create()
        await queue.put("a")
        (first,) = await queue.get(1, visibility_seconds=HOUR)
        assert await queue.show(first.message_id, first.pop_receipt)
        (again,) = await queue.get(1, visibility_seconds=HOUR)
        assert again is first
        assert first.dequeue_count == 1
        await asyncio.gather(queue.renew(first, HOUR), queue.delete(first), queue.renew(first, HOUR))
        assert not queue.holds(first)
    async with open_services(options.connection) as services:
        client = services.queues.get_queue_client(queue.name)
        assert (await client.get_queue_properties()).approximate_message_count == 0


async def test_what_is_received_is_hidden_shortly_and_longer_if_it_is_still_held(
    options: StorageOptions, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "FIRST_SECONDS", 1)
    monkeypatch.setattr(visibility, "EXTEND_AFTER_SECONDS", 0.3)
    tasks: list[asyncio.Task[None]] = []
    async with open_services(options.connection) as services:
        queue = MessageQueue(services.queue_service, f"{options.hub_name.lower()}-queue")
        await queue.create()
        extender = Extender(lambda coroutine, name: tasks.append(asyncio.create_task(coroutine, name=name)))
        for text in ("deleted", "held"):
            await queue.put(text)
        deleted, held = await extender.receive(queue, 2, visibility_seconds=HOUR)
        await queue.delete(deleted)
        receipt = held.pop_receipt
        await eventually(lambda: held.pop_receipt != receipt)
        assert len(tasks) == 1

        await queue.put("lost")
        (lost,) = await extender.receive(queue, 1, visibility_seconds=HOUR)
        # The host is killed before it can extend anything.
        extender.stop()
        assert await eventually(lambda: account.texts("-queue")) == [lost.text]
        assert await eventually(lambda: len(tasks) == 1)
