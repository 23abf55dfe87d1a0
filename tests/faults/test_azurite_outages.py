"""Azurite stands still, or ends and is started again, in the middle of runs: the host waits for it and goes on.

Azurite saves what it has in memory every five seconds, so a kill is tried when all that matters has been saved.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devhost import azurite as emulator
from devhost.azurite import Azurite, Ports
from tests.e2e.conftest import RunningHost
from tests.e2e.features import FEATURES_APP, App, Gate
from tests.e2e.host_process import CHECKOUT
from tests.eventually import eventually_blocking
from tests.faults.hosts import LARGE_ITEMS, SETTINGS, TIMEOUT_SECONDS, begin_run, let_pass

pytestmark = [
    pytest.mark.azurite,
    pytest.mark.skipif(sys.platform == "win32", reason="its signals are those of POSIX"),
]

CHUNKS = 400
DATABASES = ("__azurite_db_queue__.json", "__azurite_db_table__.json")
# Two of Azurite's savings, a renewal of what is hidden, and what a busy machine adds.
SAVED_SECONDS = 60


class OwnAzurite:
    """An emulator that may be ended: it comes again with its data, on its ports."""

    def __init__(self, location: Path, ports: Ports) -> None:
        self.location = location
        self._ports = ports
        self.running = self.start()

    def start(self) -> Azurite:
        self.running = emulator.start(location=self.location, ports=self._ports)
        return self.running

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.running.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        eventually_blocking(lambda: not self.running.is_running())

    def wait_until_saved(self) -> None:
        """What it has been told until now is on disk."""
        # The second saving from now has begun after now.
        for _ in range(2):
            now = time.time()
            eventually_blocking(
                lambda now=now: all((self.location / name).stat().st_mtime > now for name in DATABASES),  # type: ignore[misc]
                timeout_seconds=SAVED_SECONDS,
            )


@pytest.fixture
def own_azurite(tmp_path: Path) -> Iterator[OwnAzurite]:
    made = OwnAzurite(tmp_path / "azurite", emulator.free_ports())
    yield made
    made.running.stop()


def settings(azurite: OwnAzurite) -> dict[str, str]:
    return {**SETTINGS, "AzureWebJobsStorage": azurite.running.connection_string}


@pytest.mark.parametrize("seconds", [5, pytest.param(30, marks=pytest.mark.soak)])
def test_an_azurite_that_stands_still_for_a_while_costs_time_only(
    running_host: RunningHost, own_azurite: OwnAzurite, seconds: float
) -> None:
    with running_host(CHECKOUT, environment=settings(own_azurite)) as host:
        run = begin_run(host, CHUNKS)
        run.wait_for_chunks(CHUNKS // 4)
        own_azurite.signal(signal.SIGSTOP)
        let_pass(seconds)
        own_azurite.signal(signal.SIGCONT)
        run.assert_exact()


def test_an_azurite_that_is_started_again_costs_time_only(running_host: RunningHost, own_azurite: OwnAzurite) -> None:
    with running_host(CHECKOUT, environment=settings(own_azurite)) as host:
        run = begin_run(host, CHUNKS)
        run.wait_for_chunks(CHUNKS // 4)
        own_azurite.running.stop()
        answer = run.orchestration.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        own_azurite.start()
        run.assert_exact()


@pytest.mark.soak
def test_an_azurite_that_is_killed_keeps_what_it_has_saved(
    running_host: RunningHost, own_azurite: OwnAzurite, tmp_path: Path
) -> None:
    gate, names = Gate(tmp_path), ["a", "b", "c"]
    with running_host(FEATURES_APP, environment=settings(own_azurite)) as host:
        runs = [App(host.url).start("gated_fan", [gate.value(name) for name in names]) for _ in range(3)]
        gate.wait_until_reached(1)
        own_azurite.wait_until_saved()
        own_azurite.kill()
        own_azurite.start()
        gate.open()
        for run in runs:
            assert run.output(TIMEOUT_SECONDS) == names


@pytest.mark.soak
def test_large_inputs_and_results_outlast_an_azurite_that_stands_still_and_is_started_again(
    running_host: RunningHost, own_azurite: OwnAzurite
) -> None:
    with running_host(FEATURES_APP, environment=settings(own_azurite)) as host:
        runs = [App(host.url).start("fanned", LARGE_ITEMS) for _ in range(5)]
        own_azurite.signal(signal.SIGSTOP)
        let_pass(5)
        own_azurite.signal(signal.SIGCONT)
        let_pass(0.5)
        own_azurite.running.stop()
        own_azurite.start()
        for run in runs:
            assert run.output(TIMEOUT_SECONDS) == LARGE_ITEMS
