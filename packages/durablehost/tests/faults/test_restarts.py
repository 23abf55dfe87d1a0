"""A restarted host goes on at once, whatever messages the killed one held; a living host keeps its messages.

The visibility timeouts are five minutes, as in Azure; no test waits for one to end.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess, environment_of, hosted, spawn_host
from packages.durablehost.tests.e2e.orchestration import Orchestration
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.hosts import Run, begin_run, let_pass

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals are those of POSIX")

AS_IN_AZURE = {
    f"AzureFunctionsJobHost__extensions__durableTask__storageProvider__{name}": value
    for name, value in {
        "workItemQueueVisibilityTimeout": "00:05:00",
        "controlQueueVisibilityTimeout": "00:05:00",
        "maxQueuePollingInterval": "00:00:30",
    }.items()
}
# Far less than the five minutes, and enough for a busy machine.
SOON_SECONDS = 120
# By then journals and leases have been checked, and queues polled, several times.
A_WHILE_SECONDS = 3
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
SEED = 2024
CHUNKS = 100
RUN_SECONDS = 1.5


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.open()


def wait_for_status(run: Orchestration, status: str) -> None:
    eventually_blocking(lambda: run.status()["runtimeStatus"] == status)


def owners(account: Account) -> set[str | None]:
    return {row.get("CurrentOwner") for row in account.rows("Partitions")}


def test_a_restarted_host_goes_on_at_once_although_the_killed_process_is_a_zombie(
    running_host: RunningHost, gate: Gate
) -> None:
    with running_host(FEATURES_APP, environment=AS_IN_AZURE) as host:
        app = App(host.url)
        suspended = app.start("guarded", 3600)
        wait_for_status(suspended, "Running")
        suspended.suspend("to hold the event")
        wait_for_status(suspended, "Suspended")
        suspended.raise_event("approval", "given")
        early = app.start("awaited", ["first", "second"])
        wait_for_status(early, "Running")
        early.raise_event("second", 2)
        fan = app.start("gated_fan", [gate.value(name) for name in "ab"])
        gate.wait_until_reached(2)

        # The process stays a zombie until the end of the test.
        os.kill(host.pid, signal.SIGKILL)
        with running_host(FEATURES_APP, environment=AS_IN_AZURE, port=host.port):
            early.raise_event("first", 1)
            suspended.resume("now")
            assert suspended.output(SOON_SECONDS) == "given"
            assert early.output(SOON_SECONDS) == [1, 2]
            eventually_blocking(lambda: Counter(gate.runs) == {"a": 2, "b": 2}, timeout_seconds=SOON_SECONDS)
            gate.open()
            assert fan.output(SOON_SECONDS) == ["a", "b"]


def test_a_second_host_gets_no_message_of_a_living_or_stopped_host(
    running_host: RunningHost, gate: Gate, azurite: Azurite, hub_name: str
) -> None:
    account = Account(azurite.connection_string, hub_name)
    with running_host(FEATURES_APP, environment=AS_IN_AZURE) as first:
        fan = App(first.url).start("gated_fan", [gate.value(name) for name in "ab"])
        gate.wait_until_reached(2)
        living = owners(account)
        with running_host(FEATURES_APP, environment=AS_IN_AZURE):
            os.kill(first.pid, signal.SIGSTOP)
            try:
                let_pass(A_WHILE_SECONDS)
                assert living <= owners(account)
                assert Counter(gate.runs) == {"a": 1, "b": 1}
            finally:
                os.kill(first.pid, signal.SIGCONT)
            gate.open()
            assert fan.output(SOON_SECONDS) == ["a", "b"]
            assert Counter(gate.runs) == {"a": 1, "b": 1}
            assert living <= owners(account)
    account.close()


def test_a_host_in_a_container_of_the_same_name_is_left_alone_until_it_is_killed(
    running_host: RunningHost, gate: Gate, azurite: Azurite, hub_name: str, tmp_path: Path
) -> None:
    """Both hosts share the folder of the app, and neither knows the process ids of the other."""
    skip_without_containers()
    account = Account(azurite.connection_string, hub_name)
    contained = spawn_host(
        FEATURES_APP,
        output_file=tmp_path / "contained.log",
        environment=environment_of(azurite.connection_string, hub_name, AS_IN_AZURE),
        options=("--no-azurite",),
        within=CONTAINER,
    )
    with hosted(contained):
        fan = App(contained.url).start("gated_fan", [gate.value(name) for name in "ab"])
        gate.wait_until_reached(2)
        living = owners(account)
        with running_host(FEATURES_APP, environment=AS_IN_AZURE) as host:
            fan = seen_by(host, fan)
            let_pass(A_WHILE_SECONDS)
            assert living <= owners(account)
            assert Counter(gate.runs) == {"a": 1, "b": 1}

            contained.kill()
            eventually_blocking(lambda: Counter(gate.runs) == {"a": 2, "b": 2}, timeout_seconds=SOON_SECONDS)
            gate.open()
            assert fan.output(SOON_SECONDS) == ["a", "b"]
    account.close()


def skip_without_containers() -> None:
    if shutil.which(CONTAINER[0]) is None:
        pytest.skip("needs unshare")
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"may not make a namespace: {tried.stderr.strip()}")


def seen_by(host: HostProcess, run: Orchestration) -> Orchestration:
    """Returns the same instance with the URLs of another host."""
    own, other = run.links["statusQueryGetUri"].split("/runtime/")[0], host.url
    return Orchestration(links={name: link.replace(own, other) for name, link in run.links.items()})


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_runs_are_finished_soon_after_kills_at_random_moments(running_host: RunningHost, kills: int) -> None:
    moments = random.Random(SEED)
    runs: list[Run] = []
    port = 0
    for _ in range(kills):
        with running_host(CHECKOUT, environment=AS_IN_AZURE, port=port) as host:
            port = host.port
            for run in runs[-1:]:
                run.assert_exact(SOON_SECONDS)
            runs.append(begin_run(host, CHUNKS))
            let_pass(moments.uniform(0, RUN_SECONDS))
            host.kill()
    with running_host(CHECKOUT, environment=AS_IN_AZURE, port=port):
        for run in runs:
            run.assert_exact(SOON_SECONDS)
