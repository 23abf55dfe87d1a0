"""Kinds of instances that stop half-way: how each is begun, what shows that it got there, how it goes on and ends.

All are programs of the orchestrator in `tests/apps/scripted`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from durablehost.clock import SystemClock
from durablehost.core.messages import TaskMessage
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.e2e.features import Gate
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import FINISHED, MANAGEMENT
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.interop.engine import DEFAULT_VERSION

HALF_WAY_SECONDS = 180
# The leases of a killed host run for a minute, its messages come back after a minute at the latest.
HAND_OVER_SECONDS = 180
AT_ONCE = 8
# More than a row or a message holds.
LARGE = "long " * 20_000
LARGE_STATUS = "s" * 8_000

NAP_SECONDS = 8
# After the host that has begun it is killed.
SCHEDULED = timedelta(seconds=40)

Steps = list[Any]


class Host:
    """Either host, by its management API, and its task hub, by a client of durablehost."""

    def __init__(self, url: str, options: StorageOptions) -> None:
        self.url = url
        self._base = f"{url}{MANAGEMENT}"
        self._options = options

    def start(self, instance_id: str, steps: Steps) -> None:
        url = f"{self._base}/orchestrators/script/{quote(instance_id)}?code=test"
        answer = call("POST", url, {"steps": steps, "results": []})
        assert answer.status == 202, answer.body

    def schedule(self, instance_id: str, steps: Steps, at: datetime) -> None:
        """Starts an instance later. Only programs can, not the management API."""

        async def start() -> None:
            async with open_task_hub(self._options, SystemClock()) as hub:
                text = json.dumps({"steps": steps, "results": []})
                message = build.start(instance_id, name="script", input_text=text, scheduled_at=at)
                await hub.start_instance(message, overridable=frozenset())

        asyncio.run(start())

    def send(self, message: TaskMessage) -> None:
        """Sends what neither the management API nor the SDK for Python can."""

        async def send() -> None:
            async with open_task_hub(self._options, SystemClock()) as hub:
                await hub.send(message)

        asyncio.run(send())

    def signal(self, key: str, operation: str, value: object) -> None:
        url = f"{self._base}/entities/Counter/{quote(key)}?op={operation}&code=test"
        answer = call("POST", url, value, headers={"Content-Type": "application/json"})
        assert answer.status == 202, answer.body

    def state(self, key: str) -> Any:
        """Of an entity; None: there is none."""
        answer = call("GET", f"{self._base}/entities/Counter/{quote(key)}?code=test")
        return answer.document if answer.status == 200 else None

    def post(self, instance_id: str, operation: str, body: object = None, *, reason: str = "test") -> None:
        url = f"{self._base}/instances/{quote(instance_id)}/{operation}?code=test&reason={reason}"
        answer = call("POST", url, body, headers={"Content-Type": "application/json"})
        assert answer.status in (200, 202), answer.body

    def raise_event(self, instance_id: str, name: str, value: object) -> None:
        self.post(instance_id, f"raiseEvent/{name}", value)

    def restart(self, instance_id: str) -> None:
        url = f"{self._base}/instances/{quote(instance_id)}/restart?restartWithNewInstanceId=false&code=test"
        assert call("POST", url).status == 202

    def purge(self, instance_id: str) -> None:
        assert call("DELETE", f"{self._base}/instances/{quote(instance_id)}?code=test").status == 200

    def status(self, instance_id: str) -> Any:
        """None: there is no such instance."""
        answer = call("GET", f"{self._base}/instances/{quote(instance_id)}?code=test&showHistory=true")
        return answer.document if answer.body else None

    def wait_for_status(self, instance_id: str, *wanted: str, seconds: float = HAND_OVER_SECONDS) -> Any:
        def reached() -> Any:
            status = self.status(instance_id)
            assert status["runtimeStatus"] in wanted, f"{instance_id}: {status}"
            return status

        return eventually_blocking(reached, timeout_seconds=seconds, interval_seconds=0.3)

    def wait_for_event(self, instance_id: str, event_type: str) -> None:
        def recorded() -> bool:
            return any(each["EventType"] == event_type for each in self.status(instance_id).get("historyEvents", []))

        eventually_blocking(recorded, timeout_seconds=HALF_WAY_SECONDS, interval_seconds=0.3)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One instance of a kind: its id, and the folder with the files of its activities."""

    id: str
    folder: Path

    @property
    def gate(self) -> Gate:
        return Gate(self.folder)

    @property
    def gated(self) -> Steps:
        """The step that runs until the gate is open."""
        return ["activity", "gated", self.gate.value("gated")]

    @property
    def file(self) -> Path:
        return self.folder / "file"


def waits_at_gate(host: Host, run: Run) -> None:
    run.gate.wait_until_reached()


def _nothing(host: Host, run: Run) -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`half_way` is carried out on the host that begins the instance, `go_on` on the one that ends it, at open gates.

    Then `expected` is the output, or `check` has no objection to the status.
    """

    steps: Callable[[Run], Steps]
    expected: object = None
    check: Callable[[Any], None] | None = None
    status: str = "Completed"
    starts_in: timedelta = timedelta()
    half_way: Callable[[Host, Run], None] = waits_at_gate
    go_on: Callable[[Host, Run], None] = _nothing

    def begin(self, host: Host, run: Run) -> None:
        run.folder.mkdir()
        if self.starts_in:
            host.schedule(run.id, self.steps(run), datetime.now(timezone.utc) + self.starts_in)
        else:
            host.start(run.id, self.steps(run))

    def end(self, host: Host, run: Run) -> None:
        """Waits for the end and compares it."""
        status = host.wait_for_status(run.id, *FINISHED)
        assert status["runtimeStatus"] == self.status, status
        if self.check is not None:
            self.check(status)
        else:
            assert status["output"] == self.expected, status


def recorded(event_type: str) -> Callable[[Host, Run], None]:
    return lambda host, run: host.wait_for_event(run.id, event_type)


def recorded_times(event_type: str, count: int) -> Callable[[Host, Run], None]:
    def enough(host: Host, run: Run) -> bool:
        events = host.status(run.id).get("historyEvents", [])
        return len([each for each in events if each["EventType"] == event_type]) >= count

    def wait(host: Host, run: Run) -> None:
        eventually_blocking(lambda: enough(host, run), timeout_seconds=HALF_WAY_SECONDS, interval_seconds=0.3)

    return wait


def in_status(*status: str) -> Callable[[Host, Run], None]:
    return lambda host, run: host.wait_for_status(run.id, *status) and None


def terminated(host: Host, run: Run) -> None:
    host.post(run.id, "terminate", reason="enough")


def raised(name: str, value: object) -> Callable[[Host, Run], None]:
    return lambda host, run: host.raise_event(run.id, name, value)


def results(count: int) -> Callable[[Host, Run], None]:
    """Waits for the execution that begins with so many results."""

    def reached(host: Host, run: Run) -> bool:
        given = host.status(run.id)["input"]
        return len((json.loads(given) if isinstance(given, str) else given)["results"]) == count

    def wait(host: Host, run: Run) -> None:
        eventually_blocking(lambda: reached(host, run), timeout_seconds=HAND_OVER_SECONDS, interval_seconds=0.3)

    return wait


def in_turn(*parts: Callable[[Host, Run], None]) -> Callable[[Host, Run], None]:
    def carry_out(host: Host, run: Run) -> None:
        for part in parts:
            part(host, run)

    return carry_out


def failed_once(host: Host, run: Run) -> None:
    eventually_blocking(run.file.exists, timeout_seconds=HALF_WAY_SECONDS)


def _suspended_with_events(host: Host, run: Run) -> None:
    """Suspends it while its activity runs, and lets the result and an event arrive."""
    run.gate.wait_until_reached()
    host.post(run.id, "suspend")
    host.wait_for_status(run.id, "Suspended", seconds=HALF_WAY_SECONDS)
    host.raise_event(run.id, "go", "went")
    run.gate.open()


def _waited(status: Any) -> None:
    began, ended = (_time(each["Timestamp"]) for each in (status["historyEvents"][0], status["historyEvents"][-1]))
    # Whole seconds, as the real engine cuts the times that it shows.
    assert (ended - began).total_seconds() >= NAP_SECONDS - 1


def _was_scheduled(status: Any) -> None:
    assert status["output"] == [1, "went"], status
    began = next(_time(each["ScheduledTime"]) for each in status["historyEvents"] if "ScheduledTime" in each)
    assert began - _time(status["createdTime"]) >= SCHEDULED - timedelta(seconds=1)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")[:19])


def mended(host: Host, run: Run) -> None:
    run.file.write_text("there")
    host.post(run.id, "rewind")


KINDS = {
    "fan-out": Kind(
        steps=lambda run: [["together", *(["activity", "gated", run.gate.value(name)] for name in "abc")]],
        expected=[["a", "b", "c"]],
    ),
    "children": Kind(
        steps=lambda run: [["together", ["child", [run.gated]], ["child", [run.gated], f"{run.id}-given"]]],
        half_way=lambda host, run: run.gate.wait_until_reached(2),
        expected=[[["gated"], ["gated"]]],
    ),
    "timer": Kind(
        steps=lambda run: [["timer", NAP_SECONDS], ["activity", "echo", 1]],
        half_way=recorded("TimerCreated"),
        check=_waited,
    ),
    "race": Kind(
        steps=lambda run: [["race", "go", 3600], ["activity", "echo", 1]],
        half_way=recorded("TimerCreated"),
        go_on=raised("go", "went"),
        expected=["went", 1],
    ),
    "race-over": Kind(
        steps=lambda run: [["race", "go", 20], run.gated],
        half_way=in_turn(recorded("TimerCreated"), raised("go", "went"), waits_at_gate),
        expected=["went", "gated"],
    ),
    "event-before-its-wait": Kind(
        steps=lambda run: [run.gated, ["event", "go"], ["event", "stop"]],
        half_way=in_turn(waits_at_gate, raised("stop", "stopped"), raised("go", "went")),
        expected=["gated", "went", "stopped"],
    ),
    "event-after-its-wait": Kind(
        steps=lambda run: [["activity", "echo", 1], ["event", "go"]],
        half_way=recorded("TaskCompleted"),
        go_on=raised("go", "went"),
        expected=[1, "went"],
    ),
    "retries": Kind(
        steps=lambda run: [["retried", "flaky", {"calls": str(run.file), "failures": 2}]],
        half_way=failed_once,
        expected=[3],
    ),
    "continued": Kind(
        steps=lambda run: [["activity", "echo", 1], ["again"], run.gated, ["again"], ["event", "go"]],
        go_on=in_turn(results(2), raised("go", "went")),
        expected=[1, "gated", "went"],
    ),
    "eternal": Kind(
        steps=lambda run: [["event", "go"], ["again"], ["event", "go"], ["again"], ["event", "go"]],
        half_way=in_turn(recorded("ExecutionStarted"), raised("go", 1), results(1)),
        go_on=in_turn(raised("go", 2), results(2), raised("go", 3)),
        expected=[1, 2, 3],
    ),
    "entity": Kind(
        steps=lambda run: [
            ["signal", run.id, "add", 1],
            ["call", run.id, "add", 2],
            run.gated,
            ["signal", run.id, "add", 4],
            ["signal", run.id, "add", 8],
            ["call", run.id, "add", 16],
            ["again"],
            ["signal", run.id, "add", 32],
            ["call", run.id, "add", 64],
        ],
        expected=[3, "gated", 31, 127],
    ),
    "large": Kind(
        steps=lambda run: [
            ["status", LARGE_STATUS],
            ["activity", "gated", {**run.gate.value("gated"), "text": LARGE}],
            ["activity", "echo", LARGE],
            ["event", "go"],
        ],
        # Not in one episode with the result of `echo`: they would share a blob.
        go_on=in_turn(recorded_times("TaskCompleted", 2), raised("go", LARGE)),
        expected=["gated", LARGE, LARGE],
    ),
    "suspended": Kind(
        steps=lambda run: [run.gated, ["event", "go"], ["activity", "echo", 1]],
        half_way=_suspended_with_events,
        go_on=lambda host, run: host.post(run.id, "resume"),
        expected=["gated", "went", 1],
    ),
    "terminated": Kind(
        steps=lambda run: [["event", "go"]],
        half_way=in_turn(recorded("ExecutionStarted"), terminated, in_status("Terminated")),
        status="Terminated",
        expected="enough",
    ),
    "terminated-later": Kind(
        steps=lambda run: [["event", "go"]],
        half_way=recorded("ExecutionStarted"),
        go_on=terminated,
        status="Terminated",
        expected="enough",
    ),
    "versioned": Kind(
        steps=lambda run: [["version"], run.gated, ["version"], ["child", [["version"]]], ["again"], ["version"]],
        expected=[DEFAULT_VERSION, "gated", DEFAULT_VERSION, [DEFAULT_VERSION], DEFAULT_VERSION],
    ),
    "scheduled": Kind(
        steps=lambda run: [["activity", "echo", 1], ["event", "go"]],
        starts_in=SCHEDULED,
        half_way=in_status("Pending"),
        go_on=raised("go", "went"),
        check=_was_scheduled,
    ),
    "rewound": Kind(
        steps=lambda run: [["activity", "fetch", str(run.file)], ["child", [["activity", "fetch", str(run.file)]]]],
        half_way=in_status("Failed"),
        go_on=mended,
        expected=["there", ["there"]],
    ),
}


class Runs:
    """One instance of every kind, on one hub."""

    def __init__(self, folder: Path, kinds: Mapping[str, Kind] = KINDS) -> None:
        self._runs = [(kind, Run(id=name, folder=folder / name)) for name, kind in kinds.items()]
        self._failures: dict[str, AssertionError] = {}

    def begin(self, host: Host) -> None:
        self._each(lambda kind, run: kind.begin(host, run))
        self._each(lambda kind, run: kind.half_way(host, run))

    def end(self, host: Host) -> None:
        self._each(lambda kind, run: run.gate.open())
        self._each(lambda kind, run: kind.go_on(host, run))
        self._each(lambda kind, run: kind.end(host, run))
        assert not self._failures, "\n\n".join(f"{name}: {error}" for name, error in self._failures.items())

    def _each(self, step: Callable[[Kind, Run], None]) -> None:
        """Takes a step with every instance. One that fails is left alone from there on, so that the others show too."""

        def take(kind: Kind, run: Run) -> None:
            try:
                if run.id not in self._failures:
                    step(kind, run)
            except AssertionError as error:
                self._failures[run.id] = error

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for each in [pool.submit(take, kind, run) for kind, run in self._runs]:
                each.result()
