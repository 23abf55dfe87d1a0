"""Entities in storage, as a real host writes and reads them.

Rule of this file: expected values are written out from the provider's format, never computed by durablehost.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.clock import SystemClock
from durablehost.core.history import EventRaised, OrchestrationInstance
from durablehost.core.ids import EntityId
from durablehost.core.messages import TaskMessage
from durablehost.engine.entities import Entities
from durablehost.engine.entity_client import EntityClient
from durablehost.engine.ports import TaskHub
from packages.durablehost.tests.contract.account import Account, next_item, nothing_comes
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.unit.engine.scripted import function, returned

FUNCTIONS = {"counter": function("Counter", "entityTrigger")}
ALICE = EntityId("counter", "alice")
# The control queue of @counter@alice in a hub with four partitions.
CONTROL = "-control-01"
CALLER = "0f6d2b8c4e1a4c7d9b3a5e6f70819203"


class Adding:
    """An executor that is a counter: it adds inputs, encoded twice as the SDK sends them."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        payload = json.loads(str(invocation.inputs["context"]))
        value = json.loads(payload["state"] or "0")
        results = []
        for operation in payload["batch"]:
            value += json.loads(json.loads(operation["input"]))
            results.append({"isError": False, "duration": 0, "startTime": 0, "result": json.dumps(value)})
        return returned({"entityExists": True, "entityState": json.dumps(value), "results": results, "signals": []})


def entities(hub: TaskHub) -> Entities:
    return Entities(hub, Adding(), FUNCTIONS, SystemClock())


def client(hub: TaskHub) -> EntityClient:
    return EntityClient(hub, FUNCTIONS, SystemClock())


def foreign_request(**members: Any) -> str:
    """A call as a real host sends it for an orchestration, type names and all."""
    request = {
        "$type": "Microsoft.Azure.WebJobs.Extensions.DurableTask.RequestMessage, "
        "Microsoft.Azure.WebJobs.Extensions.DurableTask",
        "op": "add",
        "input": '"5"',
        "id": "6a0d3c55-7d0e-5c1e-8f52-0d6c2f0b9a10",
        "parent": "order-42",
        "parentExecution": CALLER,
        "Timestamp": "2026-01-05T10:00:00.1234567Z",
        "Predecessor": "0001-01-01T00:00:00",
        **members,
    }
    return json.dumps(
        {
            "$type": "DurableTask.AzureStorage.MessageData",
            "ActivityId": "d2719f5c-3c1e-4b0e-9f44-4dbb1f3a4a10",
            "TaskMessage": {
                "$type": "DurableTask.Core.TaskMessage",
                "Event": {
                    "$type": "DurableTask.Core.History.EventRaisedEvent",
                    "EventType": 15,
                    "Name": "op",
                    "Input": json.dumps(request),
                    "ParentTraceContext": None,
                    "EventId": -1,
                    "IsPlayed": False,
                    "Timestamp": "2026-01-05T10:00:00.1234567Z",
                },
                "SequenceNumber": 0,
                "OrchestrationInstance": {
                    "$type": "DurableTask.Core.OrchestrationInstance",
                    "InstanceId": "@counter@alice",
                    "ExecutionId": None,
                },
                "OrchestrationExecutionContext": None,
            },
            "CompressedBlobName": None,
            "SequenceNumber": 7,
            "Episode": 1,
            "Sender": {"InstanceId": "order-42", "ExecutionId": CALLER},
            "SerializableTraceContext": None,
        }
    )


async def test_a_signal_of_a_client_is_one_message_without_a_sender(idle_hub: TaskHub, account: Account) -> None:
    await client(idle_hub).signal(ALICE, "add", '"3"')
    (text,) = account.texts(CONTROL)
    envelope = json.loads(text)
    assert envelope["Sender"] == {"InstanceId": "", "ExecutionId": ""}
    assert "Episode" not in envelope
    message = envelope["TaskMessage"]
    assert message["OrchestrationInstance"] == {
        "$type": "DurableTask.Core.OrchestrationInstance",
        "InstanceId": "@counter@alice",
        "ExecutionId": None,
    }
    assert (message["Event"]["EventType"], message["Event"]["Name"]) == (15, "op")
    request = json.loads(message["Event"]["Input"])
    assert list(request) == ["op", "signal", "input", "id", "Timestamp", "Predecessor"]
    assert (request["op"], request["signal"], request["input"]) == ("add", True, '"3"')


async def test_an_episode_of_an_entity_stores_three_rows_one_record_and_one_result(
    hub: TaskHub, account: Account
) -> None:
    before = build.now()
    account.put(CONTROL, foreign_request())
    await entities(hub).process(await next_item(hub))

    *rows, sentinel = account.rows("History")
    assert [row["RowKey"] for row in rows] == [f"000000000000000{number}" for number in range(3)]
    assert [row["EventType"] for row in rows] == ["OrchestratorStarted", "ExecutionStarted", "OrchestratorCompleted"]
    (execution_id,) = {row["ExecutionId"] for row in (*rows, sentinel)}
    assert len(execution_id) == 32
    start = rows[1]
    state = json.loads(start["Input"])
    assert (start["Name"], start["Version"]) == ("@counter@alice", "")
    assert state == {
        "exists": True,
        "state": "5",
        "sorter": {
            "ReceivedFromInstance": {"order-42": {"Last": "2026-01-05T10:00:00.1234567Z", "ExecutionId": CALLER}},
            "ReceiveHorizon": "2026-01-05T09:30:00.1234567Z",
        },
    }
    (record,) = account.rows("Instances")
    assert before <= record.pop("LastUpdatedTime") == record.pop("CreatedTime") <= build.now()
    assert record == {
        "PartitionKey": "@counter@alice",
        "RowKey": "",
        "ExecutionId": execution_id,
        "Name": "@counter@alice",
        "Version": "",
        "Input": start["Input"],
        "CustomStatus": '{"entityExists":true}',
        "RuntimeStatus": "Running",
        "Tags": "null",
        "ParentInstanceId": "",
        "TaskHubName": account.hub_name,
    }
    reply = (await next_item(hub)).messages[0].message
    assert reply.target == OrchestrationInstance(instance_id="order-42", execution_id=CALLER)
    assert reply.sender == OrchestrationInstance(instance_id="@counter@alice", execution_id=execution_id)
    assert isinstance(reply.event, EventRaised)
    assert (reply.event.name, reply.event.input) == (
        "6a0d3c55-7d0e-5c1e-8f52-0d6c2f0b9a10",
        '{"$type":"Microsoft.Azure.WebJobs.Extensions.DurableTask.ResponseMessage, '
        'Microsoft.Azure.WebJobs.Extensions.DurableTask","result":"5"}',
    )


async def test_every_episode_begins_a_new_execution_over_the_old_one(hub: TaskHub, account: Account) -> None:
    seen = set()
    for value in ('"1"', '"2"', '"3"'):
        await client(hub).signal(ALICE, "add", value)
        await entities(hub).process(await next_item(hub))
        rows = account.rows("History")
        assert len(rows) == 4
        seen.add(rows[0]["ExecutionId"])
    assert len(seen) == 3
    assert await client(hub).state(ALICE) == "6"
    assert await eventually(lambda: account.stored(CONTROL) == 0)


async def test_the_episode_of_another_host_is_continued(hub: TaskHub, account: Account) -> None:
    account.put(CONTROL, foreign_request())
    await entities(hub).process(await next_item(hub))
    second = {"id": "2", "Timestamp": "2026-01-05T10:00:00.1234568Z", "Predecessor": "2026-01-05T10:00:00.1234567Z"}
    third = {"id": "3", "Timestamp": "2026-01-05T10:00:01Z", "Predecessor": "2026-01-05T10:00:00.1234568Z"}
    account.put(CONTROL, foreign_request(**third))
    while (item := await next_item(hub)).instance_id != "@counter@alice":
        await hub.abandon_orchestration(item)
    await entities(hub).process(item)
    assert await client(hub).state(ALICE) == "5"
    account.put(CONTROL, foreign_request(**second))
    await entities(hub).process(await next_item(hub))
    assert await client(hub).state(ALICE) == "15"


async def test_a_large_state_is_kept_in_a_blob_and_purged_with_its_entity(hub: TaskHub, account: Account) -> None:
    class Large(Adding):
        async def invoke(self, invocation: Invocation) -> InvocationResult:
            state, result = json.dumps("x" * 100_000), {"isError": False, "result": "null"}
            return returned({"entityExists": True, "entityState": state, "results": [result], "signals": []})

    await client(hub).signal(ALICE, "enlarge", None)
    await Entities(hub, Large(), FUNCTIONS, SystemClock()).process(await next_item(hub))
    assert json.loads(await client(hub).state(ALICE) or "") == "x" * 100_000
    (record,) = account.rows("Instances")
    assert record["Input"].startswith("http")
    assert await hub.purge_instance("@counter@alice")
    assert (account.blob_names(), account.rows("Instances"), account.rows("History")) == ([], [], [])


async def test_a_scheduled_signal_is_hidden_until_its_time(hub: TaskHub, account: Account) -> None:
    due_at = build.now() + timedelta(seconds=1.5)
    text = due_at.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    request = {"op": "add", "signal": True, "input": '"1"', "id": "1", "due": text}
    event = EventRaised(timestamp=build.now(), name=f"op@{text}", input=json.dumps(request))
    target = OrchestrationInstance(instance_id="@counter@alice", execution_id=None)
    await hub.send(TaskMessage(event=event, target=target))
    assert await nothing_comes(hub)
    item = await next_item(hub)
    assert build.now() >= due_at
    await entities(hub).process(item)
    assert await client(hub).state(ALICE) == "1"
