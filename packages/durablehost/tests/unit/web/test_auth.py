"""Which key opens which path of a real server; and that only the links of answers contain a key."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import azure.functions as func
import pytest
from azure.durable_functions import DurableOrchestrationClient
from azure.durable_functions.models.utils import http_utils

from durablehost.app.model import Binding, Direction, FunctionError
from durablehost.keys.ring import KeyRing
from durablehost.web.links import Links
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function

KEYS = {
    "master": "master-key==",
    "host": "host-key==",
    "function": "own-key==",
    "other function": "others-key==",
    "durable": "durable-key==",
    "other system": "queue-key==",
    "unknown": "guessed-key==",
    "none": "",
    "not ASCII": "schlüssel",
}
RING = KeyRing(
    master=KEYS["master"],
    host={"default": KEYS["host"]},
    system={"durabletask_extension": KEYS["durable"], "queue_extension": KEYS["other system"]},
    functions={"function_level": {"default": KEYS["function"]}, "other": {"default": KEYS["other function"]}},
)
APP = make_app(
    make_function("anonymous_level", auth_level="anonymous"),
    make_function("Function_Level", auth_level="function"),
    make_function("admin_level", auth_level="admin"),
    make_function("system_level", auth_level="system"),
    make_function("user_level", auth_level="user"),
    make_function("off", is_disabled=True),
    make_function("Orch", "orchestrationTrigger"),
    errors=(FunctionError(name="Broken", message="The binding name _x is invalid."),),
)
WEBHOOK = "/runtime/webhooks/durabletask"

# The status for each kind of key, in the order of KEYS.
EXPECTED = {
    "/api/anonymous_level": (204, 204, 204, 204, 204, 204, 204, 204, 204),
    "/api/function_level": (204, 204, 204, 401, 401, 401, 401, 401, 401),
    "/api/admin_level": (204, 401, 401, 401, 401, 401, 401, 401, 401),
    "/api/system_level": (204, 401, 401, 401, 204, 204, 401, 401, 401),
    "/api/user_level": (204, 401, 401, 401, 401, 401, 401, 401, 401),
    "/api/off": (404, 404, 404, 404, 404, 404, 404, 404, 404),
    "/api/nothing": (404, 404, 404, 404, 404, 404, 404, 404, 404),
    "/admin/host/status": (200, 403, 403, 403, 403, 403, 401, 401, 401),
    "/Admin/functions": (200, 403, 403, 403, 403, 403, 401, 401, 401),
    "/admin/functions/Function_Level": (200, 403, 403, 403, 403, 403, 401, 401, 401),
    "/admin/nothing": (404, 403, 403, 403, 403, 403, 401, 401, 401),
    "/admin/host/ping": (200, 200, 200, 200, 200, 200, 200, 200, 200),
    "/admin/warmup": (200, 200, 200, 200, 200, 200, 200, 200, 200),
    f"{WEBHOOK}/instances": (200, 403, 403, 403, 200, 403, 401, 401, 401),
    f"{WEBHOOK}/instances/unknown": (404, 403, 403, 403, 404, 403, 401, 401, 401),
    "/": (200, 200, 200, 200, 200, 200, 200, 200, 200),
}


COMBINATIONS = [
    (path, kind, status) for path, statuses in EXPECTED.items() for kind, status in zip(KEYS, statuses, strict=True)
]


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    return await serve(APP, keys=RING)


async def get(edge: Edge, path: str, *, header: str = "", code: str = "") -> tuple[int, bytes]:
    headers = {"X-Functions-Key": header} if header else {}
    query = f"?code={quote(code)}" if code else ""
    async with edge.request("GET", path + query, headers=headers) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize(("path", "kind", "status"), COMBINATIONS)
async def test_a_key_opens_only_its_own_paths(edge: Edge, path: str, kind: str, status: int) -> None:
    in_header = await get(edge, path, header=KEYS[kind])
    in_query = await get(edge, path, code=KEYS[kind])

    assert (in_header[0], in_query[0]) == (status, status)
    if status in (401, 403):
        assert (in_header[1], in_query[1]) == (b"", b"")
        assert edge.executor.calls == []


@pytest.mark.parametrize(
    ("header", "code", "status"),
    [("master", "unknown", 200), ("unknown", "master", 401), ("durable", "master", 403), ("none", "master", 200)],
)
async def test_the_header_comes_before_the_query(edge: Edge, header: str, code: str, status: int) -> None:
    assert (await get(edge, "/admin/host/status", header=KEYS[header], code=KEYS[code]))[0] == status


@pytest.mark.parametrize("path", EXPECTED)
async def test_without_key_checks_every_path_is_open(serve: EdgeFactory, path: str) -> None:
    edge = await serve(APP)

    assert (await get(edge, path, header=KEYS["unknown"]))[0] not in (401, 403)
    assert (await get(edge, path))[0] not in (401, 403)


@pytest.mark.parametrize("key", ["master", "none"])
async def test_a_run_from_outside_needs_the_master_key(edge: Edge, key: str) -> None:
    url = "/admin/functions/Orch"
    async with edge.request("POST", url, data='{"input": "x"}', headers={"x-functions-key": KEYS[key]}) as answer:
        assert answer.status == (202 if key == "master" else 401)


async def test_a_run_from_outside_does_not_hand_the_master_key_to_the_function(edge: Edge) -> None:
    url = f"/admin/functions/Function_Level?code={KEYS['master']}"
    async with edge.request("POST", url, data='{"input": "x"}', headers={"x-functions-key": KEYS["master"]}) as answer:
        assert answer.status == 202
    await eventually(lambda: edge.executor.calls)

    assert edge.executor.last_request.url == f"{edge.url}/admin/functions/Function_Level"
    assert KEYS["master"] not in repr(edge.executor.last_request)


async def test_a_preflight_needs_no_key_and_a_refusal_can_be_read_by_the_page(serve: EdgeFactory) -> None:
    edge = await serve(APP, keys=RING, cors_origins=("https://page.test",))
    headers = {"Origin": "https://page.test", "Access-Control-Request-Method": "GET"}

    for path in ("/api/function_level", "/admin/host/status", f"{WEBHOOK}/instances"):
        async with edge.request("OPTIONS", path, headers=headers) as answer:
            assert answer.status == 204
        async with edge.request("GET", path, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["Access-Control-Allow-Origin"] == "https://page.test"


async def test_the_home_page_shows_nothing_of_the_app(edge: Edge) -> None:
    _, page = await get(edge, "/")

    assert b"up and running" in page
    assert b"Calls need a key." in page
    assert not [each for each in ("Function_Level", "Broken", "/admin", WEBHOOK) if each.encode() in page]


async def test_the_rpc_base_needs_no_key(edge: Edge) -> None:
    async with edge.session.get(f"{edge.server.rpc_base_url}instances") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("base", ["public", "rpc"])
async def test_the_urls_of_a_start_contain_the_key_and_work(edge: Edge, base: str) -> None:
    root = f"{edge.webhook}/" if base == "public" else edge.server.rpc_base_url
    headers = {"x-functions-key": KEYS["durable"]} if base == "public" else {}
    async with edge.session.post(f"{root}orchestrators/Orch/one", headers=headers) as answer:
        assert answer.status == 202
        payload, location = await answer.json(), answer.headers["Location"]

    urls = {name: url for name, url in payload.items() if name != "id"}
    assert len(urls) == 7
    assert all(url.endswith(f"&code={KEYS['durable']}") for url in urls.values())
    assert location == urls["statusQueryGetUri"]
    path = urlsplit(location)
    async with edge.request("GET", f"{path.path}?{path.query}") as answer:
        assert answer.status == 202


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[Any]:
    yield DurableOrchestrationClient(edge.links.client_input(CLIENT), "invocation-1")
    await http_utils._close_session()


CLIENT = Binding(name="starter", type="durableClient", direction=Direction.IN, properties={"type": "durableClient"})


@pytest.mark.filterwarnings("ignore:enable_cleanup_closed:DeprecationWarning")
async def test_the_urls_from_the_sdk_work(edge: Edge, client: Any) -> None:
    instance_id = await client.start_new("Orch", "id 1", None)
    response = client.create_check_status_response(func.HttpRequest("POST", f"{edge.url}/api/x", body=b""), instance_id)
    urls: Mapping[str, str] = json.loads(response.get_body())

    async with edge.session.get(urls["statusQueryGetUri"]) as answer:
        assert (answer.status, (await answer.json())["instanceId"]) == (202, "id 1")
    terminate = urls["terminatePostUri"].replace("{text}", "enough")
    async with edge.session.post(terminate) as answer:
        assert answer.status == 202
    async with edge.session.delete(urls["purgeHistoryDeleteUri"]) as answer:
        assert answer.status == 200


def test_the_client_input_names_the_query_that_calls_need() -> None:
    document = json.loads(Links(hub_name="Hub", find_system_key=lambda: "a+b/c==").client_input(CLIENT))

    assert document["requiredQueryStringParameters"] == "code=a%2Bb%2Fc=="
    assert document["creationUrls"]["createNewInstancePostUri"].endswith("[/{instanceId}]?code=a%2Bb%2Fc==")
    assert document["creationUrls"]["createAndWaitOnNewInstancePostUri"].endswith(
        "{intervalInSeconds}&code=a%2Bb%2Fc=="
    )


async def test_no_log_and_no_description_contains_a_key(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    edge.executor.answers["Function_Level"] = RuntimeError("a defect")
    bodies = b""
    for path in EXPECTED:
        for kind in KEYS:
            bodies += (await get(edge, path, code=KEYS[kind]))[1]

    # In a URL a key is percent-encoded.
    forms = [form for key in KEYS.values() if key for form in (key, quote(key))]
    held = [form for form in forms if form in caplog.text or form.encode() in bodies]
    assert "a defect" in caplog.text
    assert held == []
    assert not [key for key in KEYS.values() if key and key in repr(RING)]
