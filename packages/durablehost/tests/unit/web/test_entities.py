"""The entity routes of the management API over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.history import EventRaised
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN

EXISTS = '{"entityExists":true}'


async def answer_of(edge: Edge, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with edge.manage(method, path, **options) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else None


def add(edge: Edge, instance_id: str, state: str | None, **changes: Any) -> None:
    document = {"sorter": {}} if state is None else {"exists": True, "state": state, "sorter": {}}
    status = "{}" if state is None else EXISTS
    edge.hub.add(instance_id, name=instance_id, input=json.dumps(document), custom_status=status, **changes)


def request_of(edge: Edge) -> dict[str, Any]:
    (message,) = edge.hub.sent
    assert isinstance(message.event, EventRaised)
    request: dict[str, Any] = json.loads(message.event.input or "")
    assert (message.event.name, message.sender, message.target.execution_id) == ("op", None, None)
    return {"to": message.target.instance_id, **request}


@pytest.mark.parametrize("path", ["counter/c", "COUNTER/c"])
async def test_the_state_is_the_json_that_is_stored(edge: Edge, path: str) -> None:
    add(edge, "@counter@c", '{"n":[1,2.5]}')
    assert await answer_of(edge, "GET", f"/entities/{path}") == (200, {"n": [1, 2.5]})


async def test_a_state_of_null_is_a_state(edge: Edge) -> None:
    add(edge, "@counter@c", "null")
    assert await answer_of(edge, "GET", "/entities/Counter/c") == (200, None)


async def test_a_missing_entity_is_404(edge: Edge) -> None:
    add(edge, "@counter@gone", None)
    for path in ("Counter/gone", "Counter/never", "Nobody/one"):
        assert await answer_of(edge, "GET", f"/entities/{path}") == (404, None)


async def test_a_dollar_sign_stands_for_the_empty_key(edge: Edge) -> None:
    add(edge, "@counter@", "1")
    assert await answer_of(edge, "GET", "/entities/Counter/$") == (200, 1)


@pytest.mark.parametrize(
    ("body", "content_type", "stored"),
    [
        (b'"3"', "application/json", '"3"'),
        (b'{ "a": 1 }', "application/json; charset=utf-8", '{"a":1}'),
        (b"plain", "text/plain", '"plain"'),
        (b"", "application/json", None),
        (b"", "application/octet-stream", None),
    ],
)
async def test_a_signal_is_a_request_to_the_entity(
    edge: Edge, body: bytes, content_type: str, stored: str | None
) -> None:
    headers = {"Content-Type": content_type}
    answer = await answer_of(edge, "POST", "/entities/Counter/my%20key?op=add", data=body, headers=headers)
    assert answer == (202, None)
    request = request_of(edge)
    assert request.pop("id")
    expected = {
        "to": "@counter@my key",
        "op": "add",
        "signal": True,
        "Timestamp": "0001-01-01T00:00:00",
        "Predecessor": "0001-01-01T00:00:00",
    }
    assert request == ({**expected, "input": stored} if stored is not None else expected)


async def test_an_operation_without_a_name_has_an_empty_one(edge: Edge) -> None:
    assert await answer_of(edge, "POST", "/entities/Counter/c") == (202, None)
    assert request_of(edge)["op"] == ""


async def test_a_signal_without_a_key_is_for_the_empty_key(edge: Edge) -> None:
    for method, path in (("POST", "Counter"), ("POST", "Counter/"), ("POST", "Counter/$"), ("DELETE", "Counter")):
        assert await answer_of(edge, method, f"/entities/{path}?op=add") == (202, None)
        assert request_of(edge)["to"] == "@counter@"
        edge.hub.sent.clear()


async def test_a_delete_is_a_signal(edge: Edge) -> None:
    assert await answer_of(edge, "DELETE", "/entities/Counter/c") == (202, None)
    assert request_of(edge)["op"] == "delete"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", ["Nobody/c", "Counter/a%2Fb", "Counter/a%23b", "Counter/%01", f"Counter/{'x' * 600}"])
async def test_wrong_arguments_are_refused_with_a_short_message(edge: Edge, method: str, path: str) -> None:
    status, answer = await answer_of(edge, method, f"/entities/{path}?op=add")
    assert (status, list(answer)) == (400, ["Message"])
    assert edge.hub.sent == []


async def test_a_body_that_is_not_the_json_it_claims_to_be_is_refused_with_a_short_message(edge: Edge) -> None:
    headers = {"Content-Type": "application/json"}
    status, answer = await answer_of(edge, "POST", "/entities/Counter/c?op=add", data=b"{", headers=headers)
    assert (status, list(answer)) == (400, ["Message"])
    assert edge.hub.sent == []


async def test_a_list_shows_the_existing_entities(edge: Edge) -> None:
    add(edge, "@counter@b", '{"n":1}')
    add(edge, "@counter@a", "2", last_updated_at=BEGIN + timedelta(hours=1))
    add(edge, "@counter@gone", None)
    add(edge, "@other@x", "3")
    edge.hub.add("an-orchestration")

    assert await answer_of(edge, "GET", "/entities/Counter?fetchState=true") == (
        200,
        [
            {
                "entityId": {"name": "counter", "key": "a"},
                "lastOperationTime": "2026-03-01T11:00:00.123456Z",
                "state": 2,
            },
            {
                "entityId": {"name": "counter", "key": "b"},
                "lastOperationTime": "2026-03-01T10:00:02.123456Z",
                "state": {"n": 1},
            },
        ],
    )
    status, listed = await answer_of(edge, "GET", "/entities/")
    assert status == 200
    assert [(each["entityId"]["key"], each["state"]) for each in listed] == [("a", None), ("b", None), ("x", None)]


async def test_a_list_filters_by_the_time_of_the_last_operation(edge: Edge) -> None:
    for key, hours in (("a", 0), ("b", 1), ("c", 2)):
        add(edge, f"@counter@{key}", "1")
        record = edge.hub.records[f"@counter@{key}"]
        edge.hub.records[record.instance_id] = replace(record, created_at=BEGIN + timedelta(hours=hours))
    query = "lastOperationTimeFrom=2026-03-01T10:30:00Z&lastOperationTimeTo=2026-03-01T11:30:00Z"
    _, listed = await answer_of(edge, "GET", f"/entities?{query}")
    assert [each["entityId"]["key"] for each in listed] == ["b"]


async def test_pages_are_full_and_follow_one_another(edge: Edge) -> None:
    for key in "abcde":
        add(edge, f"@counter@{key}", None if key == "b" else "1")
    edge.hub.page_limit = 1
    seen, token = [], ""
    for expected in (2, 2):
        async with edge.manage("GET", "/entities?top=2", headers={"x-ms-continuation-token": token}) as answer:
            page = await answer.json()
            token = answer.headers["x-ms-continuation-token"]
        assert len(page) == expected
        seen += [each["entityId"]["key"] for each in page]
    assert (seen, token) == (list("acde"), "")
