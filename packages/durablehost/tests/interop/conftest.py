"""What the tests against the real engine share; they are skipped where there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pytest

from durablehost.emulator.azurite import Azurite
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import running_host
from packages.durablehost.tests.interop.engine import DEFAULT_VERSION, SCRIPTED_APP, VARIABLE, RealEngine

__all__ = ["running_host"]

ENVIRONMENT = {"AzureFunctionsJobHost__extensions__durableTask__defaultVersion": DEFAULT_VERSION}


class StartEngine(Protocol):
    """Makes an engine, on another storage if there is one."""

    def __call__(self, storage: str = "") -> RealEngine: ...


@pytest.fixture
def real_engine(azurite: Azurite, hub_name: str, tmp_path: Path) -> StartEngine:
    """Makes engines for the scripted app, on the same storage and task hub as the test's `running_host`."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with the real engine")

    def start(storage: str = "") -> RealEngine:
        return RealEngine(
            Path(folder).resolve(),
            SCRIPTED_APP,
            hub_name=hub_name,
            connection_string=storage or azurite.connection_string,
            log_file=tmp_path / "engine.log",
        )

    return start


@pytest.fixture
def options(azurite: Azurite, hub_name: str) -> StorageOptions:
    """Of a client of the test's task hub."""
    return StorageOptions(hub_name=hub_name, connection=ConnectionString(azurite.connection_string), worker_id="client")
