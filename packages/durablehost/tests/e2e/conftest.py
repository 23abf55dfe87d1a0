"""Fixtures of the end-to-end tests: real hosts on the run's Azurite, each test with a task hub of its own.

With `--base-url URL` the tests without a host of their own run against a host that is already running, such as
`func start`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.host_process import APPS, CHECKOUT, HostProcess, environment_of, hosted, spawn_host

HELLO_APP = APPS / "hello"


class RunningHost(Protocol):
    """Starts a host for the length of a `with` block."""

    def __call__(
        self,
        app_root: Path = HELLO_APP,
        *,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = ("--no-azurite",),
        port: int = 0,
        is_awaited: bool = True,
    ) -> AbstractContextManager[HostProcess]: ...


@pytest.fixture
def running_host(request: pytest.FixtureRequest, azurite: Azurite, hub_name: str, tmp_path: Path) -> RunningHost:
    """Every host of one test shares its storage and its task hub."""
    _skip_without_own_host(request)
    return _hosts(azurite.connection_string, hub_name, tmp_path / "host.log")


@pytest.fixture(scope="module")
def shared_host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunningHost:
    """`running_host` for a host that the tests of one module share."""
    _skip_without_own_host(request)
    azurite: Azurite = request.getfixturevalue("azurite")
    return _hosts(azurite.connection_string, _new_hub_name(), tmp_path_factory.mktemp("host") / "host.log")


@pytest.fixture(scope="module")
def app_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of the function app of this project: `--base-url`, or a host for the tests of one module."""
    if url := request.config.getoption("--base-url"):
        yield url.rstrip("/")
        return
    shared_host: RunningHost = request.getfixturevalue("shared_host")
    with shared_host(CHECKOUT) as host:
        yield host.url


def _skip_without_own_host(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--base-url"):
        pytest.skip("needs a host of its own")
    # The packages that durablehost needs beside the app's requirements.
    for module in ("anyio", "azure.data.tables", "azure.storage.blob", "azure.storage.queue"):
        pytest.importorskip(module)


def _new_hub_name() -> str:
    return f"Test{uuid.uuid4().hex[:16]}"


def _hosts(storage: str, hub_name: str, output_file: Path) -> RunningHost:
    def start(
        app_root: Path = HELLO_APP,
        *,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = ("--no-azurite",),
        port: int = 0,
        is_awaited: bool = True,
    ) -> AbstractContextManager[HostProcess]:
        variables = environment_of(storage, hub_name, environment or {})
        host = spawn_host(app_root, output_file=output_file, environment=variables, options=options, port=port)
        return hosted(host, is_awaited=is_awaited)

    return start
