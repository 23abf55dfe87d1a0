"""The stored bytes: the layout of the Azure Storage provider, as its tools and a real host read it.

Rule of this file: expected values are written out from the provider's format, never computed by durablehost.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.clock import SystemClock
from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.core.trace_context import begin_span, parse_trace_context, stored_context
from durablehost.engine.ports import InstanceQuery, TaskHub
from durablehost.errors import RequestError
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.rows import instance_table
from packages.durablehost.tests.contract.account import (
    AT,
    CONTROL,
    EXECUTION_ID,
    OVERRIDABLE,
    START,
    Account,
    begun,
    next_item,
)
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build

LARGE = "x" * 40_000


def first_episode(*more: Any) -> Checkpoint:
    start = START.event
    assert isinstance(start, ExecutionStarted)
    return Checkpoint(
        new_events=(
            OrchestratorStarted(timestamp=AT),
            ExecutionStarted(**{**vars(start), "is_played": True}),
            *more,
            OrchestratorCompleted(timestamp=AT + timedelta(seconds=1)),
        ),
        update=InstanceUpdate(
            execution_id=EXECUTION_ID,
            last_updated_at=AT + timedelta(seconds=1),
            custom_status="null",
            started=start,
        ),
    )


async def test_a_created_hub_has_the_resources_of_a_real_one(idle_hub: TaskHub, account: Account) -> None:
    tables = {table.name for table in account.tables.list_tables() if table.name.startswith(account.hub_name)}
    assert tables == {f"{account.hub_name}{kind}" for kind in ("History", "Instances", "Partitions")}
    queues = [queue.name for queue in account.queues.list_queues(name_starts_with=f"{account.lower}-")]
    assert queues == [f"{account.lower}-control-0{number}" for number in range(4)] + [f"{account.lower}-workitems"]
    containers = [each.name for each in account.blobs.list_containers(name_starts_with=f"{account.lower}-")]
    assert containers == [f"{account.lower}-applease"]
    info = account.blobs.get_blob_client(f"{account.lower}-applease", f"{account.lower}-appleaseinfo")
    assert info.download_blob().readall() == b"{}"
    assert account.rows("Partitions") == [
        {"PartitionKey": "", "RowKey": f"{account.lower}-control-0{number}", "IsDraining": False} for number in range(4)
    ]


async def test_a_start_is_one_message_and_one_pending_row(idle_hub: TaskHub, account: Account) -> None:
    before = build.now()
    await idle_hub.start_instance(START, overridable=OVERRIDABLE)

    (text,) = account.texts(CONTROL)
    assert text.startswith('{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"')
    envelope = json.loads(text)
    assert uuid.UUID(envelope.pop("ActivityId"))
    ids = {
        "$type": "DurableTask.Core.OrchestrationInstance",
        "InstanceId": "order-42",
        "ExecutionId": EXECUTION_ID,
    }
    assert envelope == {
        "$type": "DurableTask.AzureStorage.MessageData",
        "TaskMessage": {
            "$type": "DurableTask.Core.TaskMessage",
            "Event": {
                "$type": "DurableTask.Core.History.ExecutionStartedEvent",
                "OrchestrationInstance": ids,
                "EventType": 0,
                "ParentInstance": None,
                "Name": "ProcessOrder",
                "Version": None,
                "Input": '{"sku":"A-7"}',
                "Tags": None,
                "Correlation": None,
                "ParentTraceContext": None,
                "ScheduledStartTime": None,
                "Generation": 0,
                "GenerateNewTrace": False,
                "EventId": -1,
                "IsPlayed": False,
                "Timestamp": "2026-01-05T10:00:00.5Z",
            },
            "SequenceNumber": 0,
            "OrchestrationInstance": ids,
            "OrchestrationExecutionContext": None,
        },
        "CompressedBlobName": None,
        "SequenceNumber": 1,
        "Sender": {"InstanceId": "", "ExecutionId": ""},
        "SerializableTraceContext": None,
    }
    (row,) = account.rows("Instances")
    assert before <= row.pop("LastUpdatedTime") <= build.now()
    assert row == {
        "PartitionKey": "order-42",
        "RowKey": "",
        "ExecutionId": EXECUTION_ID,
        "Name": "ProcessOrder",
        "Input": '{"sku":"A-7"}',
        "RuntimeStatus": "Pending",
        "CreatedTime": AT,
        "Generation": 0,
        "Tags": "null",
        "ParentInstanceId": "",
        "TaskHubName": account.hub_name,
    }


async def test_the_trace_context_is_stored_as_a_real_host_stores_it(hub: TaskHub, account: Account) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    caller = parse_trace_context(parent, "vendor=1")
    assert caller is not None
    start = START.event
    assert isinstance(start, ExecutionStarted)
    waiting = replace(start, parent_trace_context=stored_context(caller))
    await hub.start_instance(TaskMessage(event=waiting, target=START.target), overridable=OVERRIDABLE)
    item = await next_item(hub)
    (received,) = item.messages
    arrived = received.message.event
    assert isinstance(arrived, ExecutionStarted)
    assert arrived.parent_trace_context == {
        "TraceParent": parent,
        "TraceState": "vendor=1",
        "Id": None,
        "SpanId": None,
        "ActivityStartTime": None,
    }
    begun_start = begin_span(arrived, caller, AT)
    own = begun_start.parent_trace_context or {}
    events = (OrchestratorStarted(timestamp=AT), begun_start, OrchestratorCompleted(timestamp=AT))
    await hub.complete_orchestration(item, Checkpoint(new_events=events))

    row = next(row for row in account.rows("History") if row.get("EventType") == "ExecutionStarted")
    assert row["ParentTraceContext"] == (
        f'{{"TraceParent":"{parent}","TraceState":"vendor=1","Id":"{own["Id"]}","SpanId":"{own["SpanId"]}",'
        '"ActivityStartTime":"2026-01-05T10:00:00.500000+00:00"}'
    )


async def test_the_first_episode_is_stored_as_a_real_host_stores_it(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    task = TaskScheduled(timestamp=AT, event_id=0, name="ReserveStock")
    timer = TimerCreated(timestamp=AT, event_id=1, fire_at=AT + timedelta(minutes=5))
    await hub.complete_orchestration(item, first_episode(task, timer))

    *rows, sentinel = account.rows("History")
    shared = {
        "PartitionKey": "order-42",
        "EventId": -1,
        "IsPlayed": False,
        "ExecutionId": EXECUTION_ID,
        "_Timestamp": AT,
    }
    assert rows == [
        {**shared, "RowKey": "0000000000000000", "EventType": "OrchestratorStarted"},
        {
            **shared,
            "RowKey": "0000000000000001",
            "EventType": "ExecutionStarted",
            "IsPlayed": True,
            "OrchestrationInstance": f'{{"InstanceId":"order-42","ExecutionId":"{EXECUTION_ID}"}}',
            "ParentInstance": "null",
            "Name": "ProcessOrder",
            "Input": '{"sku":"A-7"}',
            "Tags": "null",
            "ParentTraceContext": "null",
            "Generation": 0,
            "GenerateNewTrace": False,
        },
        {
            **shared,
            "RowKey": "0000000000000002",
            "EventType": "TaskScheduled",
            "EventId": 0,
            "Name": "ReserveStock",
            "Version": "",
            "Tags": "null",
            "ParentTraceContext": "null",
        },
        {
            **shared,
            "RowKey": "0000000000000003",
            "EventType": "TimerCreated",
            "EventId": 1,
            "FireAt": AT + timedelta(minutes=5),
        },
        {
            **shared,
            "RowKey": "0000000000000004",
            "EventType": "OrchestratorCompleted",
            "_Timestamp": AT + timedelta(seconds=1),
        },
    ]
    assert sentinel.pop("CheckpointCompletedTimestamp") <= build.now()
    assert sentinel == {
        "PartitionKey": "order-42",
        "RowKey": "sentinel",
        "ExecutionId": EXECUTION_ID,
        "IsCheckpointComplete": True,
    }
    (instance,) = account.rows("Instances")
    assert instance == {
        "PartitionKey": "order-42",
        "RowKey": "",
        "ExecutionId": EXECUTION_ID,
        "Name": "ProcessOrder",
        "Input": '{"sku":"A-7"}',
        "CustomStatus": "null",
        "RuntimeStatus": "Running",
        "CreatedTime": AT,
        "LastUpdatedTime": AT + timedelta(seconds=1),
        "Generation": 0,
        "Tags": "null",
        "ParentInstanceId": "",
        "TaskHubName": account.hub_name,
    }
    assert account.stored(CONTROL) == 0


async def test_the_last_episode_completes_the_row(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    done_at = AT + timedelta(seconds=2)
    start = first_episode().update
    assert start is not None
    completed = ExecutionCompleted(
        timestamp=AT, event_id=0, orchestration_status=RuntimeStatus.COMPLETED, result='"ok"'
    )
    update = InstanceUpdate(
        execution_id=EXECUTION_ID,
        last_updated_at=done_at,
        custom_status='{"done":1}',
        started=start.started,
        runtime_status=RuntimeStatus.COMPLETED,
        output='"ok"',
        completed_at=done_at,
    )
    await hub.complete_orchestration(item, Checkpoint(new_events=(completed,), update=update))

    (row,) = account.rows("Instances")
    assert {name: row[name] for name in ("RuntimeStatus", "Output", "CustomStatus", "CompletedTime")} == {
        "RuntimeStatus": "Completed",
        "Output": '"ok"',
        "CustomStatus": '{"done":1}',
        "CompletedTime": done_at,
    }
    assert account.rows("History")[0]["OrchestrationStatus"] == "Completed"


async def test_every_checkpoint_changes_the_sentinel_it_was_based_on(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, first_episode())
    tags = [account.etag("History", "sentinel")]
    for name in ("one", "two"):
        await hub.send(build.event_raised("order-42", name))
        item = await next_item(hub)
        await hub.complete_orchestration(item, build.checkpoint(item))
        tags.append(account.etag("History", "sentinel"))
    assert len(set(tags)) == 3
    assert [row["RowKey"] for row in account.rows("History")] == [f"{index:016X}" for index in range(9)] + ["sentinel"]


async def test_a_large_result_goes_to_a_blob_that_both_tables_refer_to(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, output=LARGE))

    (name,) = account.blob_names()
    assert re.fullmatch(r"order-42/history-0000000000000002-ExecutionCompleted-[0-9A-F]{8}-Result\.json\.gz", name)
    assert account.blob_text(name) == LARGE
    row = next(row for row in account.rows("History") if row.get("EventType") == "ExecutionCompleted")
    assert (row["Result"], row["ResultBlobName"]) == ("", name)
    (instance,) = account.rows("Instances")
    assert instance["Output"] == f"{account.blobs.url.rstrip('/')}/{account.lower}-largemessages/{name}"
    assert await hub.purge_instance("order-42")
    assert account.blob_names() == []
    assert account.rows("History") == []
    assert account.rows("Instances") == []


async def test_a_page_whose_payloads_are_too_large_together_is_refused_by_name(
    idle_hub: TaskHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_table, "MAX_PAGE_SIZE", 250_000)
    for number in range(3):
        start = build.start(f"order-{number}", input_text="x" * 100_000)
        await idle_hub.start_instance(start, overridable=OVERRIDABLE)
    with pytest.raises(RequestError) as refused:
        await idle_hub.list_instances(InstanceQuery(), page_size=10)
    assert refused.value.status == 413
    assert "ask for fewer instances with 'top'" in (refused.value.detail or "")
    assert len((await idle_hub.list_instances(InstanceQuery(), page_size=2)).records) == 2
    assert len((await idle_hub.list_instances(InstanceQuery(), page_size=10, with_input=False)).records) == 3


async def test_a_large_message_goes_to_a_blob_and_a_reference_to_the_queue(idle_hub: TaskHub, account: Account) -> None:
    # A queue would accept it; the limit of the provider is 45 KiB.
    text = "x" * 46_000
    start = build.start("order-42", execution_id=EXECUTION_ID, input_text=text)
    await idle_hub.start_instance(start, overridable=OVERRIDABLE)

    (name,) = account.blob_names()
    assert re.fullmatch(r"order-42/message-[0-9a-f]{32}-ExecutionStarted\.json\.gz", name)
    (stand_in,) = account.texts(CONTROL)
    assert json.loads(stand_in) == {
        "$type": "DurableTask.AzureStorage.MessageData",
        "ActivityId": "00000000-0000-0000-0000-000000000000",
        "TaskMessage": None,
        "CompressedBlobName": name,
        "SequenceNumber": 0,
        "Sender": None,
        "SerializableTraceContext": None,
    }
    envelope = json.loads(account.blob_text(name))
    assert envelope["TaskMessage"]["Event"]["Input"] == text
    assert envelope["CompressedBlobName"] is None
    (instance,) = account.rows("Instances")
    assert instance["Input"] == f"{account.blobs.url.rstrip('/')}/{account.lower}-largemessages/{name}"


async def test_the_row_of_a_held_partition_names_its_owner_and_that_of_a_released_one_is_empty(
    options: StorageOptions, account: Account
) -> None:
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()

        def all_owned() -> bool:
            return all(row.get("CurrentOwner") == "host-a" for row in account.rows("Partitions"))

        await eventually(all_owned)
        row = account.rows("Partitions")[0]
        assert set(row) == {
            "PartitionKey",
            "RowKey",
            "CurrentOwner",
            "OwnedSince",
            "LastRenewal",
            "ExpiresAt",
            "IsDraining",
        }
        assert row["ExpiresAt"] - row["LastRenewal"] == timedelta(minutes=1)
        assert row["IsDraining"] is False
        # The app lease is not taken, because under a foreign id it would keep a real host waiting.
        info = account.blobs.get_blob_client(f"{account.lower}-applease", f"{account.lower}-appleaseinfo")
        assert info.get_blob_properties().lease.state == "available"
    assert all("CurrentOwner" not in row for row in account.rows("Partitions"))


async def test_leftovers_of_a_longer_execution_are_kept_and_not_read(
    options: StorageOptions, hub: TaskHub, account: Account
) -> None:
    item = await begun(hub)
    tasks = tuple(TaskScheduled(timestamp=AT, event_id=number, name="T") for number in range(20))
    await hub.complete_orchestration(item, build.checkpoint(item, *tasks, output="1"))
    await hub.start_instance(build.start("order-42"), overridable=OVERRIDABLE)
    second = await next_item(hub)
    done = build.checkpoint(second)
    await hub.complete_orchestration(second, done)

    rows = account.rows("History")
    assert len(rows) == 25
    assert [row["ExecutionId"] for row in rows[:3]] == [second.execution_id] * 3
    assert {row["ExecutionId"] for row in rows[3:-1]} == {EXECUTION_ID}
    assert rows[-1]["ExecutionId"] == second.execution_id
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_task_hub(options, SystemClock()))
        assert await other.read_history("order-42") == done.new_events


async def test_the_token_of_a_page_is_the_services_own_in_the_form_of_a_real_host(idle_hub: TaskHub) -> None:
    for number in range(3):
        await idle_hub.start_instance(build.start(f"order-{number}"), overridable=OVERRIDABLE)
    page = await idle_hub.list_instances(query=build.EVERYTHING, page_size=2)
    partition_key, _, row_key = (page.continuation_token or "").partition(" ")
    assert base64.b64decode(partition_key).decode() == "order-2"
    assert row_key == ""
