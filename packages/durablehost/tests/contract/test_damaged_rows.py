"""Damaged rows and blobs: their readable parts are served, and other instances go on."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.clock import SystemClock
from durablehost.core.history import (
    ExecutionStarted,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationInstanceFailed,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.entity_client import EntityQuery
from durablehost.engine.ports import TaskHub
from durablehost.errors import UnreadableState
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.signing import Request
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import (
    CONTROL,
    ORDER,
    OVERRIDABLE,
    Account,
    begun,
    next_item,
    nothing_comes,
)
from packages.durablehost.tests.contract.test_crashes import ChainOfOne, completed, engine_on
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs import build

EDM = "@odata.type"


def damage(account: Account, table: str, partition_key: str, row_key: str, **columns: Any) -> None:
    client = account.tables.get_table_client(f"{account.hub_name}{table}")
    client.upsert_entity({"PartitionKey": partition_key, "RowKey": row_key, **columns})


ODD_COLUMNS: dict[str, Any] = {
    "CreatedTime": "hello",
    "LastUpdatedTime": 5,
    "CompletedTime": True,
    "RuntimeStatus": 7,
    "Name": 1.5,
    "Version": 3,
    "Output": 4,
    "CustomStatus": 9,
    "ExecutionId": 11,
    "Generation": "first",
    "Input": 6,
}


async def test_a_damaged_record_is_shown_as_such_and_the_others_are_listed(hub: TaskHub, account: Account) -> None:
    for instance_id in ("a", "b", "c"):
        await hub.start_instance(build.start(instance_id, input_text="1"), overridable=OVERRIDABLE)
    damage(account, "Instances", "b", "", **ODD_COLUMNS)
    page = await hub.list_instances(build.EVERYTHING, page_size=10)
    assert [(each.instance_id, each.problem is None) for each in page.records] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    record = await hub.get_instance("b")
    assert record is not None
    assert all(column in (record.problem or "") for column in ODD_COLUMNS)
    without_input = await hub.list_instances(build.EVERYTHING, page_size=10, with_input=False)
    assert [each.problem is None for each in without_input.records] == [True, False, True]


async def test_columns_of_a_wrong_type_are_no_error(hub: TaskHub, account: Account) -> None:
    """Azurite stores such columns unchecked."""
    await hub.start_instance(build.start("a"), overridable=OVERRIDABLE)
    body = {
        "PartitionKey": "b", "RowKey": "", "Name": "N", "CreatedTime": "hello", f"CreatedTime{EDM}": "Edm.DateTime",
        "Generation": "x", f"Generation{EDM}": "Edm.Int64",
    }  # fmt: skip
    hub_services = hub._services  # type: ignore[attr-defined]
    await hub_services.table_service.send(_insert(f"{account.hub_name}Instances", body))
    page = await hub.list_instances(build.EVERYTHING, page_size=10)
    assert [each.problem is None for each in page.records] == [True, False]


def _insert(table: str, body: dict[str, Any]) -> Request:
    headers = {
        "Accept": "application/json;odata=minimalmetadata",
        "DataServiceVersion": "3.0",
        "Content-Type": "application/json",
    }
    return Request(method="POST", path=table, headers=headers, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bno gzip", gzip.compress("x".encode("utf-16")), b"\xff\xfe\x00", None],
    ids=["no gzip", "UTF-16 in gzip", "no UTF-8", "no blob"],
)
async def test_a_payload_whose_blob_is_damaged_leaves_the_rest_of_its_record(
    hub: TaskHub, account: Account, content: bytes | None
) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, output="x" * 40_000))
    container = account.blobs.get_container_client(f"{account.lower}-largemessages")
    for name in account.blob_names():
        if content is None:
            container.delete_blob(name)
        else:
            container.upload_blob(name, content, overwrite=True)
    (record,) = (await hub.list_instances(build.EVERYTHING, page_size=10)).records
    assert record.runtime_status is RuntimeStatus.COMPLETED
    assert "the output cannot be read" in (record.problem or "")
    with pytest.raises(UnreadableState):
        await hub.read_history("order-42")
    with pytest.raises(UnreadableState, match="cannot be started again"):
        await client_of(hub).restart("order-42", with_new_id=True)
    assert await client_of(hub).purge("order-42")


def client_of(hub: TaskHub) -> OrchestrationClient:
    return OrchestrationClient(hub, None, SystemClock())


async def test_a_damaged_entity_is_listed_beside_the_others_and_can_be_purged(hub: TaskHub, account: Account) -> None:
    for key in ("a", "b"):
        damage(
            account, "Instances", f"@counter@{key}", "", CustomStatus='{"entityExists":true}', RuntimeStatus="Running",
            Input='{"exists":true,"state":"1"}' if key == "a" else '{"exists":true,"state":{"no":"text"}}',
        )  # fmt: skip
    entities = client_of(hub).entities
    page = await entities.list(EntityQuery(), page_size=10, with_state=True)
    assert [each.entity.key for each in page.records] == ["a", "b"]
    assert page.records[0].state == "1"
    assert "unreadable" in (page.records[1].state or "")
    with pytest.raises(UnreadableState, match="purge it"):
        await entities.state(page.records[1].entity)
    assert await client_of(hub).purge("@counter@b")


@asynccontextmanager
async def second_host(options: StorageOptions, hub: TaskHub) -> AsyncIterator[TaskHub]:
    """A host that has seen none of the histories."""
    await hub.stop()
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        await second.start()
        yield second


DAMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "an event of no known type": ("0000000000000001", {"EventType": "Novelty"}),
    "a text for a time": ("0000000000000000", {"_Timestamp": "hello"}),
    "a number for a text": ("0000000000000001", {"Name": 5}),
    "no JSON": ("0000000000000001", {"OrchestrationInstance": "{"}),
    "a blob that is gone": ("0000000000000001", {"InputBlobName": "order-42/gone.json.gz"}),
    "a blob of no name": ("0000000000000001", {"InputBlobName": 5}),
    "an execution id that is a number": ("0000000000000001", {"ExecutionId": 5}),
    "a row of another execution in between": ("0000000000000001", {"ExecutionId": "another"}),
    "a sentinel whose execution id is a number": ("sentinel", {"ExecutionId": 5}),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_an_instance_with_a_damaged_history_stops_no_other_and_can_be_terminated_and_purged(
    options: StorageOptions, hub: TaskHub, account: Account, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    row_key, columns = DAMAGES[kind]
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))
    damage(account, "History", "order-42", row_key, **columns)
    async with second_host(options, hub) as second:
        await second.send(build.event_raised("order-42", "x"))
        await second.send(build.event_raised("parcel-1", "x"))
        assert (await next_item(second)).instance_id == "parcel-1"
        assert await nothing_comes(second)
        assert account.stored(CONTROL) == 1
        with pytest.raises(UnreadableState):
            await second.read_history("order-42")
        client = client_of(second)
        await client.terminate("order-42", "enough")
        assert await nothing_comes(second)
        record = await second.get_instance("order-42")
        assert record is not None
        assert (record.runtime_status, record.output) == (RuntimeStatus.TERMINATED, "enough")
        # The instance may be replaced by a new one, or purged.
        await second.start_instance(build.start("order-42"), overridable=OVERRIDABLE)
        assert (await next_item(second)).history == ()
        assert await second.purge_instance("order-42")
    assert account.rows("History") == []
    assert len([each for each in caplog.records if "Instance 'order-42' waits" in each.getMessage()]) == 1


async def test_a_terminated_child_with_a_damaged_history_still_sends_a_result_to_its_parent(
    options: StorageOptions, hub: TaskHub, account: Account
) -> None:
    parent = OrchestrationInstance(instance_id="parent", execution_id="p1")
    start = ExecutionStarted(
        timestamp=build.now(),
        orchestration_instance=ORDER,
        name="Child",
        parent_instance=ParentInstance(name="Parent", orchestration_instance=parent, task_schedule_id=4),
    )
    await hub.send(TaskMessage(event=start, target=ORDER, sender=parent))
    item = await next_item(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))
    damage(account, "History", "order-42", "0000000000000002", _Timestamp="hello")
    async with second_host(options, hub) as second:
        await client_of(second).terminate("order-42", "enough")
        reply = (await next_item(second)).messages[0].message
    assert reply.target == parent
    assert isinstance(reply.event, SubOrchestrationInstanceFailed)
    assert reply.event.task_scheduled_id == 4


ODD_LEASES: dict[str, dict[str, Any]] = {
    "a text where a time should be": {"ExpiresAt": "hello", "CurrentOwner": "host-z"},
    "a number for an owner": {"CurrentOwner": 5},
    "a text for a flag": {"IsDraining": "no", "CurrentOwner": "host-z"},
}


async def test_a_damaged_lease_is_taken_and_the_others_are_kept(
    idle_hub: TaskHub, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    for partition, columns in zip(("00", "01", "02"), ODD_LEASES.values(), strict=True):
        damage(account, "Partitions", "", f"{account.lower}-control-{partition}", **columns)
    damage(account, "Partitions", "", "no partition", CurrentOwner=5)
    await idle_hub.start()
    async with engine_on(idle_hub, ChainOfOne()):
        await idle_hub.start_instance(
            build.start("order-42", execution_id=ORDER.execution_id, name="Chain"), overridable=OVERRIDABLE
        )
        assert await eventually(lambda: completed(idle_hub))
    rows = [row for row in account.rows("Partitions") if row["RowKey"].startswith(account.lower)]
    assert [row["CurrentOwner"] for row in rows] == ["host-a"] * 4
    assert caplog.text.count("is damaged and counts as free") == 3
