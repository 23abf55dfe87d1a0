"""A hub that another host left in the middle of an orchestration is continued, and the other host can continue it too.

The rows and messages are written here by hand, after the description of the Azure Storage provider, without any code of
durablehost: once as releases since 2.0 write them, once as releases before did.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord, TaskHub
from packages.durablehost.tests.contract.account import CONTROL, EXECUTION_ID, Account
from packages.durablehost.tests.contract.test_crashes import ChainOfOne, completed, engine_on
from packages.durablehost.tests.eventually import eventually

ENTITY_TIME = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)
ORDER = {"InstanceId": "order-42", "ExecutionId": EXECUTION_ID}
TYPED_ORDER = {"$type": "DurableTask.Core.OrchestrationInstance", **ORDER}


def history_row(
    index: int, event_type: str, *, event_id: int = -1, is_played: bool = False, **own: Any
) -> dict[str, Any]:
    return {
        "PartitionKey": "order-42",
        "RowKey": f"{index:016X}",
        "EventId": event_id,
        "IsPlayed": is_played,
        "_Timestamp": ENTITY_TIME + timedelta(seconds=index),
        "EventType": event_type,
        "ExecutionId": EXECUTION_ID,
        **own,
    }


def first_episode(*, null: str | None) -> list[dict[str, Any]]:
    """`null` is the content of an empty JSON column: the text `null`, or None for no column."""
    nulls: dict[str, Any] = (
        {} if null is None else dict.fromkeys(("ParentInstance", "Tags", "ParentTraceContext"), null)
    )
    instance = json.dumps(ORDER)
    started: dict[str, Any] = {
        "OrchestrationInstance": instance,
        "Name": "Chain",
        "Version": "",
        "Input": '"in"',
        "Generation": 0,
    }
    tags: dict[str, Any] = {"Tags": null} if null else {}
    sentinel = {"PartitionKey": "order-42", "RowKey": "sentinel", "ExecutionId": EXECUTION_ID}
    return [
        history_row(0, "OrchestratorStarted"),
        history_row(1, "ExecutionStarted", is_played=True, **started, **nulls),
        history_row(2, "TaskScheduled", event_id=0, Name="Say", Version="", **tags),
        history_row(3, "OrchestratorCompleted"),
        {**sentinel, "IsCheckpointComplete": True, "CheckpointCompletedTimestamp": ENTITY_TIME},
    ]


def instance_row(hub_name: str) -> dict[str, Any]:
    return {
        "PartitionKey": "order-42",
        "RowKey": "",
        "ExecutionId": EXECUTION_ID,
        "Name": "Chain",
        "Version": "",
        "Input": '"in"',
        "CustomStatus": "null",
        "RuntimeStatus": "Running",
        "CreatedTime": ENTITY_TIME,
        "LastUpdatedTime": ENTITY_TIME,
        "TaskHubName": hub_name,
    }


def envelope(event: dict[str, Any], *, context: dict[str, Any] | None = None) -> str:
    message = {
        "$type": "DurableTask.Core.TaskMessage",
        "Event": {**event, "IsPlayed": False, "Timestamp": "2026-01-05T10:00:04.1234567Z"},
        "SequenceNumber": 0,
        "OrchestrationInstance": TYPED_ORDER,
        "OrchestrationExecutionContext": context,
    }
    return json.dumps(
        {
            "$type": "DurableTask.AzureStorage.MessageData",
            "ActivityId": "3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11",
            "TaskMessage": message,
            "CompressedBlobName": None,
            "SequenceNumber": 7,
            "Episode": 1,
            "Sender": ORDER,
            "SerializableTraceContext": None,
        }
    )


COMPLETED = envelope(
    {
        "$type": "DurableTask.Core.History.TaskCompletedEvent",
        "EventType": 5,
        "TaskScheduledId": 0,
        "Result": '"hello"',
        "EventId": -1,
    }
)
SCHEDULED = envelope(
    {
        "$type": "DurableTask.Core.History.TaskScheduledEvent",
        "EventType": 4,
        "Name": "Say",
        "Version": "",
        "Input": '["\\"in\\""]',
        "ParentTraceContext": None,
        "Tags": None,
        "EventId": 0,
    },
    context={"$type": "DurableTask.Core.OrchestrationExecutionContext", "OrchestrationTags": {}},
)


def left_behind(account: Account, *, null: str | None) -> None:
    history = account.tables.get_table_client(f"{account.hub_name}History")
    for row in first_episode(null=null):
        history.create_entity(row)
    account.tables.get_table_client(f"{account.hub_name}Instances").create_entity(instance_row(account.hub_name))


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def end_on(hub: TaskHub) -> InstanceRecord:
    await hub.start()
    async with engine_on(hub, ChainOfOne()):
        record = await eventually(lambda: completed(hub))
    assert record is not None
    return record


@pytest.mark.parametrize(
    "queue_text", [str, lambda text: base64.b64encode(text.encode()).decode()], ids=["raw", "base64"]
)
@pytest.mark.parametrize("null", ["null", None], ids=["since-2.0", "before-2.0"])
async def test_a_result_in_a_foreign_queue_completes_a_foreign_instance(
    idle_hub: TaskHub, account: Account, queue_text: Any, null: str | None
) -> None:
    left_behind(account, null=null)
    account.put(CONTROL, queue_text(COMPLETED))

    record = await end_on(idle_hub)
    assert (record.runtime_status, record.output, record.input) == (RuntimeStatus.COMPLETED, '"hello"', '"in"')


async def test_a_foreign_activity_request_is_run(idle_hub: TaskHub, account: Account) -> None:
    left_behind(account, null="null")
    account.put("-workitems", SCHEDULED)

    assert (await end_on(idle_hub)).output == '"hello"'


async def test_the_rows_of_the_other_host_are_left_unchanged(idle_hub: TaskHub, account: Account) -> None:
    left_behind(account, null="null")
    before = account.rows("History")[:4]
    account.put(CONTROL, COMPLETED)
    await end_on(idle_hub)

    *rows, sentinel = account.rows("History")
    assert rows[:4] == before
    assert [row["EventType"] for row in rows[4:]] == [
        "OrchestratorStarted",
        "TaskCompleted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert [row["RowKey"] for row in rows] == [f"{index:016X}" for index in range(8)]
    assert (sentinel["RowKey"], sentinel["ExecutionId"]) == ("sentinel", EXECUTION_ID)
    assert account.stored(CONTROL) == account.stored("-workitems") == 0
