"""The SDK's own client against the RPC base: the answers are right if the client understands them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func
import pytest
from azure.durable_functions import DurableOrchestrationClient, EntityId, OrchestrationRuntimeStatus
from azure.durable_functions.models.utils import http_utils

from durablehost.app.model import Binding, Direction
from durablehost.core.history import ExecutionStarted, OrchestrationInstance, OrchestratorStarted
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN

pytestmark = pytest.mark.filterwarnings("ignore:enable_cleanup_closed:DeprecationWarning")

BINDING = Binding(
    name="starter",
    type="durableClient",
    direction=Direction.IN,
    properties={"type": "durableClient", "name": "starter"},
)
REQUEST = func.HttpRequest("POST", "https://example.test/api/start", body=b"")


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[Any]:
    yield DurableOrchestrationClient(edge.links.client_input(BINDING), "invocation-1")
    await http_utils._close_session()


async def test_start_new_returns_the_id_and_stores_the_input_encoded_twice(client: Any, edge: Edge) -> None:
    instance_id = await client.start_new("Orch", None, {"a": 1})

    assert len(instance_id) == 32
    assert edge.hub.records[instance_id].input == json.dumps('{"a": 1}')


async def test_start_new_takes_an_id_with_a_space_and_a_version(client: Any, edge: Edge) -> None:
    assert await client.start_new("orch", "id 1", "Tokyo", "1.0 x") == "id 1"

    record = edge.hub.records["id 1"]
    assert (record.name, record.version, record.input) == ("Orch", "1.0 x", json.dumps('"Tokyo"'))


async def test_start_new_without_input_stores_none(client: Any, edge: Edge) -> None:
    assert edge.hub.records[await client.start_new("Orch")].input is None


async def test_start_new_of_an_unknown_orchestrator_lists_the_known_ones(client: Any) -> None:
    with pytest.raises(Exception, match=r"'Nope' doesn't exist.*known orchestrator functions: 'Orch'"):
        await client.start_new("Nope")


async def test_start_new_with_a_bad_id_raises_with_the_reason(client: Any) -> None:
    with pytest.raises(Exception, match="must not start with @"):
        await client.start_new("Orch", "@x")


async def test_start_new_of_a_running_id_raises_with_the_status(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.RUNNING)

    with pytest.raises(Exception, match="status Running already exists"):
        await client.start_new("Orch", "x")


async def test_get_status_reads_every_field(client: Any, edge: Edge) -> None:
    edge.hub.add("x", input='"in"', custom_status='{"done":1}', output=None)

    status = await client.get_status("x", show_input=True)

    assert status
    assert (status.name, status.instance_id, status.runtime_status) == ("Orch", "x", OrchestrationRuntimeStatus.Running)
    assert (status.input_, status.custom_status, status.output) == ("in", {"done": 1}, None)
    assert status.created_time == BEGIN.replace(microsecond=0)
    assert status.last_updated_time == BEGIN.replace(microsecond=0) + timedelta(seconds=2)


@pytest.mark.parametrize("state", list(RuntimeStatus))
async def test_get_status_understands_every_status(client: Any, edge: Edge, state: RuntimeStatus) -> None:
    edge.hub.add("x", state, output="raw text")

    status = await client.get_status("x", show_history=True, show_history_output=True, show_input=True)

    assert status.runtime_status.name == state.value
    assert status.output == "raw text"


async def test_get_status_of_an_unknown_id_is_falsy(client: Any) -> None:
    assert not await client.get_status("nowhere")


async def test_get_status_shows_the_history(client: Any, edge: Edge) -> None:
    edge.hub.add("x")
    instance = OrchestrationInstance(instance_id="x", execution_id="e1")
    started = ExecutionStarted(timestamp=BEGIN, orchestration_instance=instance, name="Orch", input='"in"')
    edge.hub.histories["x"] = (OrchestratorStarted(timestamp=BEGIN), started)

    with_history = await client.get_status("x", show_history=True)
    without = await client.get_status("x")

    assert [entry["EventType"] for entry in with_history.historyEvents] == ["ExecutionStarted"]
    assert not hasattr(without, "historyEvents")


async def test_get_status_all_lists_every_instance(client: Any, edge: Edge) -> None:
    for name in ("b", "a", "c"):
        edge.hub.add(name)
    edge.hub.page_limit = 1

    assert [status.instance_id for status in await client.get_status_all()] == ["a", "b", "c"]


async def test_get_status_by_applies_every_filter(client: Any, edge: Edge) -> None:
    edge.hub.add("pre-1")
    edge.hub.add("pre-2", RuntimeStatus.FAILED)
    edge.hub.add("pre-3", created_at=BEGIN - timedelta(hours=2))
    edge.hub.add("pre-4", created_at=BEGIN + timedelta(hours=2))
    edge.hub.add("other")

    found = await client.get_status_by(
        BEGIN - timedelta(hours=1),
        BEGIN + timedelta(hours=1),
        [OrchestrationRuntimeStatus.Running, OrchestrationRuntimeStatus.Completed],
        "pre",
    )

    assert [status.instance_id for status in found] == ["pre-1"]


async def test_get_status_by_sends_times_to_the_microsecond(client: Any, edge: Edge) -> None:
    edge.hub.add("x")

    assert await client.get_status_by(BEGIN, BEGIN)
    assert not await client.get_status_by(BEGIN + timedelta(microseconds=1))


async def test_terminate_ends_the_instance_with_the_reason(client: Any, edge: Edge) -> None:
    edge.hub.add("x y")

    await client.terminate("x y", "no more & done")

    assert edge.hub.records["x y"].output == "no more & done"
    await client.terminate("x y", "again")  # finished: 410, which the client treats as success


async def test_terminate_of_an_unknown_id_raises(client: Any) -> None:
    with pytest.raises(Exception, match="No instance with ID 'nowhere' found"):
        await client.terminate("nowhere", "why")


async def test_purge_returns_the_number_of_removed_instances(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)

    assert (await client.purge_instance_history("x")).instances_deleted == 1
    assert (await client.purge_instance_history("x")).instances_deleted == 0


async def test_purge_of_a_running_instance_raises_and_keeps_it(client: Any, edge: Edge) -> None:
    edge.hub.add("x")

    with pytest.raises(Exception, match="412"):
        await client.purge_instance_history("x")

    assert "x" in edge.hub.records


async def test_purge_by_filter_spares_unfinished_instances(client: Any, edge: Edge) -> None:
    edge.hub.add("done", RuntimeStatus.COMPLETED)
    edge.hub.add("failed", RuntimeStatus.FAILED)
    edge.hub.add("running")
    since = BEGIN - timedelta(days=1)

    failed = await client.purge_instance_history_by(since, None, [OrchestrationRuntimeStatus.Failed])
    running = await client.purge_instance_history_by(since, None, [OrchestrationRuntimeStatus.Running])

    assert [failed.instances_deleted, running.instances_deleted] == [1, 0]
    assert list(edge.hub.records) == ["done", "running"]
    assert (await client.purge_instance_history_by(since)).instances_deleted == 1
    assert list(edge.hub.records) == ["running"]


# Without a time zone, as in the sample.
FIRST, LAST = datetime.min, datetime.max  # noqa: DTZ901


async def test_the_earliest_and_the_latest_time_of_python_bound_a_purge_and_a_listing(client: Any, edge: Edge) -> None:
    """The official sample purges from `datetime.min` to `datetime.max`."""
    edge.hub.add("done", RuntimeStatus.COMPLETED)

    assert [each.instance_id for each in await client.get_status_by(FIRST, LAST)] == ["done"]
    assert (await client.purge_instance_history_by(LAST)).instances_deleted == 0
    assert (await client.purge_instance_history_by(FIRST, FIRST)).instances_deleted == 0
    completed = [OrchestrationRuntimeStatus.Completed]
    assert (await client.purge_instance_history_by(FIRST, LAST, completed)).instances_deleted == 1


async def wait(client: Any) -> func.HttpResponse:
    response: func.HttpResponse = await client.wait_for_completion_or_create_check_status_response(REQUEST, "x", 30, 10)
    return response


async def test_waiting_for_a_completed_instance_gives_its_output(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED, output='{"sum":3}')

    response = await wait(client)

    assert (response.status_code, json.loads(response.get_body())) == (200, {"sum": 3})


async def test_waiting_for_a_failed_instance_gives_its_status_as_500(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED, output="Orchestrator function 'Orch' failed: boom")

    response = await wait(client)

    assert response.status_code == 500
    assert json.loads(response.get_body())["output"] == "Orchestrator function 'Orch' failed: boom"


async def test_waiting_too_long_gives_the_management_urls(client: Any, edge: Edge) -> None:
    edge.hub.add("x")

    response = await wait(client)

    assert response.status_code == 202
    assert json.loads(response.get_body())["id"] == "x"


async def test_check_status_response_has_all_nine_urls_at_the_origin_of_the_request(client: Any) -> None:
    response = client.create_check_status_response(REQUEST, "abc")

    body = json.loads(response.get_body())
    base = "https://example.test/runtime/webhooks/durabletask/instances/abc"
    query = "taskHub=TestHub&connection=Storage"
    assert response.headers["Location"] == f"{base}?{query}"
    assert response.headers["Retry-After"] == "10"
    assert body == {
        "id": "abc",
        "statusQueryGetUri": f"{base}?{query}",
        "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?{query}",
        "terminatePostUri": f"{base}/terminate?reason={{text}}&{query}",
        "rewindPostUri": f"{base}/rewind?reason={{text}}&{query}",
        "purgeHistoryDeleteUri": f"{base}?{query}",
        "restartPostUri": f"{base}/restart?{query}",
        "suspendPostUri": f"{base}/suspend?reason={{text}}&{query}",
        "resumePostUri": f"{base}/resume?reason={{text}}&{query}",
    }


async def test_the_urls_of_a_payload_are_the_same_at_the_origin_of_the_host(client: Any, edge: Edge) -> None:
    body = json.loads(client.create_check_status_response(REQUEST, "abc").get_body())
    assert client.get_client_response_links(REQUEST, "abc") == body
    assert client.create_http_management_payload("abc") == {
        name: value.replace("https://example.test", f"http://localhost:{edge.server.port}")
        for name, value in body.items()
    }


async def test_the_urls_of_a_check_status_response_work(client: Any, edge: Edge) -> None:
    edge.hub.add("x")
    request = func.HttpRequest("POST", f"{edge.url}/api/start", body=b"")
    urls = json.loads(client.create_check_status_response(request, "x").get_body())

    async with edge.session.get(urls["statusQueryGetUri"]) as answer:
        assert answer.status == 202
    async with edge.session.post(urls["terminatePostUri"].replace("{text}", "enough")) as answer:
        assert answer.status == 202
    async with edge.session.delete(urls["purgeHistoryDeleteUri"]) as answer:
        assert await answer.json() == {"instancesDeleted": 1}


async def test_raise_event_sends_the_data_encoded_twice(client: Any, edge: Edge) -> None:
    edge.hub.add("x")

    await client.raise_event("x", "Go", {"by": "kim"})
    (sent,) = edge.hub.sent
    assert (sent.event.name, json.loads(json.loads(sent.event.input))) == ("Go", {"by": "kim"})  # type: ignore[attr-defined]


async def test_raise_event_to_an_unknown_or_finished_instance_raises(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)

    with pytest.raises(Exception, match="No instance with ID"):
        await client.raise_event("nowhere", "Go")
    with pytest.raises(Exception, match="is gone: either completed or failed"):
        await client.raise_event("x", "Go")


async def test_suspend_and_resume_reach_the_instance(client: Any, edge: Edge) -> None:
    edge.hub.add("x")
    edge.hub.add("y", RuntimeStatus.SUSPENDED)

    await client.suspend("x", "a & b")
    await client.resume("y", "go on")
    assert [message.event.reason for message in edge.hub.sent] == ["a & b", "go on"]  # type: ignore[attr-defined]


async def test_restart_gives_the_payload_of_the_new_instance(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)

    payload = await client.restart("x")
    assert payload["id"] in edge.hub.records


async def test_a_signal_is_a_request_with_the_input_encoded_twice(client: Any, edge: Edge) -> None:
    await client.signal_entity(EntityId("Counter", "c"), "add", 3, task_hub_name="TestHub", connection_name="Storage")
    await client.signal_entity(EntityId("Counter", "c"), "get")

    assert [message.target.instance_id for message in edge.hub.sent] == ["@counter@c"] * 2
    requests = [json.loads(message.event.input) for message in edge.hub.sent]  # type: ignore[attr-defined]
    assert [(each["op"], each.get("input")) for each in requests] == [("add", '"3"'), ("get", None)]


async def test_the_state_of_an_entity_is_read_as_its_value(client: Any, edge: Edge) -> None:
    edge.hub.add("@counter@c", input='{"exists":true,"state":"{\\"n\\":3}","sorter":{}}')
    edge.hub.add("@counter@gone", input='{"sorter":{}}')

    found = await client.read_entity_state(EntityId("Counter", "c"))
    assert (found.entity_exists, found.entity_state) == (True, {"n": 3})
    for key in ("gone", "never"):
        assert not (await client.read_entity_state(EntityId("Counter", key))).entity_exists


async def test_a_signal_to_an_unknown_entity_raises(client: Any) -> None:
    with pytest.raises(Exception, match="400"):
        await client.signal_entity(EntityId("Nobody", "c"), "add", 1)


async def test_rewind_reaches_the_instance(client: Any, edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED)

    await client.rewind("x", "why not")
    assert edge.hub.rewound == [("x", "why not")]


async def test_rewind_of_an_instance_that_is_unknown_or_not_failed_raises(client: Any, edge: Edge) -> None:
    edge.hub.add("x")

    with pytest.raises(Exception, match="No instance with ID nowhere found"):
        await client.rewind("nowhere", "why not")
    with pytest.raises(Exception, match="This orchestration has status Running, but only orchestrations in the"):
        await client.rewind("x", "why not")


async def test_a_started_instance_is_seen_by_get_status(client: Any, edge: Edge) -> None:
    instance_id = await client.start_new("Orch", "again", [1, 2])
    edge.hub.records[instance_id] = replace(edge.hub.records[instance_id], runtime_status=RuntimeStatus.RUNNING)

    status = await client.get_status(instance_id, show_input=True)

    assert json.loads(status.input_) == [1, 2]
