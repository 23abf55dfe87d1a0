"""Tiny apps written to a temporary folder, and pools that run them in real processes and are always stopped.

Rule of this file: the pool is imported late, so that the tests are skipped if its dependencies are not installed.
"""

from __future__ import annotations

import json
import logging
import os
import textwrap
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durablehost.app.discovery import discover
from durablehost.app.invocation import HttpRequest, InputValue, Invocation, InvocationResult
from packages.durablehost.tests.eventually import WAIT_SECONDS

if TYPE_CHECKING:
    from durablehost.worker.pool import WorkerPool

ACTIVITY = {"type": "activityTrigger", "name": "input", "direction": "in"}
HTTP = {"type": "httpTrigger", "name": "req", "direction": "in"}
ORCHESTRATOR = {"type": "orchestrationTrigger", "name": "context", "direction": "in"}
ENTITY = {"type": "entityTrigger", "name": "context", "direction": "in"}
CLIENT = {"type": "durableClient", "name": "starter", "direction": "in"}
RESPONSE = {"type": "http", "name": "$return", "direction": "out"}

StartPool = Callable[..., Awaitable["RunningPool"]]


class AppBuilder:
    """Writes functions below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def function(self, name: str, *bindings: Mapping[str, Any], source: str, **members: Any) -> None:
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "function.json").write_text(json.dumps({"bindings": list(bindings), **members}), encoding="utf-8")
        self.file(f"{name}/__init__.py", source)

    def activity(self, name: str, source: str) -> None:
        self.function(name, ACTIVITY, source=source)

    def http(self, name: str, source: str) -> None:
        self.function(name, HTTP, RESPONSE, source=source)

    def file(self, path: str, source: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")


class RunningPool:
    """A started pool, with short ways to call its functions."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    async def activity(self, name: str, value: Any = None) -> Any:
        """Returns the result of an activity; its failure is an assertion error."""
        result = await self.call(name, {"input": json.dumps(value)})
        assert result.failure is None, result.failure.stack
        assert result.return_value is not None
        return json.loads(result.return_value)

    async def call(self, name: str, inputs: Mapping[str, InputValue] | None = None, **members: Any) -> InvocationResult:
        given = {"input": "null"} if inputs is None else inputs
        return await self.pool.invoke(
            Invocation(invocation_id=str(uuid.uuid4()), function_name=name, inputs=given, **members)
        )

    async def http(self, name: str, body: bytes = b"", *, trace_parent: str = "", **members: Any) -> InvocationResult:
        return await self.call(name, {"req": make_request(body, **members)}, trace_parent=trace_parent)


def make_request(body: bytes = b"", **members: Any) -> HttpRequest:
    defaults: dict[str, Any] = {
        "method": "POST",
        "url": "http://localhost:7071/api/x?a=1",
        "headers": {"content-type": "application/json"},
        "query": {"a": "1"},
        "params": {"id": "7"},
    }
    return HttpRequest(body=body, **{**defaults, **members})


@pytest.fixture
def app(tmp_path: Path) -> AppBuilder:
    return AppBuilder(tmp_path / "app")


@pytest.fixture
async def start_pool(app: AppBuilder, caplog: pytest.LogCaptureFixture) -> AsyncIterator[StartPool]:
    """Starts pools over the current files of the app, without the PYTHONPATH of the tests."""
    pytest.importorskip("anyio")
    pytest.importorskip("azure.functions")
    from durablehost.worker.pool import WorkerPool
    from durablehost.worker.process import WorkerLimits

    caplog.set_level(logging.DEBUG)
    pools: list[WorkerPool] = []

    async def start(
        *, environment: Mapping[str, str] | None = None, limits: Mapping[str, float] | None = None, **options: Any
    ) -> RunningPool:
        found = discover(app.root, find_setting=lambda _: None)
        assert found.errors == ()
        pool = WorkerPool(
            found,
            environment={**os.environ, "PYTHONPATH": "", **(environment or {})},
            client_input=lambda binding: json.dumps({"taskHubName": binding.name}),
            limits=WorkerLimits(**{"start_seconds": WAIT_SECONDS, "wait_seconds": WAIT_SECONDS, **(limits or {})}),
            **options,
        )
        pools.append(pool)
        await pool.start()
        return RunningPool(pool)

    yield start
    for pool in pools:
        await pool.stop(0)
