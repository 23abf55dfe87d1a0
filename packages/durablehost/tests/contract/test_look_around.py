"""`TaskHub.look_around` on the hub in memory and on real storage: what it shows, and that it disturbs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone

import pytest

from durablehost.clock import SystemClock
from durablehost.core.history import EventRaised, ExecutionStarted, TaskScheduled
from durablehost.engine.ports import QueueView, Surroundings, TaskHub
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.messages.queues import MAX_MESSAGES_PER_GET
from packages.durablehost.tests.contract.account import CONTROL, OVERRIDABLE, Account
from packages.durablehost.tests.contract.worlds import AzureWorld, MemoryWorld, World
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.hubs.memory import MemoryStorage

ID = "order-42"


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.azurite)])
async def world(request: pytest.FixtureRequest, hub_name: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryWorld(MemoryStorage(), stack)
            return
        connection = ConnectionString(request.getfixturevalue("azurite").connection_string)
        yield AzureWorld(StorageOptions(hub_name=hub_name, connection=connection), stack)


async def stopped(world: World) -> TaskHub:
    hub = await world.open()
    await hub.stop()
    return hub


def types(view: QueueView) -> list[str]:
    return [message.event_type for message in view.visible]


def is_owned(around: Surroundings, owner: str) -> bool:
    """Whether the partition of the instance is leased by this host."""
    return any(lease.partition == around.control.name and lease.current_owner == owner for lease in around.leases)


async def test_an_unknown_instance_has_no_messages(world: World) -> None:
    around = await (await stopped(world)).look_around(ID)
    assert (around.control.visible, around.control.held, around.control.total) == ((), (), 0)
    assert (around.work_items.visible, around.work_items.held, around.work_items.total) == ((), (), 0)
    assert around.control.is_whole
    assert not is_owned(around, "host-a")


async def test_a_start_that_no_host_has_received_is_visible_and_looking_changes_nothing(world: World) -> None:
    hub = await stopped(world)
    await hub.start_instance(build.start(ID), overridable=OVERRIDABLE)
    for _ in range(3):
        around = await hub.look_around(ID)
        assert types(around.control) == ["ExecutionStarted"]
        assert around.control.visible[0].dequeue_count == 0
        assert isinstance(around.control.visible[0].event, ExecutionStarted)
        assert around.control.total == 1
    assert types((await hub.look_around("order-43")).control) == []

    other = await world.open(worker_id="host-b")
    item = await asyncio.wait_for(other.fetch_orchestration(), WAIT_SECONDS)
    assert item.messages[0].dequeue_count == 1


async def test_a_message_on_which_an_episode_works_is_held_by_its_host_alone(world: World) -> None:
    hub = await world.open()
    await hub.start_instance(build.start(ID), overridable=OVERRIDABLE)
    await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
    around = await hub.look_around(ID)
    assert around.control.visible == ()
    assert [(type(held.event), held.is_out, held.is_kept) for held in around.control.held] == [
        (ExecutionStarted, True, False)
    ]
    assert around.control.total == 1


async def test_a_kept_event_is_held_as_kept(world: World) -> None:
    hub = await world.open()
    await hub.start_instance(build.start(ID), overridable=OVERRIDABLE)
    item = await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
    await hub.complete_orchestration(item, build.checkpoint(item))
    await hub.send(build.event_raised(ID, "Approved"))
    item = await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
    await hub.complete_orchestration(item, build.checkpoint(item), kept=item.messages)
    (held,) = (await hub.look_around(ID)).control.held
    assert isinstance(held.event, EventRaised)
    assert (held.event.name, held.is_out, held.is_kept) == ("Approved", False, True)


async def test_a_request_for_an_activity_is_held_while_it_runs(world: World) -> None:
    hub = await world.open()
    await hub.start_instance(build.start(ID), overridable=OVERRIDABLE)
    item = await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
    request = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, request.event, outbox=(request,)))
    activity = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
    (held,) = (await hub.look_around(ID)).work_items.held
    assert isinstance(held.event, TaskScheduled)
    assert held.is_out
    assert held.seconds_out is not None

    await hub.complete_activity(activity, build.task_completed(ID, item.execution_id, 0))
    assert (await hub.look_around(ID)).work_items.visible == ()


async def test_the_lease_of_a_running_host_is_shown_until_it_stops(world: World) -> None:
    hub = await world.open()

    async def has_lease() -> bool:
        return is_owned(await hub.look_around(ID), "host-a")

    await eventually(has_lease)
    around = await hub.look_around(ID)
    assert around.own_id == "host-a"
    assert around.control_visibility_seconds > 0
    await hub.stop()
    assert not await has_lease()


async def test_the_time_of_a_scheduled_start_is_in_the_record(world: World) -> None:
    hub = await stopped(world)
    at = datetime.now(timezone.utc) + timedelta(hours=1)
    at = at.replace(microsecond=0)
    await hub.start_instance(build.start(ID, scheduled_at=at), overridable=OVERRIDABLE)
    record = await hub.peek_instance(ID)
    assert record is not None
    assert record.scheduled_start == at
    around = await hub.look_around(ID)
    assert (around.control.visible, around.control.total) == ((), 1)


@pytest.mark.azurite
async def test_a_queue_with_more_messages_than_it_shows_is_not_whole(idle_hub: TaskHub, account: Account) -> None:
    for _ in range(MAX_MESSAGES_PER_GET):
        account.put(CONTROL, "not a task message")
    await idle_hub.send(build.event_raised(ID, "Approved"))
    around = await idle_hub.look_around(ID)
    assert (around.control.visible, around.control.is_whole) == ((), False)
    assert around.control.total == MAX_MESSAGES_PER_GET + 1


@pytest.mark.azurite
async def test_a_message_in_a_blob_is_known_by_its_type_alone(idle_hub: TaskHub) -> None:
    await idle_hub.send(build.event_raised(ID, "Approved", input_text='"' + "x" * 60_000 + '"'))
    await idle_hub.send(build.event_raised("another", "Approved", input_text='"' + "x" * 60_000 + '"'))
    (message,) = (await idle_hub.look_around(ID)).control.visible
    assert (message.event_type, message.event) == ("EventRaised", None)


@pytest.mark.azurite
async def test_looking_at_a_hub_that_does_not_exist_creates_nothing(options: StorageOptions, account: Account) -> None:
    async with open_task_hub(options, SystemClock()) as hub:
        around = await hub.look_around(ID)
    assert around.leases == ()
    assert (around.control.total, around.work_items.total) == (None, None)
    assert list(account.queues.list_queues(name_starts_with=account.lower)) == []
