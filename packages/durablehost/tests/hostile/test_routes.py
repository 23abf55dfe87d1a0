"""The table of routes for hostile requests is complete and has no removed routes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="looks at durablehost's routes, which needs requirements-dev.txt")

from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.hostile.routes import ADMIN, APP, MANAGEMENT
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory, serve

__all__ = ["serve"]


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


async def test_every_route_of_the_management_api_is_in_the_table(serve: EdgeFactory) -> None:
    edge: Edge = await serve()
    routes = edge.server._management._routes
    known = [(each.verb, filled(each.path).strip("/")) for each in MANAGEMENT]

    for route in routes:
        for verb in route.verbs:
            assert any(verb == v and route.pattern.fullmatch(path) for v, path in known), (verb, route.pattern.pattern)
    for verb, path in known:
        assert any(verb in route.verbs and route.pattern.fullmatch(path) for route in routes), (verb, path)


async def test_every_admin_route_of_the_table_exists(serve: EdgeFactory) -> None:
    edge = await serve()
    for route in ADMIN:
        path = route.path.replace("{function}", "Hello")
        async with edge.request(route.verb, path, json={"input": ""}) as answer:
            assert answer.status in (200, 202), route


def test_every_http_function_of_the_app_is_in_the_table() -> None:
    triggers = {file.parent.name: _http_trigger(file) for file in CHECKOUT.glob("*/function.json")}
    functions = {name: trigger["methods"] for name, trigger in triggers.items() if trigger}
    in_table = {each.path.removeprefix("/api/"): [each.verb.lower()] for each in APP if each.body in ("run", "chunk")}
    assert functions == in_table


def _http_trigger(file: Path) -> dict[str, list[str]] | None:
    bindings = json.loads(file.read_text("utf-8"))["bindings"]
    return next((each for each in bindings if each["type"] == "httpTrigger"), None)
