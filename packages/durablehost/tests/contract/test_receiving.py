"""Receiving messages from Azurite: none is lost, duplicated or held too long, even if callers are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from durablehost.clock import SystemClock
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.messages import inbox, outbox, sessions
from durablehost.storage.messages.listening import QueueListener
from durablehost.storage.rows.message_json import envelope_to_text, wrapper_to_text
from packages.durablehost.tests.contract.account import (
    CONTROL,
    NOTHING_COMES_SECONDS,
    OVERRIDABLE,
    Account,
    begun,
    next_item,
    nothing_comes,
)
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build

VISIBILITY_SECONDS = 2


@pytest.fixture
async def impatient_hub(options: StorageOptions) -> AsyncIterator[TaskHub]:
    """A hub with short visibility timeouts and a small buffer."""
    narrow = replace(
        options,
        control_queue_visibility_seconds=VISIBILITY_SECONDS,
        work_item_visibility_seconds=VISIBILITY_SECONDS,
        control_queue_batch_size=2,
        control_queue_buffer_threshold=2,
    )
    async with open_task_hub(narrow, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        yield hub


async def start_many(hub: TaskHub, count: int) -> set[str]:
    names = {f"order-{number}" for number in range(count)}
    for name in sorted(names):
        await hub.start_instance(build.start(name), overridable=OVERRIDABLE)
    return names


async def test_the_requests_of_an_episode_to_one_entity_are_received_together(
    hub: TaskHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_TOGETHER_SECONDS", 60)
    # As a listener does once its first polls are over, which may take a while on a busy machine.
    monkeypatch.setattr(QueueListener, "takes_over", lambda self, message: True)
    await hub.start_instance(build.start("order-1"), overridable=OVERRIDABLE)
    item = await next_item(hub)
    entities = [asyncio.create_task(next_item(hub)) for _ in range(3)]
    requests = tuple(build.event_raised(f"@counter@{number % 3}", "op") for number in range(60))
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=requests))
    for entity in await asyncio.gather(*entities):
        own = [each for each in requests if each.target.instance_id == entity.instance_id]
        assert [each.message for each in entity.messages] == own


async def test_more_messages_than_the_buffer_holds_all_arrive_in_time(impatient_hub: TaskHub) -> None:
    expected = await start_many(impatient_hub, 9)
    taken: set[str] = set()
    while taken != expected:
        item = await next_item(impatient_hub)
        taken.add(item.instance_id)
        await impatient_hub.complete_orchestration(item, Checkpoint())


async def test_received_messages_stay_within_the_byte_limit_and_all_arrive_in_time(
    options: StorageOptions, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_ROOM", 200_000)
    monkeypatch.setattr(inbox, "MAX_DOWNLOADS", 1)
    one_queue = replace(options, partition_count=1)
    async with open_task_hub(one_queue, SystemClock()) as hub:
        await hub.create()
        names = {f"order-{number}" for number in range(7)}
        for name in sorted(names):
            put_in_a_blob(account, build.event_raised(name, "Go", input_text="x" * 100_000))
        await hub.start()
        taken: list[str] = []
        while len(taken) < len(names):
            items = [await next_item(hub)]
            while item := await soon(hub):
                items.append(item)
            assert len(items) <= 2
            taken += [item.instance_id for item in items]
            for item in items:
                await hub.complete_orchestration(item, Checkpoint())
        assert sorted(taken) == sorted(names)


async def test_a_kept_message_whose_payload_was_dropped_has_it_again_when_it_is_taken(
    hub: TaskHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "KEPT_ROOM", 0)
    await hub.complete_orchestration(item := await begun(hub), build.checkpoint(item))
    await hub.send(large := build.event_raised("order-42", "Early", input_text="x" * 100_000))
    for name in ("First", "Second"):
        item = await next_item(hub)
        assert item.messages[0].message == large
        await hub.complete_orchestration(item, Checkpoint(), kept=item.messages[:1])
        await hub.send(build.event_raised("order-42", name))
    item = await next_item(hub)
    assert item.messages[0].message.event == large.event


async def test_an_instance_with_a_kept_message_is_looked_at_again_after_the_visibility_timeout(
    options: StorageOptions,
) -> None:
    """Another host may have advanced the instance since, and no other message may ever come."""
    async with open_task_hub(replace(options, control_queue_visibility_seconds=1), SystemClock()) as hub:
        await hub.create()
        await hub.start()
        await hub.complete_orchestration(item := await begun(hub), build.checkpoint(item))
        await hub.send(early := build.event_raised("order-42", "Early"))
        for _ in range(3):
            item = await next_item(hub)
            assert [each.message for each in item.messages] == [early]
            await hub.complete_orchestration(item, Checkpoint(), kept=item.messages)


def put_in_a_blob(account: Account, message: TaskMessage) -> None:
    text = envelope_to_text(message, activity_id="", sequence_number=1)
    blob = f"{message.target.instance_id}/message.json"
    account.put_blob(blob, text.encode())
    account.put(CONTROL, wrapper_to_text(blob))


async def soon(hub: TaskHub) -> OrchestrationWorkItem | None:
    """Returns the next item, or None if none arrives for a while."""
    try:
        return await asyncio.wait_for(hub.fetch_orchestration(), NOTHING_COMES_SECONDS)
    except asyncio.TimeoutError:
        return None


async def test_a_renewed_item_stays_invisible_beyond_its_first_visibility_timeout(
    impatient_hub: TaskHub, account: Account
) -> None:
    began = asyncio.get_running_loop().time()

    def elapsed() -> float:
        return asyncio.get_running_loop().time() - began

    item = await begun(impatient_hub)
    await eventually(lambda: elapsed() > VISIBILITY_SECONDS / 2)
    await impatient_hub.renew_orchestration(item)
    await eventually(lambda: elapsed() > VISIBILITY_SECONDS * 1.25)
    assert account.texts(CONTROL) == []
    await impatient_hub.complete_orchestration(item, build.checkpoint(item))
    assert account.stored(CONTROL) == 0


async def test_an_item_kept_too_long_is_not_handed_out_twice_and_still_ends_well(
    impatient_hub: TaskHub, account: Account
) -> None:
    item = await begun(impatient_hub)
    await eventually(lambda: account.texts(CONTROL) != [] or account.stored(CONTROL) == 1)
    for _ in range(VISIBILITY_SECONDS * 3):
        assert await nothing_comes(impatient_hub)
    await impatient_hub.complete_orchestration(item, build.checkpoint(item))
    assert account.stored(CONTROL) == 0


async def test_a_fetch_that_is_cancelled_at_any_moment_loses_nothing(hub: TaskHub) -> None:
    expected = await start_many(hub, 12)
    taken: set[str] = set()
    wait = 0.0
    while taken != expected:
        wait = (wait + 0.0007) % 0.02
        try:
            item = await asyncio.wait_for(hub.fetch_orchestration(), wait)
        except asyncio.TimeoutError:
            continue
        taken.add(item.instance_id)


async def test_requests_that_were_not_taken_are_visible_again_after_the_host_stopped(
    options: StorageOptions, account: Account
) -> None:
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        requests = tuple(build.task_scheduled(item, number) for number in range(6))
        caller = asyncio.create_task(hub.fetch_activity())
        await hub.complete_orchestration(item, build.checkpoint(item, outbox=requests))
        first = await asyncio.wait_for(caller, WAIT_SECONDS)
        await hub.complete_activity(first, build.task_completed("order-42", item.execution_id, 0))
    assert len(account.texts("-workitems")) == 5


async def test_the_input_of_a_task_is_kept_if_the_episode_records_it(options: StorageOptions) -> None:
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        task = TaskScheduled(timestamp=build.AT, event_id=0, name="Say", input='["x"]')
        await hub.complete_orchestration(item, build.checkpoint(item, task))
        assert task in await hub.read_history("order-42")


async def test_a_request_that_is_not_begun_is_returned_before_its_visibility_timeout(
    impatient_hub: TaskHub, account: Account
) -> None:
    item = await begun(impatient_hub)
    caller = asyncio.create_task(impatient_hub.fetch_activity())
    # Once the queue is known to be empty, requests are handed over.
    assert await nothing_comes(impatient_hub)
    requests = tuple(build.task_scheduled(item, number) for number in range(2))
    await impatient_hub.complete_orchestration(item, build.checkpoint(item, outbox=requests))
    await asyncio.wait_for(caller, WAIT_SECONDS)
    assert await eventually(lambda: len(account.texts("-workitems")) == 1, timeout_seconds=VISIBILITY_SECONDS * 0.8)
