"""The management API on real storage: keys, tokens and sizes, which the fake hub does not check."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from azure.storage.blob.aio import BlobServiceClient
from yarl import URL

from durablehost.app.model import TriggerKind
from durablehost.clock import SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.instance_logs import InstanceLogs
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.web.links import WEBHOOK_PATH, Links
from durablehost.web.server import WebServer
from packages.durablehost.tests.unit.web.fakes import (
    ScriptedExecutor,
    host_status,
    make_app,
    make_function,
    make_settings,
)

ODD_IDS = ["a b", "x'y", "Zoë", "a%b", "a:b", "a+b", "..x", "^x", " blank ", "$batch", "\U0001f600", "a" * 256]
REFUSED_IDS = ["@x", "a/b", "a\\b", "a?b", "#", "a\x00b", "\x7f", "b" * 600]


class Api:
    """Requests to the management API of one server; paths are sent as they are written."""

    def __init__(self, server: WebServer, session: aiohttp.ClientSession) -> None:
        self._base = f"http://127.0.0.1:{server.port}{WEBHOOK_PATH}"
        self._session = session

    async def last_inputs(self) -> list[tuple[str, str]]:
        """The id and the input of each that the console offers for the next start."""
        path = URL(self._base).with_path("/console/api/orchestrators/orch/inputs")
        async with self._session.get(path) as answer:
            return [(each["id"], each["input"]) for each in (await answer.json())["inputs"]]

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any, str]:
        """Status, body, continuation token."""
        async with self._session.request(method, URL(self._base + path, encoded=True), **options) as answer:
            body = await answer.read()
            token = answer.headers.get("x-ms-continuation-token", "")
            return answer.status, json.loads(body) if body else None, token


@pytest.fixture
async def api(azurite: Azurite, hub_name: str) -> AsyncIterator[Api]:
    app = make_app(make_function("Orch", "orchestrationTrigger"))
    options = StorageOptions(hub_name=hub_name, connection=ConnectionString(azurite.connection_string))
    async with open_task_hub(options, SystemClock()) as hub, aiohttp.ClientSession() as session:
        await hub.create()
        client = OrchestrationClient(hub, app.of_kind(TriggerKind.ORCHESTRATION), SystemClock())
        links = Links(hub_name=hub_name)
        server = WebServer(
            app,
            ScriptedExecutor().port,
            client,
            links,
            make_settings(),
            host_status,
            clock=SystemClock(),
            starts=ActivityStarts(),
            logs=InstanceLogs(SystemClock()),
            rpc_port=0,
        )
        await server.start()
        yield Api(server, session)
        await server.stop()


async def test_an_instance_of_any_allowed_id_is_found_again(api: Api) -> None:
    for instance_id in ODD_IDS:
        part = quote(instance_id, safe="")
        assert (await api("POST", f"/orchestrators/Orch/{part}", data=b'"\\ud800"'))[0] == 202
        status, record, _ = await api("GET", f"/instances/{part}?showHistory=true")
        assert (status, record["instanceId"]) == (202, instance_id)
        assert (await api("POST", f"/orchestrators/Orch/{part}"))[0] == 409
        assert (await api("DELETE", f"/instances/{part}"))[0] == 412
        _, found, _ = await api("GET", f"/instances?instanceIdPrefix={part}")
        assert instance_id in [each["instanceId"] for each in found]


async def test_a_forbidden_id_is_refused_by_starts_and_unknown_to_reads(api: Api) -> None:
    for instance_id in REFUSED_IDS:
        part = quote(instance_id, safe="")
        assert (await api("POST", f"/orchestrators/Orch/{part}"))[0] == 400
        unknown = 400 if "\x00" in instance_id else 404
        assert (await api("GET", f"/instances/{part}"))[0] == unknown
        assert (await api("POST", f"/instances/{part}/terminate"))[0] == unknown


async def test_a_listing_goes_through_all_pages(api: Api) -> None:
    for number in range(5):
        await api("POST", f"/orchestrators/Orch/{quote(f'é{number}')}")
    sizes: list[int] = []
    seen, token = [], ""
    while token or not sizes:
        status, page, token = await api("GET", "/instances?top=2", headers={"x-ms-continuation-token": token})
        assert status == 200
        sizes.append(len(page))
        seen += [each["instanceId"] for each in page]

    assert sizes == [2, 2, 1]
    assert sorted(seen) == [f"é{number}" for number in range(5)]


@pytest.mark.parametrize(
    "query",
    [
        "top=2147483647",
        "createdTimeTo=9999-12-31T23:59:59.9999999Z",
        "instanceIdPrefix=" + "a" * 2000,
        "instanceIdPrefix=%F4%8F%BF%BF",
        "runtimeStatus=" + "Running," * 500,
    ],
)
async def test_a_filter_at_the_edge_is_no_error(api: Api, query: str) -> None:
    assert (await api("GET", f"/instances?createdTimeFrom=0001-01-01&{query}"))[0] == 200
    assert (await api("DELETE", f"/instances?createdTimeFrom=2026-01-01&{query}"))[0] == 404


async def test_an_unknown_continuation_token_is_400(api: Api) -> None:
    for token in ("enp6", "ICA=", "not base64"):
        status, answer, _ = await api("GET", "/instances", headers={"x-ms-continuation-token": token})
        assert (status, answer["Message"]) == (400, "One or more of the arguments submitted is incorrect")


async def test_an_input_of_a_megabyte_is_read_back_unchanged(api: Api) -> None:
    text = "Zoë " * 200_000

    assert (await api("POST", "/orchestrators/Orch/big", data=io.BytesIO(json.dumps(text).encode())))[0] == 202
    assert (await api("GET", "/instances/big"))[1]["input"] == text


async def test_the_last_inputs_are_those_of_large_payloads_too(api: Api, azurite: Azurite, hub_name: str) -> None:
    """Inputs of more than 60 KB are blobs; one that is gone is a damaged instance."""
    for instance_id, text in {"d": "1", "c": "x" * 90_000, "b": "y" * 110_000, "a": "z" * 80_000}.items():
        await api("POST", f"/orchestrators/Orch/{instance_id}", data=json.dumps(text).encode())
    assert [(name, len(text)) for name, text in await api.last_inputs()] == [("a", 80_002), ("c", 90_002), ("d", 3)]
    async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.get_container_client(f"{hub_name.lower()}-largemessages")
        names = [name async for name in container.list_blob_names(name_starts_with="a/")]
        assert names
        for name in names:
            await container.delete_blob(name)
    assert [name for name, _ in await api.last_inputs()] == ["c", "d"]
