"""The operations of clients on instances, and the ones that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durablehost.app.model import TriggerKind
from durablehost.core.ids import fits_a_key
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceQuery
from durablehost.errors import InstanceExists, RequestError, StaleCheckpoint
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub
from packages.durablehost.tests.unit.engine.scripted import APP


@pytest.fixture
def hub() -> MemoryTaskHub:
    return MemoryTaskHub(ManualClock())


@pytest.fixture
def client(hub: MemoryTaskHub) -> OrchestrationClient:
    return OrchestrationClient(hub, APP.of_kind(TriggerKind.ORCHESTRATION), ManualClock())


async def finish(hub: MemoryTaskHub, instance_id: str) -> None:
    record = hub.storage.records[instance_id]
    hub.storage.records[instance_id] = replace(record, runtime_status=RuntimeStatus.COMPLETED)


async def test_an_id_is_generated_if_none_is_given(client: OrchestrationClient) -> None:
    instance_id = await client.start("Chain")
    assert len(instance_id) == 32
    record = await client.get(instance_id)
    assert record is not None
    assert record.runtime_status is RuntimeStatus.PENDING


@pytest.mark.parametrize(("asked", "version"), [(None, "2.0"), ("1.1", "1.1"), ("", "")])
async def test_an_instance_has_the_version_it_is_given_or_the_default(
    hub: MemoryTaskHub, asked: str | None, version: str
) -> None:
    functions = APP.of_kind(TriggerKind.ORCHESTRATION)
    client = OrchestrationClient(hub, functions, ManualClock(), default_version="2.0")
    await client.start("Chain", instance_id="one", version=asked)
    assert hub.storage.records["one"].version == version


async def test_a_restart_is_of_the_default_version(hub: MemoryTaskHub) -> None:
    client = OrchestrationClient(hub, APP.of_kind(TriggerKind.ORCHESTRATION), ManualClock(), default_version="2.0")
    await client.start("Chain", instance_id="one", version="1.1")
    again = await client.restart("one", with_new_id=True)
    assert hub.storage.records[again].version == "2.0"


async def test_an_instance_has_no_version_if_there_is_no_default(
    hub: MemoryTaskHub, client: OrchestrationClient
) -> None:
    await client.start("Chain", instance_id="one")
    assert hub.storage.records["one"].version is None


async def test_an_unknown_orchestrator_is_refused_with_the_known_ones(client: OrchestrationClient) -> None:
    with pytest.raises(RequestError, match="known orchestrator functions: 'Chain', 'Other'") as error:
        await client.start("Say")
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("instance_id", "problem"),
    [
        ("@x", "must not start with @"),
        ("a/b", "must not contain /"),
        ("a\x07", "control characters"),
        ("a\u2028", "control characters"),
        ("a" * 257, "must not exceed 256 characters"),
        ("a\ud800", "must be text that UTF-8 can carry"),
    ],
)
async def test_an_id_that_is_not_allowed_is_refused(
    client: OrchestrationClient, instance_id: str, problem: str
) -> None:
    with pytest.raises(RequestError, match=problem):
        await client.start("Chain", instance_id=instance_id)


async def test_a_version_too_long_for_a_row_is_refused(client: OrchestrationClient) -> None:
    with pytest.raises(RequestError, match="Versions must not exceed 4096 characters"):
        await client.start("Chain", version="1" * 4097)


@pytest.mark.parametrize("instance_id", ["x" * 513, "\ud800"])
def test_an_id_that_fits_no_table_key_belongs_to_no_instance(instance_id: str) -> None:
    assert not fits_a_key(instance_id)


async def test_a_running_instance_is_not_replaced(client: OrchestrationClient) -> None:
    await client.start("Chain", instance_id="one")
    with pytest.raises(InstanceExists, match="with the status Pending already exists"):
        await client.start("Chain", instance_id="one")


async def test_a_finished_instance_is_replaced(client: OrchestrationClient, hub: MemoryTaskHub) -> None:
    await client.start("Chain", instance_id="one")
    before = await client.get("one")
    await finish(hub, "one")
    await client.start("Other", instance_id="one")
    after = await client.get("one")
    assert before is not None
    assert after is not None
    assert (after.name, after.runtime_status) == ("Other", RuntimeStatus.PENDING)
    assert after.execution_id != before.execution_id


async def test_termination_needs_a_running_instance(client: OrchestrationClient, hub: MemoryTaskHub) -> None:
    with pytest.raises(RequestError) as unknown:
        await client.terminate("one", "why")
    await client.start("Chain", instance_id="one")
    await finish(hub, "one")
    with pytest.raises(RequestError) as finished:
        await client.terminate("one", "why")
    assert (unknown.value.status, finished.value.status) == (404, 410)


async def test_only_a_finished_instance_is_purged(client: OrchestrationClient, hub: MemoryTaskHub) -> None:
    assert not await client.purge("one")
    await client.start("Chain", instance_id="one")
    with pytest.raises(RequestError) as running:
        await client.purge("one")
    assert running.value.status == 412
    await finish(hub, "one")
    assert await client.purge("one")
    assert await client.get("one") is None


@pytest.mark.parametrize(
    ("statuses", "kept"),
    [
        (set(), ["one", "three"]),
        ({RuntimeStatus.PENDING}, ["one", "three", "two"]),
        ({RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED}, ["one", "three", "two"]),
        ({RuntimeStatus.FAILED}, ["one", "three", "two"]),
        ({RuntimeStatus.PENDING, RuntimeStatus.FAILED}, ["one", "three", "two"]),
        ({RuntimeStatus.PENDING, RuntimeStatus.COMPLETED}, ["one", "three"]),
    ],
)
async def test_a_purge_by_filter_removes_only_finished_instances_of_the_named_statuses(
    client: OrchestrationClient, hub: MemoryTaskHub, statuses: set[RuntimeStatus], kept: list[str]
) -> None:
    for instance_id in ("one", "two", "three"):
        await client.start("Chain", instance_id=instance_id)
    await finish(hub, "two")
    assert await client.purge_matching(InstanceQuery(statuses=frozenset(statuses))) == 3 - len(kept)
    assert sorted(hub.storage.records) == kept


async def test_what_a_process_remembers_of_an_instance_is_forgotten_with_it(hub: MemoryTaskHub) -> None:
    forgotten: list[str] = []
    functions = APP.of_kind(TriggerKind.ORCHESTRATION)
    client = OrchestrationClient(hub, functions, ManualClock(), on_purged=forgotten.append)
    for instance_id in ("one", "two", "three"):
        await client.start("Chain", instance_id=instance_id)
    await finish(hub, "one")
    await finish(hub, "two")
    await client.purge("one")
    await client.purge_matching(InstanceQuery())
    assert forgotten == ["one", "two"]


async def test_only_failed_instances_are_rewound(client: OrchestrationClient) -> None:
    instance_id = await client.start("Chain")
    with pytest.raises(RequestError, match="has status Pending, but only orchestrations in the") as error:
        await client.rewind(instance_id, "why not")
    assert error.value.status == 412
    with pytest.raises(RequestError) as error:
        await client.rewind("nowhere", "why not")
    assert error.value.status == 404


async def test_an_input_that_get_input_fails_on_is_logged_with_what_to_send_instead(
    client: OrchestrationClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.start("Chain", instance_id="good", input_text='"5"')
    await client.start("Chain", instance_id="bad", input_text="5")
    assert caplog.messages == [
        "The input of the instance 'bad' of 'Chain': get_input() fails on a number, here as in Azure. "
        'Send an object, or JSON text in a JSON string, such as "5".'
    ]


async def test_a_rewind_of_an_instance_that_changes_meanwhile_is_refused(
    hub: MemoryTaskHub, client: OrchestrationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rewind(instance_id: str, reason: str) -> None:
        raise StaleCheckpoint("a row is gone")

    await client.start("Chain", instance_id="one")
    hub.storage.records["one"] = replace(hub.storage.records["one"], runtime_status=RuntimeStatus.FAILED)
    monkeypatch.setattr(hub, "rewind_instance", rewind)
    with pytest.raises(RequestError, match="has changed meanwhile") as error:
        await client.rewind("one", "again")
    assert error.value.status == 412
