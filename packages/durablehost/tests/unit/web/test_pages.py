"""Which requests of a browser are refused: DNS rebinding, foreign pages, and any page at all at the RPC base."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from durablehost.app.invocation import HttpResponse, InvocationResult
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory

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
         "[::1]:7071", "[::1]", "192.168.1.20:7071", "[fe80::1]:7071", "localhost:65535"],
    )  # fmt: skip
    async def test_of_this_machine_are_answered(self, edge: Edge, host: str) -> None:
        assert (await called(edge, Host=host))[0] == 204

    @pytest.mark.parametrize(
        "host",
        ["evil.test", "evil.test:7071", "localhost.evil.test", "evillocalhost", "127.0.0.1.evil.test", "my-laptop:7071",
         "0x7f.1", "0x7f000001", "127.1", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1.", "localhost.",
         "0.0.0.0", "0.0.0.0:7071", "0.1.2.3", "0", "[::]:7071", "[::ffff:127.0.0.1]:7071", "[::ffff:7f00:1]",
         "[::127.0.0.1]", "[::7f00:1]", "[0:0:0:0:0:0:0:1]", "[::0001]"],
    )  # fmt: skip
    async def test_that_are_not_this_machines_are_refused_everywhere(self, edge: Edge, host: str) -> None:
        for path in EVERYWHERE:
            status, document = await called(edge, "GET", path, Host=host)
            assert (status, host in document["Message"]) == (403, True)
            assert "--allowed-hosts" in document["ExceptionMessage"]
        assert edge.executor.calls == []

    @pytest.mark.parametrize(
        "host",
        ["[::1", "[evil]:1", "a'b", "user@localhost", "user:password@localhost:7071", "localhost/", "local host", "*",
         "localhost:", "localhost:0", "localhost:00080", "localhost:65536", "localhost:99999", "localhost:-1", ":7071",
         "localhost:abc", "localhost:7071:7071", "localhost:\u0664", "[::1]7071", "127.0.0.1:7071 ,evil.test",
         ".localhost", "a..localhost", "..", "[fe80::1%25lo]", "localhost%00", "http://localhost:7071", "::1",
         "\u24db\u24de\u24d2alhost"],
    )  # fmt: skip
    async def test_that_are_malformed_are_400_whatever_is_allowed(self, serve: EdgeFactory, host: str) -> None:
        edge = await serve(allowed_hosts=("*",), cors_origins=("*",))
        for method in ("GET", "OPTIONS"):
            status, document = await called(edge, method, Host=host, Access_Control_Request_Method="GET", Origin=PAGE)
            assert (status, "malformed" in document["Message"]) == (400, True)
        assert edge.executor.calls == []

    async def test_a_client_that_names_no_host_is_answered(self, edge: Edge) -> None:
        assert (await called(edge, Host=""))[0] == 204

    async def test_a_rebound_page_is_refused_whatever_cors_allows(self, serve: EdgeFactory) -> None:
        edge = await serve(cors_origins=("*",))
        rebound = {"Host": "evil.test:7071", "Origin": "http://evil.test:7071"}
        assert (await called(edge, **rebound))[0] == 403
        assert (await called(edge, "OPTIONS", **rebound, Access_Control_Request_Method="PUT"))[0] == 403

    async def test_that_are_allowed_are_answered(self, serve: EdgeFactory) -> None:
        edge = await serve(allowed_hosts=("functions", "name-7071.app.github.dev"))
        assert (await called(edge, Host="functions:7071"))[0] == 204
        assert (await called(edge, Host="Name-7071.app.github.dev"))[0] == 204
        assert (await called(edge, Host="other-7071.app.github.dev"))[0] == 403

    async def test_are_not_checked_if_every_name_is_allowed(self, serve: EdgeFactory) -> None:
        edge = await serve(allowed_hosts=("*",))
        assert (await called(edge, Host="anything.test"))[0] == 204


# Headers of a browser's request, and whether it is allowed if CORS allows no origin.
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
    # What Chromium fetches on its own behalf, from where a page says: FedCM, payment methods.
    ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "webidentity"}, False),
    ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "empty"}, False),
    ({"Sec_Fetch_Site": "something-new", "Sec_Fetch_Mode": "no-cors"}, False),
    ({"Origin": FOREIGN}, False),  # a browser without Sec-Fetch
    ({"Origin": "null"}, False),  # a file, a sandboxed frame
    ({"Origin": ""}, True),
    ({"Origin": "nonsense"}, False),
    ({"Origin": "chrome-extension://abcdef"}, False),
    ({"Origin": "http:localhost"}, False),
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

    @pytest.mark.parametrize(
        ("host", "origin", "is_own"),
        [
            ("127.0.0.1:7071", "http://127.0.0.1:7071", True),
            ("LocalHost:7071", "http://localhost:7071", True),
            ("localhost", "http://localhost", True),
            ("localhost:80", "http://localhost", True),
            ("localhost:7071", "https://localhost:7071", False),
            ("localhost:443", "https://localhost", False),
            ("localhost:7071", "http://localhost:7072", False),
            ("localhost:7071", "http://localhost", False),
            ("localhost:7071", "http://127.0.0.1:7071", False),
            ("localhost:7071", "ws://localhost:7071", False),
            ("localhost:7071", "file://localhost:7071", False),
        ],
    )
    async def test_differ_from_the_host_in_scheme_name_or_port(
        self, edge: Edge, host: str, origin: str, is_own: bool
    ) -> None:
        assert (await called(edge, Host=host, Origin=origin))[0] == (204 if is_own else 403)

    @pytest.mark.parametrize(
        "origin",
        ["http://localhost:0", "http://localhost:99999", "http://localhost:abc", "http://localhost:", "http://",
         "http://user@localhost:7071", "http://local host", "http://localhost:7071/", "http://localhost:7071.evil.test",
         "https://[::1", "HTTPS://localhost/path"],
    )  # fmt: skip
    async def test_with_a_malformed_origin_are_refused_whatever_cors_allows(
        self, serve: EdgeFactory, origin: str
    ) -> None:
        edge = await serve(cors_origins=("*",))
        for site in ({}, {"Sec_Fetch_Site": "same-origin"}):
            status, document = await called(edge, Origin=origin, **site)
            assert (status, origin in document["Message"], edge.executor.calls) == (403, True, [])

    @pytest.mark.parametrize("site", ["none", "cross-site", "same-site", "same-origin", ""])
    @pytest.mark.parametrize(
        "purpose",
        [{"Sec_Purpose": "prefetch"}, {"Sec_Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"},
         {"Sec_Purpose": "Prefetch;anonymous-client-ip"}, {"X_Moz": "prefetch"}, {"X_Purpose": "preview"}],
    )  # fmt: skip
    async def test_load_nothing_in_advance_whatever_cors_allows(
        self, serve: EdgeFactory, site: str, purpose: Mapping[str, str]
    ) -> None:
        edge = await serve(cors_origins=("*",))
        opened = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", "Sec_Fetch_Site": site}
        for path in EVERYWHERE:
            assert (await called(edge, "GET", path, **opened, **purpose))[0] == 403
        assert edge.executor.calls == []

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
    async def test_may_do_everything_if_cors_allows_every_origin(
        self, serve: EdgeFactory, headers: Mapping[str, str], _: bool
    ) -> None:
        edge = await serve(cors_origins=("*",))
        assert (await called(edge, **headers))[0] == 204

    async def test_cannot_read_the_reason_of_their_refusal(self, serve: EdgeFactory) -> None:
        edge = await serve(cors_origins=(PAGE,))
        async with edge.request("POST", HELLO, headers={"Origin": FOREIGN}) as answer:
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]

    async def test_are_refused_even_if_a_function_sets_cors_headers(self, edge: Edge) -> None:
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
            ({"Purpose": "prefetch"}, 403),
            ({"Host": "0.0.0.0:17071"}, 403),
            ({"Host": "localhost:0"}, 400),
        ],
    )
    async def test_is_for_programs_only(self, serve: EdgeFactory, headers: Mapping[str, str], status: int) -> None:
        # This does not depend on what the public listener allows.
        edge = await serve(cors_origins=("*",), allowed_hosts=("functions", "*"))
        base = edge.server.rpc_base_url
        named = {name: value.format(base=re.sub("/durabletask/", "", base)) for name, value in headers.items()}
        async with edge.session.get(f"{base}instances", headers=named) as answer:
            assert answer.status == status
            assert "Access-Control-Allow-Origin" not in answer.headers
