"""Messages that no host would send: they end no run, block no other message, and are logged once.

Runs on Azurite with a running engine, because the loops that read the queues have to survive.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.core.history import ExecutionCompleted, TaskFailed, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import TaskHub
from durablehost.storage.rows.message_json import envelope_to_text
from packages.durablehost.tests.contract.account import CONTROL, ORDER, OVERRIDABLE, Account, begun, nothing_comes
from packages.durablehost.tests.contract.test_crashes import ChainOfOne, completed, engine_on
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build

START = build.start("order-42", execution_id=ORDER.execution_id, name="Chain", generation=0)
WORK_ITEMS = "-workitems"
SURROGATE = "half\ud800"


def text_of(message: TaskMessage) -> str:
    return envelope_to_text(message, activity_id="3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11", sequence_number=1)


def changed(message: TaskMessage, change: Callable[[dict[str, Any]], None]) -> str:
    document = json.loads(text_of(message))
    change(document["TaskMessage"])
    return json.dumps(document)


def with_target(instance_id: Any) -> Callable[[dict[str, Any]], None]:
    return lambda message: message["OrchestrationInstance"].update(InstanceId=instance_id)


def with_member(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda message: message["Event"].update(members)


EVENT = build.event_raised("order-42", "Approved")
REPLY = build.task_completed("order-42", ORDER.execution_id, 0, "1")
OPERATION = build.event_raised("@counter@a", "op", input_text='{"op":"add","id":"1"}')
POISON = {
    "id of half a surrogate pair": changed(EVENT, with_target(SURROGATE)),
    "id that is a number": changed(EVENT, with_target(7)),
    "id that no key can hold": changed(EVENT, with_target("x" * 600)),
    "empty id": changed(EVENT, with_target("")),
    "task id that is an object": changed(REPLY, with_member(TaskScheduledId={})),
    "task id that no number of 32 bits can be": changed(REPLY, with_member(TaskScheduledId=10**30)),
    "name of an entity's event that is a number": changed(OPERATION, with_member(Name=5)),
    "name of an event that is null": changed(EVENT, with_member(Name=None)),
    "input that is an object": changed(EVENT, with_member(Input={"a": 1})),
    "request in a control queue": text_of(
        TaskMessage(event=TaskScheduled(timestamp=build.now(), event_id=0, name="Say"), target=ORDER)
    ),
    "end of an execution": text_of(
        TaskMessage(
            event=ExecutionCompleted(timestamp=build.now(), orchestration_status=RuntimeStatus.COMPLETED), target=ORDER
        )
    ),
    "payload in a blob that cannot exist": json.dumps({"CompressedBlobName": "../../etc/passwd"}),
    "payload in a blob that another path names": json.dumps({"CompressedBlobName": "a/../b"}),
    "payload in a missing blob": json.dumps({"CompressedBlobName": "order-42/message-gone.json.gz"}),
    "deep tags": changed(START, with_member(Tags=json.loads('{"a":' * 200 + "1" + "}" * 200))),
}


async def test_messages_of_odd_types_are_set_aside_and_named_once_while_a_run_ends(
    idle_hub: TaskHub, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    for text in POISON.values():
        account.put(CONTROL, text)
    await idle_hub.start()
    async with engine_on(idle_hub, ChainOfOne()):
        await idle_hub.start_instance(START, overridable=OVERRIDABLE)
        assert await eventually(lambda: completed(idle_hub))
        # They are redelivered after 2 seconds, and not logged again.
        await asyncio.sleep(2.5)
    lines = [each.getMessage() for each in caplog.records if "is set aside" in each.getMessage()]
    assert len(lines) == len(POISON)
    assert all(f"queue '{account.lower}{CONTROL}'" in line and "delete it" in line for line in lines)
    assert account.stored(CONTROL) == len(POISON)
    assert not any(".. " in line for line in lines)
    # Those of the SDK would come with each delivery.
    assert not [each.getMessage() for each in caplog.records if each.name.startswith("azure.")]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "1600-01-01T00:00:00.1234567Z"])
async def test_a_start_scheduled_for_the_earliest_possible_time_runs_at_once(
    idle_hub: TaskHub, account: Account, at: str
) -> None:
    await idle_hub.start()
    async with engine_on(idle_hub, ChainOfOne()):
        account.put(CONTROL, changed(START, with_member(ScheduledStartTime=at, Timestamp=at)))
        confirmed = {
            "PartitionKey": "order-42",
            "RowKey": "",
            "ExecutionId": ORDER.execution_id,
            "RuntimeStatus": "Pending",
            "CreatedTime": datetime(1601, 1, 1, tzinfo=timezone.utc),
        }
        account.tables.get_table_client(f"{account.hub_name}Instances").create_entity(confirmed)
        record = await eventually(lambda: completed(idle_hub))
        assert record is not None
        page = await idle_hub.list_instances(build.EVERYTHING, page_size=10)
    assert [each.problem for each in page.records] == [None]
    assert await idle_hub.read_history("order-42")


async def test_a_timer_at_the_latest_possible_time_waits_and_delays_nothing_else(
    hub: TaskHub, account: Account
) -> None:
    timer = build.timer_fired(await begun(hub), 0, build.now() + timedelta(days=1))
    account.put(CONTROL, changed(timer, with_member(FireAt="9999-12-31T23:59:59.9999999Z")))
    assert await nothing_comes(hub)
    assert account.stored(CONTROL) == 2


@asynccontextmanager
async def asking_for_activities(hub: TaskHub) -> AsyncIterator[None]:
    waiting = asyncio.ensure_future(hub.fetch_activity())
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


ODD_REQUESTS: list[Callable[[dict[str, Any]], None]] = [
    with_member(Name=5),
    with_member(Input=[1]),
    with_member(Timestamp="yesterday"),
]


async def test_unusable_requests_fail_their_tasks_or_are_dropped_and_garbage_is_kept(
    hub: TaskHub, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    item = await begun(hub)
    requests = [build.task_scheduled(item, task_id) for task_id in range(len(ODD_REQUESTS))]
    await hub.complete_orchestration(item, build.checkpoint(item, *(request.event for request in requests)))
    for request, odd in zip(requests, ODD_REQUESTS, strict=True):
        account.put(WORK_ITEMS, changed(request, odd))
    account.put(WORK_ITEMS, changed(requests[0], lambda message: message.update(OrchestrationInstance=None)))
    account.put(WORK_ITEMS, text_of(EVENT))
    account.put(WORK_ITEMS, "hello")
    failed: dict[int, str] = {}
    async with asking_for_activities(hub):
        while len(failed) < len(ODD_REQUESTS):
            replied = await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)
            for event in (each.message.event for each in replied.messages):
                assert isinstance(event, TaskFailed)
                failed[event.task_scheduled_id] = event.reason or ""
            await hub.complete_orchestration(replied, build.checkpoint(replied))
        await eventually(lambda: caplog.text.count("is dropped after 3 deliveries") == len(ODD_REQUESTS) + 2)
    assert [failed[task_id].partition(": ")[0] for task_id in sorted(failed)] == [
        "The request for an activity cannot be read"
    ] * len(ODD_REQUESTS)
    assert caplog.text.count("no task can be failed for it") == 2
    assert account.stored(WORK_ITEMS) == 1
    assert await nothing_comes(hub)
