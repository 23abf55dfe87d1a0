"""The effect of a rewind on a hub: the contract of both hubs, the stored rows, and crashes half-way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from durablehost.clock import SystemClock
from durablehost.core.history import (
    EventRaised,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub
from durablehost.errors import RequestError, StorageUnavailable
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import (
    CONTROL,
    EXECUTION_ID,
    OVERRIDABLE,
    Account,
    next_item,
    nothing_comes,
)
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.contract.worlds import AzureWorld, MemoryWorld, World
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.hubs.memory import MemoryStorage

FAILED = RuntimeStatus.FAILED
CHILD = "order-42:child"
AT = build.AT
# Writes: the rows of two histories; then for each instance the cleared end, the message and the status.
WRITES = 8


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.azurite)])
async def world(request: pytest.FixtureRequest, hub_name: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryWorld(MemoryStorage(), stack)
            return
        connection = ConnectionString(request.getfixturevalue("azurite").connection_string)
        yield AzureWorld(StorageOptions(hub_name=hub_name, connection=connection, partition_count=1), stack)


def scheduled(task_id: int, name: str = "ReserveStock") -> TaskScheduled:
    return TaskScheduled(timestamp=AT, event_id=task_id, name=name)


def failure(task_id: int) -> TaskFailed:
    return TaskFailed(timestamp=AT, task_scheduled_id=task_id, reason="no stock", details="none", is_played=True)


def completion(task_id: int) -> TaskCompleted:
    return TaskCompleted(timestamp=AT, task_scheduled_id=task_id, result="17", is_played=True)


async def failed(hub: TaskHub, *events: HistoryEvent) -> OrchestrationWorkItem:
    """Runs `order-42` for one failed episode with these events."""
    await hub.start_instance(build.start("order-42", execution_id=EXECUTION_ID), overridable=OVERRIDABLE)
    return await fail(hub, await next_item(hub), *events)


async def fail(hub: TaskHub, item: OrchestrationWorkItem, *events: HistoryEvent) -> OrchestrationWorkItem:
    await hub.complete_orchestration(item, build.checkpoint(item, *events, output="sold out", runtime_status=FAILED))
    return item


async def with_failed_children(hub: TaskHub, *children: str) -> None:
    """Runs `order-42` to its failure, after that of its children, which have task ids from 1."""
    for task_id, child in enumerate(children, start=1):
        await hub.send(build.child_start(child, "order-42", EXECUTION_ID, task_id))
        await fail(hub, await next_item(hub), scheduled(0), failure(0))
    await failed(
        hub,
        scheduled(0),
        *(
            SubOrchestrationInstanceCreated(timestamp=AT, event_id=task_id, name="Child", instance_id=child)
            for task_id, child in enumerate(children, start=1)
        ),
        completion(0),
        *(
            SubOrchestrationInstanceFailed(timestamp=AT, task_scheduled_id=task_id, reason="sold out", details="none")
            for task_id, _ in enumerate(children, start=1)
        ),
    )


async def taken(hub: TaskHub, count: int) -> dict[str, OrchestrationWorkItem]:
    items = [await next_item(hub) for _ in range(count)]
    return {item.instance_id: item for item in items}


async def test_a_rewound_instance_is_pending_and_its_next_item_opens_an_episode(world: World) -> None:
    hub = await world.open()
    await failed(hub, scheduled(0), scheduled(1), failure(0), completion(1))
    before = await hub.read_history("order-42")
    await hub.rewind_instance("order-42", "restocked")

    record = await hub.get_instance("order-42")
    assert record is not None
    assert record.runtime_status is RuntimeStatus.PENDING
    assert (record.output, record.completed_at, record.name) == (None, None, "ProcessOrder")
    item = await next_item(hub)
    message = item.messages[0].message
    assert isinstance(message.event, GenericEvent)
    assert (message.event.data, message.target.execution_id) == ("restocked", None)
    assert item.execution_id == EXECUTION_ID
    types = [event.type_name for event in item.history]
    assert types == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "GenericEvent",
        "TaskScheduled",
        "GenericEvent",
        "TaskCompleted",
        "GenericEvent",
        "OrchestratorCompleted",
    ]
    assert [event.event_id for event in item.history] == [-1, -1, 0, 1, -1, -1, -1, -1]
    assert [event.timestamp for event in item.history] == [event.timestamp for event in before]
    assert fold(item.history).status is RuntimeStatus.RUNNING
    assert await hub.read_history("order-42") == item.history


async def test_a_rewound_instance_goes_on_and_ends(world: World) -> None:
    hub = await world.open()
    await failed(hub, scheduled(0), failure(0))
    await hub.rewind_instance("order-42", "restocked")
    item = await next_item(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, scheduled(0), output="[17]"))

    record = await hub.get_instance("order-42")
    assert record is not None
    assert (record.runtime_status, record.output) == (RuntimeStatus.COMPLETED, "[17]")
    assert await (await world.open(worker_id="host-b")).read_history("order-42") == await hub.read_history("order-42")


async def test_a_rewind_erases_the_rows_of_retries_with_their_failure(world: World) -> None:
    hub = await world.open()
    timers = [
        TimerCreated(timestamp=AT, event_id=1, fire_at=AT),
        TimerFired(timestamp=AT, timer_id=1, fire_at=AT),
    ]
    await failed(hub, scheduled(0), failure(0), *timers)
    await hub.rewind_instance("order-42", "")

    history = await hub.read_history("order-42")
    assert [event.event_id for event in history if isinstance(event, GenericEvent)] == [0, -1, -1, -1, -1]


async def test_failed_children_are_rewound_and_woken_too(world: World) -> None:
    hub = await world.open()
    await with_failed_children(hub, CHILD)
    await hub.rewind_instance("order-42", "restocked")

    items = await taken(hub, 2)
    assert set(items) == {"order-42", CHILD}
    assert [type(event) for event in items["order-42"].history[2:6]] == [
        TaskScheduled,
        SubOrchestrationInstanceCreated,
        TaskCompleted,
        GenericEvent,
    ]
    assert [event.event_id for event in items[CHILD].history[2:4]] == [0, -1]
    for instance_id in items:
        record = await hub.get_instance(instance_id)
        assert record is not None
        assert record.runtime_status is RuntimeStatus.PENDING


async def test_a_rewind_requests_a_purged_child_again(world: World) -> None:
    hub = await world.open()
    await with_failed_children(hub, CHILD)
    await hub.purge_instance(CHILD)
    await hub.rewind_instance("order-42", "restocked")

    item = await next_item(hub)
    assert item.history[3].event_id == 1
    assert isinstance(item.history[3], GenericEvent)
    assert await nothing_comes(hub)


async def test_a_history_larger_than_one_transaction_is_rewound(world: World) -> None:
    hub = await world.open()
    await failed(hub, *map(scheduled, range(150)), *map(failure, range(150)))
    await hub.rewind_instance("order-42", "")

    history = await hub.read_history("order-42")
    assert sum(isinstance(event, GenericEvent) for event in history) == 301
    assert [event.event_id for event in history[2:152]] == list(range(150))


async def test_a_rewind_that_would_be_unsound_is_refused_and_changes_nothing(world: World) -> None:
    hub = await world.open()
    raised = [EventRaised(timestamp=AT, name=name, input="1") for name in ("Go", "go")]
    await failed(hub, scheduled(0), raised[0], failure(0), raised[1])
    before = await hub.read_history("order-42")
    with pytest.raises(RequestError, match="external events named 'go'") as refusal:
        await hub.rewind_instance("order-42", "")
    assert refusal.value.status == 412
    assert await hub.read_history("order-42") == before
    assert await nothing_comes(hub)


@pytest.mark.azurite
async def test_a_rewind_stores_the_rows_that_other_tools_expect(hub: TaskHub, account: Account) -> None:
    await failed(hub, scheduled(0), scheduled(1), failure(0), completion(1))
    before = account.rows("History")
    sentinel = account.etag("History", "sentinel")
    await hub.stop()
    await hub.rewind_instance("order-42", "restocked")

    changed = {
        2: {"EventType": "GenericEvent", "Reason": "Rewound: TaskScheduled"},
        4: {"EventType": "GenericEvent", "Reason": "Rewound: TaskFailed"},
        6: {"EventType": "GenericEvent", "Reason": "Rewound: ExecutionCompleted"},
    }
    rows = account.rows("History")
    assert rows == [{**row, **changed.get(index, {})} for index, row in enumerate(before)]
    assert account.etag("History", "sentinel") != sentinel
    (instance,) = account.rows("Instances")
    assert instance["RuntimeStatus"] == "Pending"
    assert {"Output", "CompletedTime"}.isdisjoint(instance)
    assert (instance["Name"], instance["Generation"]) == ("ProcessOrder", 0)
    (text,) = account.texts(CONTROL)
    envelope = json.loads(text)
    assert envelope["TaskMessage"]["OrchestrationInstance"]["ExecutionId"] is None
    event: dict[str, Any] = envelope["TaskMessage"]["Event"]
    assert (event["$type"], event["Data"]) == ("DurableTask.Core.History.GenericEvent", "restocked")


@pytest.mark.azurite
async def test_event_ids_of_rewound_rows_count_only_for_tasks(hub: TaskHub, account: Account) -> None:
    await failed(hub, scheduled(0), failure(0))
    rows = account.tables.get_table_client(f"{account.hub_name}History")
    for index, event_type in ((2, "TaskScheduled"), (3, "TaskFailed"), (4, "ExecutionCompleted")):
        rows.update_entity(
            {
                "PartitionKey": "order-42",
                "RowKey": f"{index:016X}",
                "EventType": "GenericEvent",
                "EventId": 0,
                "Reason": f"Rewound: {event_type}",
            }
        )
    history = await hub.read_history("order-42")
    assert [event.event_id for event in history[2:5]] == [0, -1, -1]


@pytest.mark.azurite
@pytest.mark.parametrize("writes", range(WRITES))
async def test_an_interrupted_rewind_can_be_repeated(options: StorageOptions, account: Account, writes: int) -> None:
    options = replace(options, partition_count=1)
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        await with_failed_children(hub, CHILD)
        line = Line()
        async with open_failing_hub(options, line) as dying:
            line.writes_left = writes
            with pytest.raises(StorageUnavailable):
                await dying.rewind_instance("order-42", "restocked")
        record = await hub.get_instance("order-42")
        assert record is not None
        assert record.runtime_status is FAILED
        await hub.rewind_instance("order-42", "restocked")

        items = await taken(hub, 2)
        assert set(items) == {"order-42", CHILD}
        for item in items.values():
            assert fold(item.history).status is RuntimeStatus.RUNNING
        assert [event.event_id for event in items[CHILD].history[2:4]] == [0, -1]
        for instance_id in items:
            record = await hub.get_instance(instance_id)
            assert record is not None
            assert record.runtime_status is RuntimeStatus.PENDING


@pytest.mark.azurite
async def test_a_repeated_rewind_requests_a_child_again_that_was_purged_meanwhile(options: StorageOptions) -> None:
    options = replace(options, partition_count=1)
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        await with_failed_children(hub, CHILD)
        # The rows of both histories.
        line = Line(writes=2)
        async with open_failing_hub(options, line) as dying:
            with pytest.raises(StorageUnavailable):
                await dying.rewind_instance("order-42", "restocked")
        await hub.purge_instance(CHILD)
        await hub.rewind_instance("order-42", "restocked")

        item = await next_item(hub)
        assert (item.instance_id, item.history[3].event_id) == ("order-42", 1)
        assert isinstance(item.history[3], GenericEvent)


@pytest.mark.azurite
@pytest.mark.parametrize("writes", range(3, 9))
async def test_a_repeated_rewind_wakes_the_children_that_an_interrupted_one_left_asleep(
    options: StorageOptions, writes: int
) -> None:
    """Any message to the parent, such as the result of another child, makes its record say Running meanwhile."""
    options = replace(options, partition_count=1)
    children = (CHILD, "order-42:other")
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        await with_failed_children(hub, *children)
        line = Line()
        async with open_failing_hub(options, line) as dying:
            # After the rows of three histories: three writes for each child, then those for the parent.
            line.writes_left = writes
            with pytest.raises(StorageUnavailable):
                await dying.rewind_instance("order-42", "restocked")
        awake = await until_the_parent_runs(hub)

        client = OrchestrationClient(hub, None, SystemClock())
        await client.rewind("order-42", "restocked")
        while not awake.issuperset(children):
            awake.add((await next_item(hub)).instance_id)
        with pytest.raises(RequestError, match="has status Running"):
            await client.rewind("order-42", "restocked")


async def until_the_parent_runs(hub: TaskHub) -> set[str]:
    """Sends `order-42` a message and runs its episode; returns the instances that had items until then."""
    await hub.send(build.event_raised("order-42", "Nudge"))
    found: set[str] = set()
    while "order-42" not in found:
        item = await next_item(hub)
        found.add(item.instance_id)
    await hub.complete_orchestration(item, build.checkpoint(item, runtime_status=RuntimeStatus.RUNNING))
    return found
