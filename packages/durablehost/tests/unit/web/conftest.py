"""A web server on a free port of the loopback, with user code and storage in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from durablehost.app.model import FunctionApp, TriggerKind
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.instance_logs import InstanceLogs
from durablehost.keys.key_file import save_keys
from durablehost.keys.key_store import KeyStore
from durablehost.keys.ring import KeyRing
from durablehost.web.links import Links
from durablehost.web.listener import HttpListener
from durablehost.web.server import WebServer
from packages.durablehost.tests.unit.web.fakes import (
    FakeHub,
    FixedClock,
    ScriptedExecutor,
    host_status,
    make_app,
    make_function,
    make_settings,
)


@dataclass
class Edge:
    """A running server and its stand-ins."""

    server: WebServer
    hub: FakeHub
    executor: ScriptedExecutor
    links: Links
    starts: ActivityStarts
    logs: InstanceLogs
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def ports(self) -> tuple[int, int]:
        """The public port and that of the RPC base."""
        return self.server.port, urlsplit(self.server.rpc_base_url).port or 0

    @property
    def webhook(self) -> str:
        return f"{self.url}/runtime/webhooks/durabletask"

    def request(self, method: str, path: str, **options: Any) -> Any:
        return self.session.request(method, self.url + path, **options)

    def manage(self, method: str, path: str, **options: Any) -> Any:
        """A request to the management API."""
        return self.session.request(method, self.webhook + path, **options)


class EdgeFactory:
    """Starts servers and ends them with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.edges: list[Edge] = []
        self.rpc_port = 0
        self.public: HttpListener | None = None

    async def __call__(self, app: FunctionApp | None = None, *, keys: KeyRing | None = None, **settings: Any) -> Edge:
        app = app or make_app(
            make_function("Hello"),
            make_function("Orch", "orchestrationTrigger"),
            make_function("Counter", "entityTrigger"),
        )
        hub, executor, starts = FakeHub(), ScriptedExecutor(), ActivityStarts()
        logs = InstanceLogs(FixedClock())
        store = None if keys is None else self._store(keys)
        links = Links(hub_name="TestHub", find_system_key=None if store is None else lambda: store.current.durable)
        client = OrchestrationClient(
            hub.port,
            app.of_kind(TriggerKind.ORCHESTRATION),
            FixedClock(),
            entity_functions=app.of_kind(TriggerKind.ENTITY),
        )
        server = WebServer(
            app,
            executor.port,
            client,
            links,
            make_settings(**settings),
            host_status,
            clock=FixedClock(),
            starts=starts,
            logs=logs,
            keys=store,
            public=self.public,
            rpc_port=self.rpc_port,
        )
        await server.start()
        edge = Edge(server, hub, executor, links, starts, logs, aiohttp.ClientSession(auto_decompress=False))
        self.edges.append(edge)
        return edge

    def _store(self, keys: KeyRing) -> KeyStore:
        save_keys(self.root, keys)
        return KeyStore(self.root, [], [])


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[EdgeFactory]:
    factory = EdgeFactory(tmp_path)
    yield factory
    for edge in factory.edges:
        await edge.session.close()
        await edge.server.stop()


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    return await serve()
