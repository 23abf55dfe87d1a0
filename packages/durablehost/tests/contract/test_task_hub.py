"""The contract of `TaskHub`, checked on the hub in memory and on the one in Azure Storage.

Rule of this file: only methods of the port are called, so that every hub that passes can serve the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.history import EventRaised, ExecutionStarted, TimerFired
from durablehost.core.lineage import continued_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import (
    ActivityWorkItem,
    InstanceQuery,
    InstanceRecord,
    OrchestrationWorkItem,
    ReceivedMessage,
    TaskHub,
)
from durablehost.errors import InstanceExists, RequestError, StaleCheckpoint
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.contract.worlds import AzureWorld, MemoryWorld, World
from packages.durablehost.tests.eventually import WAIT_SECONDS
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.hubs.memory import MemoryStorage

FINISHED = frozenset(status for status in RuntimeStatus if status.is_finished)
NOTHING_COMES_SECONDS = 0.3
LARGE = "é" * 40_000


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.azurite)])
async def world(request: pytest.FixtureRequest, hub_name: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryWorld(MemoryStorage(), stack)
            return
        connection = ConnectionString(request.getfixturevalue("azurite").connection_string)
        yield AzureWorld(StorageOptions(hub_name=hub_name, connection=connection, partition_count=2), stack)


@pytest.fixture
async def hub(world: World) -> TaskHub:
    return await world.open()


async def next_orchestration(hub: TaskHub) -> OrchestrationWorkItem:
    return await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)


async def next_activity(hub: TaskHub) -> ActivityWorkItem:
    return await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)


async def nothing_comes(hub: TaskHub) -> bool:
    try:
        await asyncio.wait_for(hub.fetch_orchestration(), NOTHING_COMES_SECONDS)
    except asyncio.TimeoutError:
        return True
    return False


async def started(hub: TaskHub, instance_id: str = "order-42") -> OrchestrationWorkItem:
    await hub.start_instance(build.start(instance_id), overridable=FINISHED)
    return await next_orchestration(hub)


async def running(hub: TaskHub, instance_id: str = "order-42") -> OrchestrationWorkItem:
    """Runs the first episode of an instance; returns its item."""
    item = await started(hub, instance_id)
    await hub.complete_orchestration(item, build.checkpoint(item))
    return item


async def finished(hub: TaskHub, instance_id: str = "order-42", output: str = "true") -> OrchestrationWorkItem:
    item = await started(hub, instance_id)
    await hub.complete_orchestration(item, build.checkpoint(item, output=output))
    return item


async def record_of(hub: TaskHub, instance_id: str) -> InstanceRecord:
    record = await hub.get_instance(instance_id)
    assert record is not None
    return record


async def test_creating_a_hub_twice_and_at_the_same_time_is_fine(hub: TaskHub) -> None:
    await asyncio.gather(hub.create(), hub.create())


async def test_a_start_is_pending_and_its_message_comes_with_an_empty_history(hub: TaskHub) -> None:
    message = build.start("order-42", input_text='{"sku":"A-7"}')
    await hub.start_instance(message, overridable=FINISHED)

    record = await record_of(hub, "order-42")
    assert record.runtime_status is RuntimeStatus.PENDING
    assert (record.name, record.input, record.generation) == ("ProcessOrder", '{"sku":"A-7"}', 0)
    assert record.created_at == message.event.timestamp
    item = await next_orchestration(hub)
    assert (item.instance_id, item.execution_id) == ("order-42", message.target.execution_id)
    assert item.history == ()
    assert isinstance(message.event, ExecutionStarted)
    numbered = replace(message, event=replace(message.event, generation=0))
    assert [received.message for received in item.messages] == [numbered]
    assert item.messages[0].dequeue_count == 1


async def test_a_checkpoint_is_history_and_record_and_the_next_item_continues_it(hub: TaskHub) -> None:
    item = await started(hub)
    first = build.checkpoint(item, custom_status='"half way"')
    await hub.complete_orchestration(item, first)

    assert await hub.read_history("order-42") == first.new_events
    record = await record_of(hub, "order-42")
    assert (record.runtime_status, record.custom_status) == (RuntimeStatus.RUNNING, '"half way"')
    await hub.send(build.event_raised("order-42", "Approved", input_text='{"by":"kim"}'))
    later = await next_orchestration(hub)
    assert later.history == first.new_events
    assert later.execution_id == item.execution_id
    assert [type(each.message.event) for each in later.messages] == [EventRaised]
    await hub.complete_orchestration(later, build.checkpoint(later, output='"done"'))
    record = await record_of(hub, "order-42")
    assert (record.runtime_status, record.output) == (RuntimeStatus.COMPLETED, '"done"')
    assert record.completed_at is not None


async def test_another_host_reads_the_same_history(world: World) -> None:
    first_host = await world.open(worker_id="host-a")
    item = await running(first_host)
    stored = await first_host.read_history("order-42")
    await first_host.stop()

    second_host = await world.open(worker_id="host-b")
    await second_host.send(build.event_raised("order-42", "Approved"))
    later = await next_orchestration(second_host)
    assert later.history == stored
    assert later.execution_id == item.execution_id


async def test_the_result_of_an_activity_reaches_its_instance(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, message.event, outbox=(message,)))

    activity = await next_activity(hub)
    reply = build.task_completed("order-42", item.execution_id, 0, "17")
    await hub.complete_activity(activity, reply)

    later = await next_orchestration(hub)
    assert [received.message for received in later.messages] == [reply]


def assert_redelivered(again: Sequence[ReceivedMessage], first: Sequence[ReceivedMessage]) -> None:
    """Compares messages, except the delivery count, which a hand-over within the process may not have."""
    assert [replace(each, dequeue_count=1) for each in again] == [replace(each, dequeue_count=1) for each in first]
    assert all(0 <= a.dequeue_count - f.dequeue_count <= 1 for a, f in zip(again, first, strict=True))


async def test_an_abandoned_activity_is_redelivered(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(message,)))

    first = await next_activity(hub)
    await hub.renew_activity(first)
    await hub.abandon_activity(first)
    again = await next_activity(hub)
    assert_redelivered([again.received], [first.received])


async def test_a_renewal_that_comes_after_the_end_of_its_item_does_nothing(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, message.event, outbox=(message,)))
    await hub.renew_orchestration(item)

    activity = await next_activity(hub)
    await hub.complete_activity(activity, build.task_completed("order-42", item.execution_id, 0, "17"))
    await hub.renew_activity(activity)
    assert len((await next_orchestration(hub)).messages) == 1


async def test_every_activity_request_is_handed_out_once(hub: TaskHub) -> None:
    item = await started(hub)
    messages = tuple(build.task_scheduled(item, number) for number in range(40))
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=messages))

    taken = await asyncio.gather(*(next_activity(hub) for _ in messages))
    assert sorted(each.received.message.event.event_id for each in taken) == list(range(40))


async def test_an_abandoned_item_is_redelivered_with_a_higher_count(hub: TaskHub) -> None:
    item = await started(hub)
    await hub.renew_orchestration(item)
    await hub.abandon_orchestration(item)

    again = await next_orchestration(hub)
    assert_redelivered(again.messages, item.messages)


async def test_deferred_messages_are_redelivered_and_the_others_are_deleted(hub: TaskHub) -> None:
    item = await together(hub, "first", "second")
    early = item.messages[0]
    await hub.complete_orchestration(item, Checkpoint(), deferred=[early])

    again = await next_orchestration(hub)
    assert_redelivered(again.messages, [early])
    await hub.complete_orchestration(again, Checkpoint())
    assert await nothing_comes(hub)


async def test_kept_messages_wait_for_the_next_item_and_do_not_cause_one(hub: TaskHub) -> None:
    item = await together(hub, "first", "second")
    early = item.messages[0]
    await hub.complete_orchestration(item, Checkpoint(), kept=[early])
    assert await nothing_comes(hub)

    await hub.send(build.event_raised("order-42", "third"))
    again = await next_orchestration(hub)
    assert [each.message.event for each in again.messages][:1] == [early.message.event]
    assert len(again.messages) == 2
    await hub.complete_orchestration(again, Checkpoint())
    assert await nothing_comes(hub)


async def test_kept_messages_go_to_the_next_host_when_their_host_stops(world: World) -> None:
    hub = await world.open()
    item = await together(hub, "early")
    await hub.complete_orchestration(item, Checkpoint(), kept=item.messages)
    await hub.stop()

    again = await next_orchestration(await world.open(worker_id="host-b"))
    assert [each.message.event for each in again.messages] == [each.message.event for each in item.messages]


async def together(hub: TaskHub, *names: str) -> OrchestrationWorkItem:
    """Returns an item with external events of these names, received while the instance was out."""
    item = await started(hub)
    for name in names:
        await hub.send(build.event_raised("order-42", name))
    assert await nothing_comes(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))
    return await next_orchestration(hub)


async def test_an_empty_checkpoint_deletes_and_changes_nothing_else(hub: TaskHub) -> None:
    await running(hub)
    before = (await record_of(hub, "order-42"), await hub.read_history("order-42"))
    await hub.send(build.event_raised("order-42", "unwanted"))
    item = await next_orchestration(hub)
    await hub.complete_orchestration(item, Checkpoint())

    assert (await record_of(hub, "order-42"), await hub.read_history("order-42")) == before
    assert await nothing_comes(hub)


async def test_an_instance_is_out_once_and_messages_that_arrive_meanwhile_wait(hub: TaskHub) -> None:
    item = await started(hub)
    await hub.send(build.event_raised("order-42", "Approved"))
    assert await nothing_comes(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))

    later = await next_orchestration(hub)
    assert [type(each.message.event) for each in later.messages] == [EventRaised]


async def test_instances_are_out_side_by_side(hub: TaskHub) -> None:
    for number in range(5):
        await hub.start_instance(build.start(f"order-{number}"), overridable=FINISHED)
    items = [await next_orchestration(hub) for _ in range(5)]
    assert sorted(item.instance_id for item in items) == [f"order-{number}" for number in range(5)]


async def test_messages_for_any_execution_come_with_the_history_of_the_current_one(hub: TaskHub) -> None:
    first = await running(hub)
    history = await hub.read_history("order-42")
    sent = [
        build.task_completed("order-42", build.new_execution_id(), 0),
        build.event_raised("order-42", "Tick"),
        build.task_completed("order-42", first.execution_id, 1),
    ]
    for message in sent:
        await hub.send(message)
    seen: list[TaskMessage] = []
    while len(seen) < len(sent):
        item = await next_orchestration(hub)
        assert (item.execution_id, item.history) == (first.execution_id, history)
        seen += [received.message for received in item.messages]
        await hub.complete_orchestration(item, Checkpoint())
    assert seen == sent


async def test_a_start_redelivered_after_its_execution_continued_as_new_begins_nothing(world: World) -> None:
    """The first episode continued as new, and the host died between writing the history and the record."""
    first_host = await world.open(worker_id="host-a")
    item = await started(first_host)
    goes_on = replace(item, execution_id=continued_execution_id(item.execution_id))
    history = replace(build.checkpoint(goes_on), update=None)
    await first_host.complete_orchestration(goes_on, history, kept=item.messages)
    await first_host.stop()

    second_host = await world.open(worker_id="host-b")
    again = await next_orchestration(second_host)
    assert [type(each.message.event) for each in again.messages] == [ExecutionStarted]
    assert (again.execution_id, again.history) == (goes_on.execution_id, history.new_events)


async def test_the_record_of_a_child_names_its_parent(hub: TaskHub) -> None:
    await hub.send(build.child_start("child", "parent", "p" * 32, 0))
    await hub.start_instance(build.start("other"), overridable=FINISHED)
    for _ in range(2):
        item = await next_orchestration(hub)
        await hub.complete_orchestration(item, build.checkpoint(item))

    page = await hub.list_instances(InstanceQuery(), page_size=10)
    assert [(each.instance_id, each.parent_id) for each in page.records] == [("child", "parent"), ("other", None)]


async def test_a_redelivered_start_of_a_child_replaces_no_later_call(hub: TaskHub) -> None:
    """The same parent has since called the child under its id once more."""
    calls = [build.child_start("child", "parent", "p" * 32, task_id) for task_id in (0, 1)]
    for call in calls:
        await hub.send(call)
        item = await next_orchestration(hub)
        assert item.history == ()
        done = build.checkpoint(item)
        await hub.complete_orchestration(item, done)
    await hub.send(calls[0])
    late = await next_orchestration(hub)
    assert (late.execution_id, late.history) == (calls[1].target.execution_id, done.new_events)


@pytest.mark.parametrize("is_behind", [True, False])
async def test_a_start_whose_instance_was_terminated_before_it_began_is_dropped(world: World, is_behind: bool) -> None:
    hub = await world.open()
    episode = None
    if is_behind:
        # The episode that ends the record is still out when the start arrives.
        await hub.send(build.event_raised("order-42", "early"))
        episode = await next_orchestration(hub)
    start = build.start("order-42", scheduled_at=build.now() + timedelta(seconds=1))
    await hub.start_instance(start, overridable=FINISHED)
    if episode is None:
        await hub.send(build.event_raised("order-42", "early"))
        episode = await next_orchestration(hub)
    else:
        await asyncio.sleep(2)
    end = InstanceUpdate(
        execution_id=start.target.execution_id or "",
        last_updated_at=build.now(),
        runtime_status=RuntimeStatus.TERMINATED,
        completed_at=build.now(),
    )
    await hub.complete_orchestration(episode, Checkpoint(update=end))
    await asyncio.sleep(0 if is_behind else 2)
    assert await nothing_comes(hub)
    assert (await record_of(hub, "order-42")).runtime_status is RuntimeStatus.TERMINATED


async def test_a_message_for_an_unknown_instance_comes_without_an_execution(hub: TaskHub) -> None:
    await hub.send(build.event_raised("nobody", "hello"))
    item = await next_orchestration(hub)
    assert (item.execution_id, item.history) == (None, ())


async def test_a_timer_never_comes_before_it_is_due(hub: TaskHub) -> None:
    item = await started(hub)
    fire_at = build.now() + timedelta(seconds=1.4)
    message = build.timer_fired(item, 0, fire_at)
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(message,)))

    later = await next_orchestration(hub)
    assert build.now() >= fire_at
    assert [each.message.event for each in later.messages] == [message.event]
    assert isinstance(later.messages[0].message.event, TimerFired)


async def test_a_timer_that_is_due_comes_at_once(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.timer_fired(item, 0, build.now() - timedelta(days=1))
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(message,)))
    assert [each.message for each in (await next_orchestration(hub)).messages] == [message]


async def test_a_timer_due_beyond_the_limit_of_the_service_is_kept(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.timer_fired(item, 0, build.now() + timedelta(days=40))
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(message,)))
    assert await nothing_comes(hub)


async def test_a_checkpoint_on_a_history_that_was_purged_is_stale(world: World) -> None:
    hub = await world.open()
    item = await together(hub, "first")
    await hub.purge_instance(item.instance_id)

    with pytest.raises(StaleCheckpoint):
        await hub.complete_orchestration(item, build.checkpoint(item))
    await hub.abandon_orchestration(item)


async def test_a_checkpoint_on_an_overtaken_history_is_stale_and_writes_none(world: World) -> None:
    host = await world.open(worker_id="host-a")
    item = await started(host)
    await host.stop()
    rival = await world.open(worker_id="host-a")
    await rival.send(build.task_completed("order-42", item.execution_id, 7))
    rival_item = await next_orchestration(rival)
    await rival.complete_orchestration(rival_item, build.checkpoint(rival_item))
    stored = await rival.read_history("order-42")

    with pytest.raises(StaleCheckpoint):
        await host.complete_orchestration(item, build.checkpoint(item))
    await host.abandon_orchestration(item)
    assert await host.read_history("order-42") == stored


async def test_starting_an_unfinished_instance_is_refused_and_leaves_it_alone(hub: TaskHub) -> None:
    await running(hub)
    before = await record_of(hub, "order-42")
    with pytest.raises(InstanceExists) as refused:
        await hub.start_instance(build.start("order-42"), overridable=FINISHED)
    assert refused.value.status == "Running"
    assert await record_of(hub, "order-42") == before
    assert await nothing_comes(hub)


async def test_of_two_starts_at_the_same_time_one_is_refused_and_one_runs(hub: TaskHub) -> None:
    starts = [build.start("order-42"), build.start("order-42")]
    results = await asyncio.gather(
        *(hub.start_instance(each, overridable=FINISHED) for each in starts), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["InstanceExists", "NoneType"]
    item = await next_orchestration(hub)
    assert item.execution_id == starts[results.index(None)].target.execution_id
    await hub.complete_orchestration(item, build.checkpoint(item))
    assert await nothing_comes(hub)


async def test_a_finished_instance_starts_again_with_an_empty_history(hub: TaskHub) -> None:
    old = await finished(hub)
    item = await restarted(hub)
    assert item.history == ()
    assert item.execution_id != old.execution_id
    record = await record_of(hub, "order-42")
    assert (record.runtime_status, record.output, record.completed_at) == (RuntimeStatus.PENDING, None, None)
    only = build.checkpoint(item)
    await hub.complete_orchestration(item, replace(only, new_events=only.new_events[:2]))
    assert await hub.read_history("order-42") == only.new_events[:2]


async def restarted(hub: TaskHub) -> OrchestrationWorkItem:
    await hub.start_instance(build.start("order-42"), overridable=FINISHED)
    return await next_orchestration(hub)


async def test_each_start_of_an_id_increments_its_generation(hub: TaskHub) -> None:
    generations = []
    for _ in range(3):
        item = await finished(hub)
        start = item.messages[0].message.event
        assert isinstance(start, ExecutionStarted)
        generations.append((start.generation, (await record_of(hub, "order-42")).generation))
    assert generations == [(0, 0), (1, 1), (2, 2)]


async def test_a_running_instance_is_replaced_if_the_start_allows_it(hub: TaskHub) -> None:
    await running(hub)
    await hub.start_instance(build.start("order-42"), overridable=frozenset(RuntimeStatus))
    item = await next_orchestration(hub)
    assert item.history == ()
    await hub.complete_orchestration(item, build.checkpoint(item))
    assert (await record_of(hub, "order-42")).execution_id == item.execution_id


async def test_a_restart_by_another_host_is_stored_over_the_old_history(world: World) -> None:
    first_host = await world.open(worker_id="host-a")
    await finished(first_host)
    await first_host.stop()
    second_host = await world.open(worker_id="host-b")
    item = await restarted(second_host)
    done = build.checkpoint(item)
    await second_host.complete_orchestration(item, done)
    assert await second_host.read_history("order-42") == done.new_events


async def test_messages_arrive_in_the_order_in_which_they_were_stored(hub: TaskHub) -> None:
    sent = [f"event-{number}" for number in range(12)]
    item = await together(hub, *sent)
    assert [each.message.event.name for each in item.messages if isinstance(each.message.event, EventRaised)] == sent


async def test_payloads_of_any_size_are_read_back_unchanged(hub: TaskHub) -> None:
    await hub.start_instance(build.start("order-42", input_text=LARGE), overridable=FINISHED)
    assert (await record_of(hub, "order-42")).input == LARGE
    item = await next_orchestration(hub)
    event = item.messages[0].message.event
    assert isinstance(event, ExecutionStarted)
    assert event.input == LARGE
    done = build.checkpoint(item, output=LARGE + "!")
    await hub.complete_orchestration(item, done)

    record = await record_of(hub, "order-42")
    assert (record.input, record.output) == (LARGE, LARGE + "!")
    assert await hub.read_history("order-42") == done.new_events


@pytest.mark.parametrize("text", ["", "\x00\x08\ufffe", "\ud800", "<a href='x'>&amp;</a>\r\n", "😀" * 20_000])
async def test_payloads_of_any_characters_are_read_back_unchanged(hub: TaskHub, text: str) -> None:
    item = await started(hub)
    message = build.task_scheduled(item, 0, input_text=text)
    done = build.checkpoint(item, outbox=(message,), output=text)
    await hub.complete_orchestration(item, done)
    assert (await next_activity(hub)).received.message == message
    assert await hub.read_history("order-42") == done.new_events
    assert (await record_of(hub, "order-42")).output == text


async def test_a_large_request_and_a_large_result_are_read_back_unchanged(hub: TaskHub) -> None:
    item = await started(hub)
    message = build.task_scheduled(item, 0, input_text=LARGE)
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(message,)))
    activity = await next_activity(hub)
    assert activity.received.message == message
    reply = build.task_completed("order-42", item.execution_id, 0, LARGE)
    await hub.complete_activity(activity, reply)
    assert [each.message for each in (await next_orchestration(hub)).messages] == [reply]


async def test_a_long_history_is_read_back_in_order(hub: TaskHub) -> None:
    item = await started(hub)
    tasks = tuple(build.task_scheduled(item, number).event for number in range(250))
    done = build.checkpoint(item, *tasks)
    await hub.complete_orchestration(item, done)
    assert await hub.read_history("order-42") == done.new_events


async def test_an_unknown_instance_has_neither_record_nor_history(hub: TaskHub) -> None:
    assert await hub.get_instance("nobody") is None
    assert await hub.read_history("nobody") == ()
    assert await hub.purge_instance("nobody") is False


async def test_a_purge_removes_one_instance_and_no_other(hub: TaskHub) -> None:
    await finished(hub, "order-4", output=LARGE)
    await finished(hub, "order-42", output=LARGE)
    assert await hub.purge_instance("order-4")

    assert await hub.get_instance("order-4") is None
    assert await hub.read_history("order-4") == ()
    assert (await record_of(hub, "order-42")).output == LARGE
    assert await hub.purge_instance("order-4") is False


async def test_a_purged_instance_can_be_started_again(hub: TaskHub) -> None:
    await finished(hub)
    await hub.purge_instance("order-42")
    await running(hub)
    assert (await record_of(hub, "order-42")).runtime_status is RuntimeStatus.RUNNING


@pytest.mark.parametrize("instance_id", ["tenant/7?x#1^", "it's", "a\tb", "commande-é", "日本 %41", "@counter@alice"])
async def test_an_instance_id_of_any_characters_is_kept_as_it_is(hub: TaskHub, instance_id: str) -> None:
    item = await finished(hub, instance_id, output=LARGE)
    assert item.instance_id == instance_id
    assert (await record_of(hub, instance_id)).output == LARGE
    assert len(await hub.read_history(instance_id)) == 4
    page = await hub.list_instances(InstanceQuery(id_prefix=instance_id), page_size=10)
    assert [record.instance_id for record in page.records] == [instance_id]
    assert await hub.purge_instance(instance_id)


@pytest.mark.parametrize(
    "instance_id", ["x" * 513, "x" * 10_000, "\U0001f9e8" * 257, "/" * 257, "^" * 257, "\0" * 10_000]
)
async def test_an_id_that_no_instance_can_have_is_unknown(hub: TaskHub, instance_id: str) -> None:
    assert await hub.get_instance(instance_id) is None
    page = await hub.list_instances(InstanceQuery(id_prefix=instance_id), page_size=10)
    assert (page.records, page.continuation_token) == ((), None)


@pytest.mark.parametrize("instance_id", ["x" * 512, "\U0001f9e8" * 256, "/" * 256])
async def test_the_longest_ids_are_ids(hub: TaskHub, instance_id: str) -> None:
    await finished(hub, instance_id)
    assert (await record_of(hub, instance_id)).instance_id == instance_id


async def listed(hub: TaskHub, query: InstanceQuery, page_size: int = 100) -> list[list[str]]:
    """Returns the ids of all pages."""
    pages = []
    token = None
    while True:
        page = await hub.list_instances(query, page_size=page_size, continuation_token=token)
        pages.append([record.instance_id for record in page.records])
        token = page.continuation_token
        if token is None:
            return pages


async def test_instances_are_listed_in_pages_in_the_order_of_their_keys(hub: TaskHub) -> None:
    for number in (3, 0, 4, 1, 2):
        await hub.start_instance(build.start(f"order-{number}é"), overridable=FINISHED)
    pages = await listed(hub, InstanceQuery(), page_size=2)
    assert [instance_id for page in pages for instance_id in page] == [f"order-{number}é" for number in range(5)]
    assert all(len(page) <= 2 for page in pages)


async def test_instances_are_listed_by_every_filter(hub: TaskHub) -> None:
    morning = build.start("order-1", at=build.AT)
    noon = build.start("order-2", at=build.AT + timedelta(hours=2))
    other = build.start("parcel-1", at=build.AT + timedelta(hours=4))
    for message in (morning, noon, other):
        await hub.start_instance(message, overridable=FINISHED)
    await finished(hub, "zebra") if await drained(hub, 3) else None

    assert await listed(hub, InstanceQuery(id_prefix="order-")) == [["order-1", "order-2"]]
    assert await listed(hub, InstanceQuery(created_to=build.AT)) == [["order-1"]]
    window = InstanceQuery(created_from=build.AT + timedelta(hours=1), created_to=build.AT + timedelta(hours=4))
    assert await listed(hub, window) == [["order-2", "parcel-1"]]
    completed = InstanceQuery(statuses=frozenset({RuntimeStatus.COMPLETED, RuntimeStatus.FAILED}))
    assert await listed(hub, completed) == [["zebra"]]
    first, last = datetime.min.replace(tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc)
    assert await listed(hub, replace(completed, created_from=first, created_to=last)) == [["zebra"]]
    assert await listed(hub, InstanceQuery(created_to=first)) == [[]]
    assert await listed(hub, InstanceQuery(created_from=last)) == [[]]
    assert await listed(hub, replace(completed, id_prefix="order-")) == [[]]
    assert await listed(hub, InstanceQuery(name="ProcessOrder", id_prefix="parcel")) == [["parcel-1"]]
    assert await listed(hub, InstanceQuery(name="Process")) == [[]]


async def drained(hub: TaskHub, count: int) -> bool:
    for _ in range(count):
        item = await next_orchestration(hub)
        await hub.complete_orchestration(item, Checkpoint())
    return True


async def test_inputs_are_left_out_of_a_listing_on_request(hub: TaskHub) -> None:
    await hub.start_instance(build.start("order-42", input_text="17"), overridable=FINISHED)
    without = await hub.list_instances(InstanceQuery(), page_size=10, with_input=False)
    assert [record.input for record in without.records] == [None]
    with_input = await hub.list_instances(InstanceQuery(), page_size=10)
    assert [record.input for record in with_input.records] == ["17"]


async def test_inputs_and_outputs_are_left_out_of_a_listing_on_request(hub: TaskHub) -> None:
    await finished(hub, output=LARGE)
    (record,) = (await hub.list_instances(InstanceQuery(), page_size=10, with_payloads=False)).records
    assert (record.instance_id, record.input, record.output) == ("order-42", None, None)


async def test_instances_are_listed_by_the_time_of_their_last_change(hub: TaskHub) -> None:
    await finished(hub)
    changed_at = (await record_of(hub, "order-42")).last_updated_at
    assert await listed(hub, InstanceQuery(updated_from=changed_at)) == [["order-42"]]
    assert await listed(hub, InstanceQuery(updated_from=changed_at + timedelta(seconds=1))) == [[]]


@pytest.mark.parametrize("token", ["nonsense", "", "{}", " "])
async def test_a_continuation_token_that_no_page_has_given_is_refused(hub: TaskHub, token: str) -> None:
    with pytest.raises(RequestError) as refused:
        await hub.list_instances(InstanceQuery(), page_size=10, continuation_token=token)
    assert refused.value.status == 400


async def test_messages_that_a_stopped_host_has_not_begun_reach_the_next_host_at_once(world: World) -> None:
    first_host = await world.open(worker_id="host-a")
    for number in range(6):
        await first_host.start_instance(build.start(f"order-{number}"), overridable=FINISHED)
    done = await next_orchestration(first_host)
    await first_host.complete_orchestration(done, build.checkpoint(done))
    await first_host.stop()
    await first_host.stop()

    second_host = await world.open(worker_id="host-b")
    items = [await next_orchestration(second_host) for _ in range(5)]
    expected = {f"order-{number}" for number in range(6)} - {done.instance_id}
    assert {item.instance_id for item in items} == expected


async def test_messages_wait_in_storage_for_a_host_that_starts_later(world: World) -> None:
    first_host = await world.open(worker_id="host-a")
    await first_host.stop()
    await first_host.start_instance(build.start("order-42"), overridable=FINISHED)
    second_host = await world.open(worker_id="host-b")
    assert (await next_orchestration(second_host)).instance_id == "order-42"


async def test_a_start_names_the_execution_that_it_would_replace(hub: TaskHub) -> None:
    item = await running(hub)
    assert item.replaces is None
    await hub.send(build.child_start("order-42", "parent", "e1", 0))
    replacement = await next_orchestration(hub)
    assert (replacement.replaces, replacement.history) == (item.execution_id, ())
