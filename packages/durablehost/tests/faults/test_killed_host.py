"""Hosts and their worker processes are killed in the middle of their work: the next host finishes exactly.

These tests check what has run, and how often; test_restarts.py checks how soon.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from durablehost.emulator.azurite import Azurite
from durablehost.host.worker_id import is_process_alive
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess
from packages.durablehost.tests.e2e.orchestration import Orchestration
from packages.durablehost.tests.e2e.processes import children_of
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.hosts import (
    EXECUTED_CHUNK,
    EXECUTING_CHUNK,
    SETTINGS,
    TIMEOUT_SECONDS,
    Run,
    begin_run,
)

data_tables = pytest.importorskip("azure.data.tables")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals and process lists are those of POSIX")

MANY_AT_ONCE = {**SETTINGS, "AzureFunctionsJobHost__extensions__durableTask__maxConcurrentActivityFunctions": "20"}
CHUNKS = 400


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.open()


def history(run: Orchestration) -> list[str]:
    """Returns the types of the stored events, counting a task and its result as one."""
    return [event["EventType"] for event in run.status(showHistory="true").get("historyEvents") or ()]


def wait_for_events(run: Orchestration, event_type: str, count: int) -> None:
    eventually_blocking(lambda: history(run).count(event_type) == count)


def wait_for_chunks(host: HostProcess, run: Run, count: int) -> None:
    """Waits until so many chunks have been processed, by this host and its predecessors."""
    eventually_blocking(
        lambda: host.output.count(EXECUTED_CHUNK) >= count, timeout_seconds=TIMEOUT_SECONDS, interval_seconds=0.01
    )
    assert run.orchestration.status()["runtimeStatus"] == "Running", "the run ended before it could be disturbed"


def kill(host: HostProcess) -> Sequence[int]:
    """Kills only the host process, like a power cut; returns the processes that it had started."""
    children = children_of(host.pid)
    host.kill()
    return children


@dataclass(frozen=True, kw_only=True)
class KilledRun:
    """A run during which two hosts were killed, and the third host, which goes on with it."""

    run: Run
    host: HostProcess
    children: Sequence[int]
    # Chunks that had begun before the last kill.
    begun: int


@pytest.fixture(scope="module")
def killed_run(shared_host: RunningHost) -> Iterator[KilledRun]:
    """The first test that needs it sets it up; the last one checks its end."""
    children: list[int] = []
    with shared_host(CHECKOUT, environment=SETTINGS) as host:
        port, run = host.port, begin_run(host, CHUNKS)
        wait_for_chunks(host, run, CHUNKS // 8)
        children += kill(host)
    with shared_host(CHECKOUT, environment=SETTINGS, port=port) as host:
        wait_for_chunks(host, run, CHUNKS // 4)
        children += kill(host)
        begun = host.output.count(EXECUTING_CHUNK)
    with shared_host(CHECKOUT, environment=SETTINGS, port=port) as host:
        yield KilledRun(run=run, host=host, children=children, begun=begun)


def test_the_worker_processes_of_a_killed_host_exit(killed_run: KilledRun) -> None:
    assert len(killed_run.children) == 2
    eventually_blocking(lambda: not [pid for pid in killed_run.children if is_process_alive(pid)])


def test_a_worker_process_whose_interpreter_is_held_ends_with_its_host(
    running_host: RunningHost, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with running_host(FEATURES_APP) as host:
        App(host.url).start("tried", {"how": "holds the interpreter", "mark": str(mark)})
        eventually_blocking(mark.exists)
        children = kill(host)
        try:
            eventually_blocking(lambda: not [pid for pid in children if is_process_alive(pid)])
        finally:
            for pid in children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_kill_while_everything_waits_loses_nothing(
    running_host: RunningHost, azurite: Azurite, hub_name: str, tmp_path: Path
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "shut").mkdir()
    passed, shut = Gate(tmp_path / "open"), Gate(tmp_path / "shut")
    passed.open()
    calls = tmp_path / "calls"
    with running_host(FEATURES_APP, environment=MANY_AT_ONCE) as host:
        port, app = host.port, App(host.url)
        fan = app.start("gated_fan", [passed.value("a"), shut.value("b"), passed.value("c"), shut.value("d")])
        family = app.start("gated_parent", [passed.value("e"), shut.value("f")])
        race = app.start("raced", {"activity": shut.value("g"), "seconds": 3600})
        nap = app.start("napped", 4)
        retries = app.start("retried", {"calls": str(calls), "failures": 2, "attempts": 3, "interval": 4_000})
        shut.wait_until_reached(4)
        child = family.under_id(f"{family.id}-child")
        for run, event, count in [
            (fan, "TaskCompleted", 2),
            (child, "TaskCompleted", 1),
            (race, "TimerCreated", 1),
            (nap, "TimerCreated", 1),
            (retries, "TaskFailed", 1),
        ]:
            wait_for_events(run, event, count)
        # The requests of the others are deleted only after their results are in the histories.
        with closing(Account(azurite.connection_string, hub_name)) as account:
            eventually_blocking(lambda: account.stored("-workitems") == 4)
        kill(host)
    shut.open()
    with running_host(FEATURES_APP, environment=MANY_AT_ONCE, port=port):
        assert fan.output(TIMEOUT_SECONDS) == ["a", "b", "c", "d"]
        assert family.output(TIMEOUT_SECONDS) == ["e", "f"]
        assert race.output(TIMEOUT_SECONDS) == "g"
        began_at, woke_at = nap.output(TIMEOUT_SECONDS)
        assert began_at < woke_at
        assert retries.output(TIMEOUT_SECONDS) == 3
    assert Counter(passed.runs) == {"a": 1, "c": 1, "e": 1}
    assert Counter(shut.runs) == {"b": 2, "d": 2, "f": 2, "g": 2}


def test_a_killed_worker_process_is_replaced_and_its_activities_run_again(
    running_host: RunningHost, gate: Gate
) -> None:
    names = ["a", "b", "c", "d"]
    with running_host(FEATURES_APP, environment=MANY_AT_ONCE) as host:
        run = App(host.url).start("gated_fan", [gate.value(name) for name in names])
        gate.wait_until_reached(len(names))
        (child,) = children_of(host.pid)
        os.kill(child, signal.SIGKILL)
        eventually_blocking(lambda: "Starting another" in host.output)
        gate.open()
        assert run.output(TIMEOUT_SECONDS) == names
        assert Counter(gate.runs) == dict.fromkeys(names, 2)
        # The host has lived on, with another worker process.
        (other,) = children_of(host.pid)
        assert other != child


def test_ctrl_c_drains_running_activities_and_releases_the_partitions(
    running_host: RunningHost, azurite: Azurite, hub_name: str
) -> None:
    with running_host(CHECKOUT, environment=SETTINGS) as host:
        port, run = host.port, begin_run(host, CHUNKS)
        wait_for_chunks(host, run, CHUNKS // 8)
        host.interrupt()
        assert host.wait() == 0
        began = host.output.count(EXECUTING_CHUNK)
        assert began < CHUNKS
        assert host.output.count(EXECUTED_CHUNK) == began
    rows = partitions(azurite, hub_name)
    assert sorted(row["RowKey"] for row in rows) == [f"{hub_name.lower()}-control-0{n}" for n in range(4)]
    assert [row.get("CurrentOwner") for row in rows] == [None] * 4
    with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
        run.assert_exact()
        # The results of running activities were stored before the end.
        assert host.output.count(EXECUTING_CHUNK) == CHUNKS
        assert not re.search("Traceback", host.output)


def partitions(azurite: Azurite, hub_name: str) -> Sequence[Any]:
    with data_tables.TableClient.from_connection_string(azurite.connection_string, f"{hub_name}Partitions") as table:
        return list(table.list_entities())


def test_two_kills_at_any_moment_of_a_run_leave_its_output_exact(killed_run: KilledRun) -> None:
    killed_run.run.assert_exact()
    # What had begun under a killed host, and was in no history yet, has run again. So has, once for each kill, what had
    # been asked for by a checkpoint that was cut short: the request was stored, and is sent anew with the next one.
    repeated = killed_run.host.output.count(EXECUTING_CHUNK) - CHUNKS
    assert 0 <= repeated <= killed_run.begun + 2 * CHUNKS
