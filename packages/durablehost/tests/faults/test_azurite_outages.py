"""Azurite stops responding, or is restarted, in the middle of runs: the host waits for it and goes on.

Azurite saves its memory every five seconds, so the tests kill it only after all relevant data is saved.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.emulator.azurite import Azurite, Ports
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.hosts import LARGE_ITEMS, SETTINGS, TIMEOUT_SECONDS, begin_run, let_pass

pytestmark = [
    pytest.mark.azurite,
    pytest.mark.skipif(sys.platform == "win32", reason="its signals are those of POSIX"),
]

CHUNKS = 400
DATABASES = ("__azurite_db_queue__.json", "__azurite_db_table__.json")
# Two saves of Azurite, one renewal of the visibility timeout, and a margin for a busy machine.
SAVED_SECONDS = 120


class OwnAzurite:
    """An emulator that the test may restart, with its data and on its ports."""

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
        """Waits until all changes so far are on disk."""
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
def test_a_stopped_azurite_costs_only_time(running_host: RunningHost, own_azurite: OwnAzurite, seconds: float) -> None:
    with running_host(CHECKOUT, environment=settings(own_azurite)) as host:
        run = begin_run(host, CHUNKS)
        run.wait_for_chunks(CHUNKS // 4)
        own_azurite.signal(signal.SIGSTOP)
        let_pass(seconds)
        own_azurite.signal(signal.SIGCONT)
        run.assert_exact()


def test_a_restarted_azurite_costs_only_time(running_host: RunningHost, own_azurite: OwnAzurite) -> None:
    with running_host(CHECKOUT, environment=settings(own_azurite)) as host:
        run = begin_run(host, CHUNKS)
        run.wait_for_chunks(CHUNKS // 4)
        own_azurite.running.stop()
        answer = run.orchestration.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        own_azurite.start()
        run.assert_exact()
        output = host.output
        assert "cannot be reached; all work waits for it: Cannot connect to host" in output
        assert output.count("answers again, after ") == output.count("cannot be reached; ")
        assert "failed; it will be delivered again: Cannot connect to host" not in output


@pytest.mark.soak
def test_a_killed_azurite_keeps_its_saved_data(
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
def test_large_inputs_and_results_survive_a_stopped_and_restarted_azurite(
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
