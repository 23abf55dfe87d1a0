"""durablehost and the real engine at work on one hub, while each is killed again and again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import HostProcess
from packages.durablehost.tests.e2e.orchestration import FINISHED
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP, RealEngine
from packages.durablehost.tests.interop.kinds import Host, Steps

SECONDS = float(os.environ.get("DURABLE_KILL_SECONDS", "600"))
# From the middle of its start to some time after it has taken its partitions.
LONGEST_LIFE_SECONDS = 45
BATCH = 6
END_SECONDS = 600

# Raised when the instance runs, so some come before their wait. The real engine can lose an event that comes within
# milliseconds of the start.
EVENTS = ["first", "second", "third"]
# Work that is quick without kills: an instance is somewhere in the middle of it at any moment.
PROGRAMS: dict[str, tuple[Callable[[str], Steps], Any]] = {
    "chain": (lambda id: [["activity", "echo", number] for number in range(5)], [0, 1, 2, 3, 4]),
    "fan": (lambda id: [["together", *(["activity", "echo", number] for number in range(10))]], [list(range(10))]),
    "children": (
        lambda id: [
            ["together", ["child", [["activity", "echo", 1]]], ["child", [["activity", "echo", 2]], f"{id}-c"]]
        ],
        [[[1], [2]]],
    ),
    "timers": (lambda id: [["timer", 1], ["activity", "echo", 1], ["timer", 1], ["activity", "echo", 2]], None),
    "eternal": (
        lambda id: [["activity", "echo", 1], ["again"], ["activity", "echo", 2], ["again"], ["activity", "echo", 3]],
        [1, 2, 3],
    ),
    "entity": (
        lambda id: [["call", id, "add", 1], ["signal", id, "add", 2], ["activity", "echo", 0], ["call", id, "add", 4]],
        [1, 0, 7],
    ),
    "deep": (
        lambda id: [["retried-child", [["retried-child", [["activity", "echo", 1], ["activity", "echo", 2]]]]]],
        [[[1, 2]]],
    ),
    "any": (lambda id: [["any", ["activity", "echo", 1], ["timer", 3600]], ["activity", "echo", 2]], [1, 2]),
    "events": (lambda id: [["activity", "echo", 0], *(["event", name] for name in EVENTS)], [0, *EVENTS]),
}


class Mortal:
    """A host that is killed and started again; `start` starts it, `options` are those of a client of its hub."""

    def __init__(self, start: Callable[[], Any], options: StorageOptions, moments: random.Random) -> None:
        self._start = start
        self._options = options
        self._moments = moments
        self._stack = ExitStack()
        self.process: HostProcess | RealEngine | None = None
        self.kills = 0
        self.revive()

    def revive(self) -> None:
        self.process = self._stack.enter_context(self._start())
        self._dies_at = time.monotonic() + self._moments.uniform(1, LONGEST_LIFE_SECONDS)

    @property
    def client(self) -> Host:
        assert self.process is not None
        return Host(self.process.url, self._options)

    def die_if_due(self) -> bool:
        if time.monotonic() < self._dies_at:
            return False
        self.kill()
        self.revive()
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.kills += 1
        self._stack.close()
        self._stack = ExitStack()


def raise_events(client: Host, instance_ids: set[str]) -> None:
    """Raises the events of those that run, and takes them out of the set."""
    running = {each for each in instance_ids if client.status(each)["runtimeStatus"] == "Running"}
    instance_ids -= running
    for instance_id in running:
        for event in EVENTS:
            client.raise_event(instance_id, event, event)


@pytest.mark.soak
@pytest.mark.azurite
def test_nothing_is_lost_or_done_twice_while_both_are_killed_again_and_again(
    running_host: RunningHost, real_engine: StartEngine, options: StorageOptions
) -> None:
    """Runs for DURABLE_KILL_SECONDS, ten minutes by default."""
    moments = random.Random(14)
    mortals = [
        Mortal(lambda: running_host(SCRIPTED_APP, environment=ENVIRONMENT), options, moments),
        Mortal(real_engine, options, moments),
    ]
    expected: dict[str, Any] = {}
    without_events: set[str] = set()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for mortal in mortals:
            mortal.die_if_due()
        for _ in range(BATCH):
            name, (steps, result) = moments.choice(list(PROGRAMS.items()))
            instance_id = f"{name}-{len(expected)}"
            moments.choice(mortals).client.start(instance_id, steps(instance_id))
            expected[instance_id] = result
            if name == "events":
                without_events.add(instance_id)
        raise_events(moments.choice(mortals).client, without_events)
        time.sleep(1)
    client = mortals[0].client
    unfinished = set(expected)

    def all_finished() -> bool:
        raise_events(client, without_events)
        unfinished.difference_update([each for each in unfinished if client.status(each)["runtimeStatus"] in FINISHED])
        return not unfinished

    eventually_blocking(all_finished, timeout_seconds=END_SECONDS, interval_seconds=2)
    wrong = {}
    for instance_id, result in expected.items():
        status = client.status(instance_id)
        if status["runtimeStatus"] != "Completed" or result not in (None, status["output"]):
            wrong[instance_id] = {name: status[name] for name in ("runtimeStatus", "output")}
    kills = [mortal.kills for mortal in mortals]
    for mortal in mortals:
        mortal.kill()
    print(f"{len(expected)} instances, {kills} kills")  # noqa: T201
    assert not wrong
