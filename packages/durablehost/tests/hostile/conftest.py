"""One real host for the hostile requests: the app of this project, an entity and an echo beside it, on real Azurite.

The counters of the tests are printed at the end of the run, also if all tests pass.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost, running_host, shared_host
from packages.durablehost.tests.e2e.host_process import APPS, CHECKOUT, HostProcess, call

__all__ = ["running_host", "shared_host"]

# Instances that wait, for requests that have to find one.
KNOWN_IDS = tuple(f"known-{number}" for number in range(6))

_APPS = APPS
# Logged by the host for unexpected errors.
_DEFECTS = ("A request failed", "failed unexpectedly", "never retrieved", "The host has failed", "does not understand")
_FIGURES = pytest.StashKey[dict[str, Counter[str]]]()


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running host with its two ports."""

    host: HostProcess
    public_port: int
    rpc_port: int

    def check_alive(self) -> None:
        """Asserts that the host and its functions still answer."""
        assert self.host.is_ready(), self.host.output[-2000:]
        assert call("GET", f"{self.host.url}/api/whereabouts").status == 200


@pytest.fixture(scope="module")
def hostile_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(_APPS / "hostile", tmp_path_factory.mktemp("hostile") / "app")
    for folder in (CHECKOUT / name for name in ("shared_code", *_own_functions())):
        shutil.copytree(folder, root / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(_APPS / "entities" / "counter", root / "counter")
    return root


def _own_functions() -> list[str]:
    return [file.parent.name for file in CHECKOUT.glob("*/function.json")]


@pytest.fixture(scope="module")
def target(shared_host: RunningHost, hostile_app: Path) -> Iterator[Target]:
    with shared_host(hostile_app) as host:
        client = call("GET", f"{host.url}/api/whereabouts").document
        found = Target(
            host=host, public_port=urlsplit(host.url).port or 0, rpc_port=urlsplit(client["rpcBaseUrl"]).port or 0
        )
        for instance_id in KNOWN_IDS:
            started = call("POST", f"{client['baseUrl']}/orchestrators/waiting/{instance_id}")
            assert started.status == 202, started.body
        yield found
        found.check_alive()
        assert not [line for line in host.output.splitlines() if any(each in line for each in _DEFECTS)]


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> dict[str, Counter[str]]:
    """Counters that are printed at the end of the run."""
    return request.config.stash.setdefault(_FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for title, counts in config.stash.get(_FIGURES, {}).items():
        shown = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
        terminalreporter.write_line(f"{title}: {counts.total()} ({shown})")
