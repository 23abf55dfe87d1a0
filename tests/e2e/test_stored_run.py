"""The stored data of a finished run, read with the plain SDKs: the layout of the Azure Storage provider.

The tests of the storage code check the bytes of every row and message; this one checks all parts together.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess
from packages.durablehost.tests.e2e.orchestration import Orchestration, start_run
from packages.durablehost.tests.eventually import eventually_blocking

data_tables = pytest.importorskip("azure.data.tables")
storage_queue = pytest.importorskip("azure.storage.queue")

REQUEST = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T14:00:00Z", "total_chunks": 4}
ODD_ID = "tenant:7~x@1"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A finished run, and the account that its hub is in."""

    run: Orchestration
    host: HostProcess
    hub_name: str
    tables: Any
    queues: Any

    def rows(self, table: str, query: str = "") -> list[Any]:
        with self.tables.get_table_client(f"{self.hub_name}{table}") as client:
            return list(client.query_entities(query) if query else client.list_entities())


@pytest.fixture
def stored(running_host: RunningHost, azurite: Azurite, hub_name: str) -> Iterator[Stored]:
    connect = azurite.connection_string
    with running_host(CHECKOUT) as host:
        run = start_run(host.url, {**REQUEST, "instance_id": ODD_ID})
        run.output()
        with data_tables.TableServiceClient.from_connection_string(connect) as tables:
            with storage_queue.QueueServiceClient.from_connection_string(connect) as queues:
                yield Stored(run=run, host=host, hub_name=hub_name, tables=tables, queues=queues)


def test_a_run_is_stored_as_the_azure_storage_provider_stores_it(stored: Stored) -> None:
    *events, sentinel = stored.rows("History", f"PartitionKey eq '{ODD_ID}'")
    assert [row["RowKey"] for row in events] == [f"{number:016X}" for number in range(len(events))]
    assert_sentinel(sentinel, execution_id=events[0]["ExecutionId"])
    assert {row["ExecutionId"] for row in events} == {sentinel["ExecutionId"]}
    assert_events(events)
    (instance,) = stored.rows("Instances")
    assert_instance(instance, stored.hub_name, execution_id=sentinel["ExecutionId"])
    assert_partitions(stored)
    eventually_blocking(lambda: left_in_queues(stored) == {})


def assert_sentinel(row: Any, *, execution_id: str) -> None:
    assert row.keys() == {
        "PartitionKey",
        "RowKey",
        "ExecutionId",
        "IsCheckpointComplete",
        "CheckpointCompletedTimestamp",
    }
    assert (row["RowKey"], row["ExecutionId"], row["IsCheckpointComplete"]) == ("sentinel", execution_id, True)
    assert isinstance(row["CheckpointCompletedTimestamp"], datetime)


def assert_events(rows: list[Any]) -> None:
    kinds = [row["EventType"] for row in rows]
    assert kinds[:2] == ["OrchestratorStarted", "ExecutionStarted"]
    assert kinds[2:6] == ["TaskScheduled"] * 4
    assert kinds[-2:] == ["ExecutionCompleted", "OrchestratorCompleted"]
    assert kinds.count("OrchestratorStarted") == kinds.count("OrchestratorCompleted")
    for row in rows:
        assert type(row["EventId"]) is int
        assert type(row["IsPlayed"]) is bool
        assert isinstance(row["_Timestamp"], datetime)
    by_kind: dict[str, list[Any]] = {}
    for row in rows:
        by_kind.setdefault(row["EventType"], []).append(row)
    scheduled, completed = by_kind["TaskScheduled"], by_kind["TaskCompleted"]
    assert [(row["EventId"], row["Name"], row["Version"]) for row in scheduled] == [
        (number, "process_chunk_activity", "") for number in range(4)
    ]
    # As by default on the extension, the inputs of activities are only in their messages.
    assert not any("Input" in row for row in scheduled)
    assert sorted(row["TaskScheduledId"] for row in completed) == [0, 1, 2, 3]
    assert {(row["EventId"], row["IsPlayed"]) for row in completed} == {(-1, True)}
    (end,) = by_kind["ExecutionCompleted"]
    assert (end["OrchestrationStatus"], end["EventId"]) == ("Completed", 4)


def assert_instance(row: Any, hub_name: str, *, execution_id: str) -> None:
    texts = {
        "PartitionKey": ODD_ID,
        "RowKey": "",
        "ExecutionId": execution_id,
        "Name": "orchestrator_function",
        "RuntimeStatus": "Completed",
        "TaskHubName": hub_name,
    }
    assert {name: row[name] for name in texts} == texts
    for name in ("CreatedTime", "LastUpdatedTime", "CompletedTime"):
        assert isinstance(row[name], datetime), name
    for name in ("Input", "Output", "CustomStatus"):
        assert type(row[name]) is str, name
    assert row["Generation"] == 0
    assert row["CreatedTime"] <= row["LastUpdatedTime"]


def assert_partitions(stored: Stored) -> None:
    rows = stored.rows("Partitions")
    assert [row["RowKey"] for row in rows] == [f"{stored.hub_name.lower()}-control-0{number}" for number in range(4)]
    (owner,) = {row["CurrentOwner"] for row in rows}
    assert re.fullmatch(rf"{re.escape(socket.gethostname().partition('.')[0])}-\w+-\w+-{stored.host.pid}", owner)
    assert {(row["PartitionKey"], row["IsDraining"]) for row in rows} == {("", False)}
    assert all(row["OwnedSince"] <= row["LastRenewal"] < row["ExpiresAt"] for row in rows)


def left_in_queues(stored: Stored) -> dict[str, int]:
    """The number of messages, visible or not, in each queue of the hub."""
    names = [queue.name for queue in stored.queues.list_queues(name_starts_with=f"{stored.hub_name.lower()}-")]
    assert names == [
        f"{stored.hub_name.lower()}-{name}" for name in (*(f"control-0{n}" for n in range(4)), "workitems")
    ]
    counts = {}
    for name in names:
        with stored.queues.get_queue_client(name) as queue:
            counts[name] = queue.get_queue_properties().approximate_message_count
    return {name: count for name, count in counts.items() if count}
