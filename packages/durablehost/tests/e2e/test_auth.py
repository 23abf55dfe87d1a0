"""A real host that checks keys, from the first start to the next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from packages.durablehost.tests.e2e.conftest import HELLO_APP, RunningHost
from packages.durablehost.tests.e2e.host_process import HostProcess, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, accepted
from packages.durablehost.tests.eventually import eventually_blocking

WITH_KEYS = ("--no-azurite", "--verbose", "--enableAuth")


@pytest.fixture
def app_root(tmp_path: Path) -> Path:
    root = shutil.copytree(HELLO_APP, tmp_path / "app")
    config = root / "start_hello" / "function.json"
    config.write_text(config.read_text("utf-8").replace('"anonymous"', '"function"'), "utf-8")
    return root


def wait_until_ready(host: HostProcess, *, times: int = 1) -> None:
    eventually_blocking(lambda: host.output.count("Host started (") == times)


def stored_keys(app_root: Path) -> dict[str, Any]:
    keys: dict[str, Any] = json.loads((app_root / ".local" / "keys.json").read_text("utf-8"))
    return keys


def every_key(keys: object) -> Iterator[str]:
    if isinstance(keys, dict):
        for value in keys.values():
            yield from every_key(value)
    else:
        yield str(keys)


def test_a_run_with_keys(running_host: RunningHost, app_root: Path) -> None:
    with running_host(app_root, options=WITH_KEYS, is_awaited=False) as host:
        wait_until_ready(host)
        keys = stored_keys(app_root)
        assert call("GET", f"{host.url}/admin/host/ping").status == 200
        assert call("GET", f"{host.url}/admin/host/status").status == 401
        assert call("GET", f"{host.url}{MANAGEMENT}/instances").status == 401
        refused = call("POST", f"{host.url}/api/hello", ["Ada"])
        assert (refused.status, refused.body) == (401, b"")

        own_key = {"x-functions-key": keys["functions"]["start_hello"]["default"]}
        run = accepted(call("POST", f"{host.url}/api/hello", ["Ada"], headers=own_key))

        # Every link carries the key of the durable extension: nothing else is needed to follow it.
        assert run.output() == ["Hello Ada!"]
        assert all("&code=" in link for name, link in run.links.items() if name != "id")
        described = call("GET", f"{host.url}/admin/functions", headers={"x-functions-key": keys["master"]})
        assert described.status == 200
        shown = host.output + described.body.decode() + command_lines()
        assert not [key for key in every_key(keys) if key in shown]
        assert str(app_root / ".local" / "keys.json") in host.output
        port = host.port

    with running_host(app_root, options=WITH_KEYS, port=port, is_awaited=False) as host:
        wait_until_ready(host, times=2)
        assert stored_keys(app_root) == keys
        assert run.output() == ["Hello Ada!"]


def command_lines() -> str:
    """Returns what other users see of the processes of this machine; empty if the system does not show it."""
    if sys.platform == "win32":
        return ""
    return subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
