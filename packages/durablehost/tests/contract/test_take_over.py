"""Messages of a dead host of this machine are redelivered at once; those of a living one are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from durablehost.clock import SystemClock
from durablehost.core.messages import TaskMessage
from durablehost.engine.ports import ActivityWorkItem, OrchestrationWorkItem, TaskHub
from durablehost.storage.account.connection import connection_endpoints
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.services import open_services
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.messages import visibility
from durablehost.storage.messages.journal import Journal, JournalFolder
from durablehost.storage.messages.queues import MessageQueue
from durablehost.storage.messages.visibility import Extender
from packages.durablehost.tests.contract.account import CONTROL, OVERRIDABLE, Account, begun, next_item, nothing_comes
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build

WORK_ITEMS = "-workitems"
HOUR = 3600
# More than one request to the queue returns.
EVENTS = 40
OTHER = "order-0"


@pytest.fixture
def hidden_for_long(options: StorageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageOptions:
    """Options with visibility timeouts of an hour, and without the short first timeout."""
    monkeypatch.setattr(visibility, "FIRST_SECONDS", HOUR)
    return replace(
        options,
        control_queue_visibility_seconds=HOUR,
        work_item_visibility_seconds=HOUR,
        journal_folder=tmp_path / "hosts",
    )


@dataclass(frozen=True, kw_only=True)
class Mortal:
    """A host of this process that can die: its connection and its lock are gone, and it returns no messages."""

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
    """Fills the hub with an episode with a kept event, a running activity, and an instance with a waiting message."""
    item = await begun(hub)
    event = build.event_raised("order-42", "Go")
    await hub.send(event)
    request = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, request.event, outbox=(request,)))
    activity = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
    kept = await next_item(hub)
    await hub.complete_orchestration(kept, build.checkpoint(kept), kept=kept.messages)
    await hub.send(build.event_raised("order-42", "Another"))
    episode = await next_item(hub)
    assert event_names(episode) == ["Go", "Another"]
    await hub.start_instance(build.start(OTHER), overridable=OVERRIDABLE)
    return episode, activity


def event_names(item: OrchestrationWorkItem) -> list[str]:
    return [getattr(each.message.event, "name", "") for each in item.messages]


def event_inputs(item: OrchestrationWorkItem) -> list[str | None]:
    return [getattr(each.message.event, "input", None) for each in item.messages]


async def fetch_all(hub: TaskHub) -> tuple[dict[str, list[str]], TaskMessage]:
    """Returns the names of the arriving events by instance, and the request of the activity."""
    items = [await next_item(hub), await next_item(hub)]
    activity = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
    return {item.instance_id: event_names(item) for item in items}, activity.received.message


async def test_all_messages_of_a_dead_host_reach_the_next_host(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        _, activity = await hold_much(first.hub)
        first.die()
        async with next_host(hidden_for_long) as second:
            events, request = await fetch_all(second)
            assert events == {"order-42": ["Go", "Another"], OTHER: ["ProcessOrder"]}
            assert request == activity.received.message


async def test_a_running_host_takes_over_from_one_that_dies(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        await hold_much(first.hub)
        async with next_host(hidden_for_long) as second:
            assert await nothing_comes(second)
            first.die()
            events, _ = await fetch_all(second)
            assert events == {"order-42": ["Go", "Another"], OTHER: ["ProcessOrder"]}


async def test_events_that_a_dead_host_had_kept_are_older_than_those_sent_before_the_next_one_starts(
    hidden_for_long: StorageOptions,
) -> None:
    async with mortal_host(hidden_for_long) as first:
        item = await begun(first.hub)
        await first.hub.complete_orchestration(item, build.checkpoint(item))
        kept = 0
        for number in range(EVENTS):
            await first.hub.send(build.event_raised("order-42", "Go", input_text=str(number)))
        while kept < EVENTS:
            item = await next_item(first.hub)
            kept = len(item.messages)
            await first.hub.complete_orchestration(item, build.checkpoint(item), kept=item.messages)
        first.die()
    async with open_task_hub(replace(hidden_for_long, worker_id="host-b"), SystemClock()) as second:
        await second.send(build.event_raised("order-42", "Go", input_text=str(EVENTS)))
        await second.start()
        seen: list[str | None] = []
        while len(seen) <= EVENTS:
            item = await next_item(second)
            seen += event_inputs(item)
            await second.complete_orchestration(item, build.checkpoint(item))
        assert seen == [str(number) for number in range(EVENTS + 1)]


async def test_events_that_a_dead_host_of_another_machine_had_kept_are_older_than_those_sent_since(
    options: StorageOptions,
) -> None:
    def is_dead(owner: str) -> bool:
        return owner == "host-a"

    options = replace(options, control_queue_visibility_seconds=2, is_abandoned_owner=is_dead)
    async with mortal_host(options) as first:
        item = await begun(first.hub)
        await first.hub.complete_orchestration(item, build.checkpoint(item))
        for number in (1, 2):
            await first.hub.send(build.event_raised("order-42", "Go", input_text=str(number)))
        kept = await next_item(first.hub)
        await first.hub.complete_orchestration(kept, build.checkpoint(kept), kept=kept.messages)
        first.die()
        async with next_host(options) as second:
            await second.send(build.event_raised("order-42", "Go", input_text="3"))
            seen: list[str | None] = []
            while len(seen) < 3:
                item = await next_item(second)
                seen = event_inputs(item)
                await second.complete_orchestration(item, build.checkpoint(item), kept=item.messages)
            assert seen == ["1", "2", "3"]


async def test_messages_that_were_renewed_or_redelivered_are_taken_over_too(hidden_for_long: StorageOptions) -> None:
    async with mortal_host(hidden_for_long) as first:
        episode, activity = await hold_much(first.hub)
        for _ in range(2):
            await first.hub.renew_orchestration(episode)
            await first.hub.renew_activity(activity)
        first.die()
        async with next_host(hidden_for_long) as second:
            events, _ = await fetch_all(second)
            assert events["order-42"] == ["Go", "Another"]


async def test_a_living_host_loses_no_message_to_a_second_host(
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


async def test_messages_that_a_dead_host_had_delayed_keep_their_delay(
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


async def test_a_redelivered_message_counts_once_and_is_renewed_and_deleted_by_its_newest_receipt(
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


async def test_received_messages_get_a_short_visibility_timeout_that_is_extended_while_they_are_held(
    options: StorageOptions, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "FIRST_SECONDS", 1)
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
