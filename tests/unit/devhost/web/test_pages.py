"""Which requests of a browser are turned away: DNS rebinding, foreign pages, and any page at all at the RPC base."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from devhost.app.invocation import HttpResponse, InvocationResult
from tests.unit.devhost.web.conftest import Edge, EdgeFactory

HELLO = "/api/Hello"
FOREIGN = "https://evil.test"
PAGE = "http://localhost:3000"
EVERYWHERE = (HELLO, "/", "/nothing", "/admin/functions", "/runtime/webhooks/durabletask/instances")


async def called(edge: Edge, method: str = "POST", path: str = HELLO, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with edge.request(method, path, headers=named) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if answer.content_type == "application/json" else body


class TestHostNames:
    @pytest.mark.parametrize(
        "host",
        ["localhost", "localhost:7071", "LocalHost:1", "api.localhost:7071", "127.0.0.1:7071", "127.8.9.1",
         "[::1]:7071", "[::1]", "192.168.1.20:7071", "[fe80::1]:7071"],
    )  # fmt: skip
    async def test_of_this_machine_are_answered(self, edge: Edge, host: str) -> None:
        assert (await called(edge, Host=host))[0] == 204

    @pytest.mark.parametrize(
        "host",
        ["evil.test", "evil.test:7071", "localhost.evil.test", "evillocalhost", "127.0.0.1.evil.test", "my-laptop:7071",
         "0x7f.1", "[::1", "[evil]:1", "a'b", "user@localhost", "localhost/", "local host", "*"],
    )  # fmt: skip
    async def test_that_a_name_server_decides_are_refused_everywhere(self, edge: Edge, host: str) -> None:
        for path in EVERYWHERE:
            status, document = await called(edge, "GET", path, Host=host)
            assert (status, host in document["Message"]) == (403, True)
            assert "--allowed-hosts" in document["ExceptionMessage"]
        assert edge.executor.calls == []

    async def test_a_client_that_names_no_host_is_answered(self, edge: Edge) -> None:
        assert (await called(edge, Host=""))[0] == 204

    async def test_a_rebound_page_cannot_help_itself_by_cors(self, serve: EdgeFactory) -> None:
        edge = await serve(cors_origins=("*",))
        assert (await called(edge, Host="evil.test:7071", Origin="http://evil.test:7071"))[0] == 403

    async def test_that_are_allowed_are_answered(self, serve: EdgeFactory) -> None:
        edge = await serve(allowed_hosts=("functions", "name-7071.app.github.dev"))
        assert (await called(edge, Host="functions:7071"))[0] == 204
        assert (await called(edge, Host="Name-7071.app.github.dev"))[0] == 204
        assert (await called(edge, Host="other-7071.app.github.dev"))[0] == 403

    async def test_are_not_looked_at_where_every_name_is_allowed(self, serve: EdgeFactory) -> None:
        edge = await serve(allowed_hosts=("*",))
        assert (await called(edge, Host="anything.test"))[0] == 204


# What a browser says of a request, and whether it may pass where CORS allows nobody.
BROWSERS = [
    ({}, True),  # curl, the SDK, VS Code
    ({"Sec_Fetch_Mode": "cors"}, True),  # fetch of Node
    ({"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}, True),  # typed by the developer
    ({"Sec_Fetch_Site": "same-origin", "Origin": "null"}, True),  # its own form without a referrer
    ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}, True),  # an image in a page of this machine
    ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, False),
    ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, False),
    ({"Sec_Fetch_Site": "cross-site", "Origin": FOREIGN, "Sec_Fetch_Mode": "navigate"}, False),
    ({"Sec_Fetch_Site": "same-site", "Origin": PAGE}, False),
    ({"Origin": FOREIGN}, False),  # a browser without Sec-Fetch
    ({"Origin": "null"}, False),  # a file, a sandboxed frame
    ({"Origin": ""}, True),
    ({"Origin": "nonsense"}, False),
    ({"Origin": "http://localhost:7071.evil.test"}, False),
]  # fmt: skip


class TestForeignPages:
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize(("headers", "is_answered"), BROWSERS)
    async def test_cannot_call_anything(
        self, edge: Edge, method: str, headers: Mapping[str, str], is_answered: bool
    ) -> None:
        for path in EVERYWHERE:
            status, document = await called(edge, method, path, **headers)
            assert (status != 403) == is_answered, path
            assert is_answered or "--cors" in document["ExceptionMessage"]
        assert bool(edge.executor.calls) == is_answered

    @pytest.mark.parametrize("origin", ["{url}", "https://localhost:{port}"])
    async def test_are_not_those_of_the_host_itself(self, edge: Edge, origin: str) -> None:
        port = edge.server.port
        own = origin.format(url=edge.url, port=port)
        host = own.partition("://")[2]
        assert (await called(edge, Host=host, Origin=own))[0] == 204
        assert (await called(edge, Host=host, Origin=f"http://127.0.0.1:{port + 1}"))[0] == 403

    async def test_may_link_to_a_function(self, edge: Edge) -> None:
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert (await called(edge, "GET", **link))[0] == 204
        assert (await called(edge, "POST", **link))[0] == 403

    async def test_may_do_what_cors_allows(self, serve: EdgeFactory) -> None:
        edge = await serve(cors_origins=(PAGE,))
        allowed = {"Origin": PAGE, "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}
        assert (await called(edge, **allowed))[0] == 204
        assert (await called(edge, **{**allowed, "Origin": FOREIGN}))[0] == 403
        assert (await called(edge, **{**allowed, "Origin": f"{PAGE}0"}))[0] == 403

    @pytest.mark.parametrize(("headers", "_"), BROWSERS)
    async def test_may_do_everything_where_cors_allows_every_origin(
        self, serve: EdgeFactory, headers: Mapping[str, str], _: bool
    ) -> None:
        edge = await serve(cors_origins=("*",))
        assert (await called(edge, **headers))[0] == 204

    async def test_cannot_read_why_they_are_refused(self, serve: EdgeFactory) -> None:
        edge = await serve(cors_origins=(PAGE,))
        async with edge.request("POST", HELLO, headers={"Origin": FOREIGN}) as answer:
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]

    async def test_a_function_cannot_let_them_in_by_headers_of_its_own(self, edge: Edge) -> None:
        edge.executor.answers["Hello"] = InvocationResult(
            response=HttpResponse(status=200, headers={"Access-Control-Allow-Origin": "*"}, body=b"")
        )
        assert (await called(edge, "OPTIONS", Origin=FOREIGN, Access_Control_Request_Method="POST"))[0] == 403


class TestRpcBase:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 200),
            ({"Host": "localhost:17071"}, 200),
            ({"Sec-Fetch-Mode": "cors"}, 200),
            ({"Host": "evil.test:17071"}, 403),
            ({"Host": "functions:17071"}, 403),
            ({"Origin": "{base}"}, 403),
            ({"Origin": PAGE}, 403),
            ({"Sec-Fetch-Site": "none"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 403),
        ],
    )
    async def test_is_for_programs_only(self, serve: EdgeFactory, headers: Mapping[str, str], status: int) -> None:
        # Whatever the public listener allows.
        edge = await serve(cors_origins=("*",), allowed_hosts=("functions", "*"))
        base = edge.server.rpc_base_url
        named = {name: value.format(base=re.sub("/durabletask/", "", base)) for name, value in headers.items()}
        async with edge.session.get(f"{base}instances", headers=named) as answer:
            assert answer.status == status
            assert "Access-Control-Allow-Origin" not in answer.headers
