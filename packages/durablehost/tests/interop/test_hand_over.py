"""Instances that one host has begun and another one ends: durablehost and the real engine, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.kinds import KINDS, Host, Kind, Runs
from packages.durablehost.tests.interop.message_kinds import MESSAGE_KINDS, MESSAGE_KINDS_OF_THE_REAL_ENGINE
from packages.durablehost.tests.interop.rare_kinds import RARE_KINDS

# All at once have more activities waiting than a host runs, and take too long for `dev.py test`.
USUAL = pytest.param(KINDS, {}, id="usual")
RARE = pytest.param(RARE_KINDS, {}, id="rare", marks=pytest.mark.soak)
MESSAGES = pytest.param(MESSAGE_KINDS, {}, id="messages", marks=pytest.mark.soak)
MESSAGES_THERE = pytest.param(MESSAGE_KINDS_OF_THE_REAL_ENGINE, {}, id="messages", marks=pytest.mark.soak)
# With traces, the context is in every start, request and event; nothing listens there.
TRACED = pytest.param(KINDS, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, id="traced")


@pytest.mark.azurite
@pytest.mark.parametrize(("kinds", "variables"), [USUAL, RARE, MESSAGES_THERE])
def test_durablehost_ends_what_the_real_engine_has_begun(
    running_host: RunningHost,
    real_engine: StartEngine,
    options: StorageOptions,
    tmp_path: Path,
    kinds: dict[str, Kind],
    variables: dict[str, str],
) -> None:
    runs = Runs(tmp_path, kinds)
    with real_engine() as engine:
        runs.begin(Host(engine.url, options))
        engine.kill()
    with running_host(SCRIPTED_APP, environment={**ENVIRONMENT, **variables}) as host:
        runs.end(Host(host.url, options))


@pytest.mark.azurite
@pytest.mark.parametrize(("kinds", "variables"), [USUAL, TRACED, RARE, MESSAGES])
def test_the_real_engine_ends_what_durablehost_has_begun(
    running_host: RunningHost,
    real_engine: StartEngine,
    options: StorageOptions,
    tmp_path: Path,
    kinds: dict[str, Kind],
    variables: dict[str, str],
) -> None:
    runs = Runs(tmp_path, kinds)
    with running_host(SCRIPTED_APP, environment={**ENVIRONMENT, **variables}) as host:
        runs.begin(Host(host.url, options))
        host.kill()
    with real_engine() as engine:
        runs.end(Host(engine.url, options))
