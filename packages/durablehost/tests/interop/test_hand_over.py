"""Instances that one host has begun and another one ends: durablehost and the real engine, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.kinds import Host, Runs


@pytest.mark.azurite
def test_durablehost_ends_what_the_real_engine_has_begun(
    running_host: RunningHost, real_engine: StartEngine, options: StorageOptions, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    with real_engine() as engine:
        runs.begin(Host(engine.url, options))
        engine.kill()
    with running_host(SCRIPTED_APP, environment=ENVIRONMENT) as host:
        runs.end(Host(host.url, options))


# With traces, the context is in every start, request and event; nothing listens there.
TRACED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.azurite
@pytest.mark.parametrize("variables", [{}, TRACED], ids=["untraced", "traced"])
def test_the_real_engine_ends_what_durablehost_has_begun(
    running_host: RunningHost,
    real_engine: StartEngine,
    options: StorageOptions,
    tmp_path: Path,
    variables: dict[str, str],
) -> None:
    runs = Runs(tmp_path)
    with running_host(SCRIPTED_APP, environment={**ENVIRONMENT, **variables}) as host:
        runs.begin(Host(host.url, options))
        host.kill()
    with real_engine() as engine:
        runs.end(Host(engine.url, options))
