"""Instances that one host has begun and another one ends: durablehost and the real engine, one after the other."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from durablehost.clock import SystemClock
from durablehost.core.entity_messages import EntityRequest, request_to_text
from durablehost.core.ticks import ticks_of
from durablehost.engine.entities import Entities
from durablehost.engine.ports import TaskHub
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.patterns import COUNTER_ID, counter
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.further_kinds import FURTHER_KINDS
from packages.durablehost.tests.interop.kinds import KINDS, Host, Kind, Runs
from packages.durablehost.tests.interop.message_kinds import MESSAGE_KINDS, MESSAGE_KINDS_OF_THE_REAL_ENGINE
from packages.durablehost.tests.interop.rare_kinds import RARE_KINDS
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import function

FUNCTIONS = {"counter": function("counter", "entityTrigger")}
# All at once have more activities waiting than a host runs, and take too long for `dev.py test`.
USUAL = pytest.param(KINDS, {}, id="usual")
RARE = pytest.param(RARE_KINDS, {}, id="rare", marks=pytest.mark.soak)
FURTHER = pytest.param(FURTHER_KINDS, {}, id="further", marks=pytest.mark.soak)
MESSAGES = pytest.param(MESSAGE_KINDS, {}, id="messages", marks=pytest.mark.soak)
MESSAGES_THERE = pytest.param(MESSAGE_KINDS_OF_THE_REAL_ENGINE, {}, id="messages", marks=pytest.mark.soak)
# With traces, the context is in every start, request and event; nothing listens there.
TRACED = pytest.param(KINDS, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, id="traced", marks=pytest.mark.soak)


@pytest.mark.azurite
@pytest.mark.parametrize(("kinds", "variables"), [USUAL, RARE, FURTHER, MESSAGES_THERE])
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
@pytest.mark.parametrize(("kinds", "variables"), [USUAL, TRACED, RARE, FURTHER, MESSAGES])
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


@pytest.mark.azurite
@pytest.mark.parametrize("is_new", [True, False])
async def test_the_real_engine_ends_an_episode_of_an_entity_of_which_durablehost_has_stored_the_beginning(
    real_engine: StartEngine, options: StorageOptions, is_new: bool
) -> None:
    line = Line()
    quick = replace(options, worker_id="host-a", control_queue_visibility_seconds=1)
    async with open_failing_hub(quick, line) as hub:
        await hub.create()
        await hub.start()
        entities = Entities(hub, executor_of_the_counter(), FUNCTIONS, SystemClock())
        if not is_new:
            await ask(hub, "zero")
            await entities.process(await hub.fetch_orchestration())
        for parent in ("one", "two"):
            await ask(hub, parent)
        line.writes_left = 1
        with pytest.raises(StorageUnavailable):
            await entities.process(await hub.fetch_orchestration())
        # The hub releases its partitions at its end, so that the real engine need not wait for a minute.
        line.mend()
    expected = "2" if is_new else "3"
    with real_engine() as engine:
        states = f"{engine.url}{MANAGEMENT}/entities/counter/shared?code=test"
        await eventually(lambda: call("GET", states).body.decode() == expected)


async def ask(hub: TaskHub, parent: str) -> None:
    """Calls the counter for an orchestration that nobody has started."""
    request = EntityRequest(
        id=str(uuid.uuid4()),
        operation="add",
        input=json.dumps("1"),
        parent=parent,
        parent_execution=uuid.uuid4().hex,
        timestamp=ticks_of(SystemClock().now()),
    )
    await hub.send(build.event_raised(COUNTER_ID, "op", input_text=request_to_text(request)))


def executor_of_the_counter() -> SdkExecutor:
    return SdkExecutor({}, {}, {"counter": counter})
