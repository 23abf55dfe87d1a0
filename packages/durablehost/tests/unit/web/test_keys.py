"""The routes that list, add, replace and remove keys: their answers, the file afterwards, and access with the keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from durablehost.keys.key_file import key_file
from durablehost.keys.ring import KeyRing
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function

RING = KeyRing(
    master="master-key",
    host={"default": "host-key"},
    system={"durabletask_extension": "durable-key"},
    functions={"hello": {"default": "hello-key"}},
)
WEBHOOK = "/runtime/webhooks/durabletask"


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    return await serve(make_app(make_function("Hello"), make_function("Orch", "orchestrationTrigger")), keys=RING)


async def ask(edge: Edge, method: str, path: str, body: object = None, *, key: str = "master-key") -> tuple[int, Any]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body)
    async with edge.request(method, path, data=data, headers={"x-functions-key": key}) as answer:
        text = await answer.read()
        is_json = answer.content_type == "application/json"
        return answer.status, json.loads(text) if is_json else text.decode()


def stored(serve: EdgeFactory) -> Any:
    return json.loads(key_file(serve.root).read_text("utf-8"))


async def opens(edge: Edge, key: str, path: str = "/api/Hello") -> bool:
    return (await ask(edge, "GET", path, key=key))[0] not in (401, 403)


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/admin/host/keys", "default", "host-key"),
        ("/admin/host/functionkeys", "default", "host-key"),
        ("/Admin/Host/SystemKeys", "durabletask_extension", "durable-key"),
        ("/admin/functions/HELLO/Keys", "default", "hello-key"),
    ],
)
async def test_keys_are_listed_and_read(edge: Edge, path: str, name: str, value: str) -> None:
    assert await ask(edge, "GET", path) == (
        200,
        {"keys": [{"name": name, "value": value}], "links": [{"rel": "self", "href": f"{edge.url}{path}"}]},
    )
    one = f"{path}/{name.upper()}"
    assert await ask(edge, "GET", one) == (
        200,
        {"name": name.upper(), "value": value, "links": [{"rel": "self", "href": f"{edge.url}{one}"}]},
    )


async def test_the_master_key_is_read_among_those_of_the_system_only(edge: Edge) -> None:
    status, answer = await ask(edge, "GET", "/admin/host/systemkeys/_master")
    assert (status, answer["value"]) == (200, "master-key")
    assert (await ask(edge, "GET", "/admin/host/keys/_master"))[0] == 404


@pytest.mark.parametrize("path", ["/admin/host/keys", "/admin/functions/Hello/keys"])
async def test_a_key_is_added_replaced_and_removed(edge: Edge, serve: EdgeFactory, path: str) -> None:
    async with edge.request("POST", f"{path}/ci?code=master-key") as answer:
        assert answer.status == 201
        assert answer.headers["Location"] == f"{edge.url}{path}/ci"
        made = (await answer.json())["value"]
    assert len(made) == 56
    assert await opens(edge, made)

    status, answer = await ask(edge, "PUT", f"{path}/CI", {"name": "CI", "value": "mine"})
    assert (status, answer["value"]) == (200, "mine")
    assert await opens(edge, "mine")
    assert not await opens(edge, made)
    scope = stored(serve)["host"] if "host" in path else stored(serve)["functions"]["hello"]
    assert scope["CI"] == "mine"

    assert await ask(edge, "DELETE", f"{path}/ci") == (204, "")
    assert not await opens(edge, "mine")
    assert (await ask(edge, "DELETE", f"{path}/ci"))[0] == 404


async def test_a_new_master_key_replaces_the_old_one(edge: Edge, serve: EdgeFactory) -> None:
    status, answer = await ask(edge, "POST", "/admin/host/systemkeys/_master")
    assert status == 201
    assert stored(serve)["master"] == answer["value"]
    assert (await ask(edge, "GET", "/admin/host/status"))[0] == 401
    given = await ask(edge, "PUT", "/admin/host/systemkeys/_master", {"value": "mine"}, key=answer["value"])
    assert (given[0], given[1]["value"]) == (200, "mine")
    assert await opens(edge, "mine", "/admin/host/status")


async def test_links_carry_the_new_key_of_the_management_api(edge: Edge) -> None:
    await ask(edge, "PUT", "/admin/host/systemkeys/durabletask_extension", {"value": "newer"})
    status, payload = await ask(edge, "POST", f"{WEBHOOK}/orchestrators/Orch", key="newer")
    assert status == 202
    assert payload["statusQueryGetUri"].endswith("&code=newer")
    assert not await opens(edge, "durable-key", f"{WEBHOOK}/instances")


async def test_a_removed_key_that_the_host_needs_is_replaced_by_a_new_one(edge: Edge) -> None:
    assert (await ask(edge, "DELETE", "/admin/host/systemkeys/durabletask_extension"))[0] == 204
    _, answer = await ask(edge, "GET", "/admin/host/systemkeys/durabletask_extension")
    assert answer["value"] != "durable-key"
    assert await opens(edge, answer["value"], f"{WEBHOOK}/instances")
    assert await ask(edge, "DELETE", "/admin/host/keys/_master") == (400, "Cannot delete System Key.")


async def test_entries_written_into_the_key_file_by_hand_are_kept(edge: Edge, serve: EdgeFactory) -> None:
    document = stored(serve)
    document["host"]["by-hand"] = "written"
    key_file(serve.root).write_text(json.dumps(document), "utf-8")
    await ask(edge, "PUT", "/admin/host/keys/ci", {"value": "mine"})
    assert stored(serve)["host"] == {"default": "host-key", "by-hand": "written", "ci": "mine"}


@pytest.mark.parametrize("body", [b"", b"nonsense", {}, {"value": ""}, {"value": 5}, []])
async def test_a_key_without_a_value_is_refused(edge: Edge, serve: EdgeFactory, body: object) -> None:
    before = stored(serve)
    assert await ask(edge, "PUT", "/admin/host/keys/ci", body) == (400, "Invalid key value")
    assert stored(serve) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/functions/Nobody/keys"),
        ("POST", "/admin/functions/Nobody/keys/ci"),
        ("GET", "/admin/host/keys/nothing"),
        ("POST", "/admin/host/keys"),
        ("PATCH", "/admin/host/keys/default"),
        ("GET", "/admin/host/keys/default/more"),
        ("GET", "/admin/host/otherkeys"),
    ],
)
async def test_unknown_names_are_404(edge: Edge, method: str, path: str) -> None:
    assert (await ask(edge, method, path))[0] == 404


@pytest.mark.parametrize(("key", "status"), [("host-key", 403), ("guessed", 401)])
async def test_only_the_master_key_opens_the_key_routes(edge: Edge, key: str, status: int) -> None:
    for method, path in (("GET", "/admin/host/keys"), ("POST", "/admin/functions/Hello/keys/ci")):
        assert await ask(edge, method, path, key=key) == (status, "")


async def test_without_key_checks_there_are_no_key_routes(serve: EdgeFactory) -> None:
    assert (await ask(await serve(), "GET", "/admin/host/keys"))[0] == 404
