"""`durablehost durable` on real storage: its output and effects without a host, and the work of the next host."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import CHECKOUT, environment_of
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually_blocking

pytestmark = pytest.mark.azurite


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Verbs:
    """The command line, on the hub of the test."""

    def __init__(self, storage: str, hub_name: str) -> None:
        self._environment = environment_of(storage, hub_name, {})

    def __call__(self, verb: str, *options: str, app_root: Path = FEATURES_APP) -> Ended:
        done = subprocess.run(
            _command(verb, options),
            env=self._environment,
            cwd=app_root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    @contextmanager
    def running(self, verb: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """The command while it runs; it is ended with the block."""
        process = subprocess.Popen(
            _command(verb, options),
            env=self._environment,
            cwd=FEATURES_APP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=sys.platform != "win32",
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def status(self, instance_id: str) -> Any:
        return self("get-runtime-status", "--id", instance_id, "--show-input", "--show-output").document


def _command(verb: str, options: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "durablehost", "durable", verb, *options, "--no-azurite"]


@pytest.fixture
def durable(request: pytest.FixtureRequest, azurite: Azurite, hub_name: str) -> Verbs:
    if request.config.getoption("--base-url"):
        pytest.skip("acts on the storage of the tests")
    return Verbs(azurite.connection_string, hub_name)


def test_a_start_waits_for_a_host_that_finishes_it(durable: Verbs, running_host: RunningHost) -> None:
    started = durable("start-new", "--function-name", "chained", "--id", "one", "--input", "-").document
    assert started == {"instanceId": "one", "runtimeStatus": "Pending"}
    again = durable("start-new", "--function-name", "chained", "--id", "one")
    assert (again.code, again.out) == (1, "")
    assert again.err == "An Orchestration instance with the status Pending already exists.\n"
    assert durable("get-runtime-status", "--id", "one").document["input"] is None

    with running_host(FEATURES_APP):
        eventually_blocking(lambda: durable.status("one")["runtimeStatus"] == "Completed")
    status = durable.status("one")
    assert (status["input"], status["output"]) == ('"-"', "-abc")
    history = durable("get-history", "--id", "one").document
    assert [event["EventType"] for event in history][:3] == ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"]


def test_no_text_of_others_controls_the_terminal(durable: Verbs) -> None:
    missing = durable("get-history", "--id", "a\x1b]0;owned\x07")
    assert (missing.code, missing.err) == (1, "No instance with ID 'a\\u001b]0;owned\\u0007' was found.\n")
    started = durable("start-new", "--function-name", "chained", "--id", "a\u202eb")
    assert started.document["instanceId"] == "a\u202eb"
    assert "a\\u202eb" in started.out


def test_commands_sent_without_a_host_are_carried_out_by_the_next_host(
    durable: Verbs, running_host: RunningHost, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    there, late = tmp_path / "there", tmp_path / "late"
    there.write_text("a")
    with running_host(FEATURES_APP) as host:
        app = App(host.url)
        waiting = app.start("gated_fan", [gate.value("a")])
        failed = app.start("delivered", [str(there), str(late)])
        assert "FileNotFoundError" in failed.failure()
        gate.wait_until_reached()
        # The host stops once its activity ends.
        gate.open()
        waiting.output()
        idle = app.start("napped", 3600)
        eventually_blocking(lambda: idle.status()["runtimeStatus"] == "Running")
        awaited = app.start("awaited", ["go"])
    late.write_text("b")
    assert durable("rewind", "--id", failed.id, "--reason", "mended").document["runtimeStatus"] == "Pending"
    assert durable("terminate", "--id", idle.id, "--reason", "no & more").document["runtimeStatus"] == "Running"
    raised = durable("raise-event", "--id", awaited.id, "--event-name", "go", "--event-data", '{"by": "kim"}')
    assert raised.document == {"instanceId": awaited.id, "eventName": "go"}
    refused = durable("terminate", "--id", waiting.id)
    assert (refused.code, refused.err) == (1, f"The instance '{waiting.id}' is Completed already.\n")

    with running_host(FEATURES_APP):
        eventually_blocking(lambda: durable.status(failed.id)["runtimeStatus"] == "Completed")
        eventually_blocking(lambda: durable.status(idle.id)["runtimeStatus"] == "Terminated")
        eventually_blocking(lambda: durable.status(awaited.id)["runtimeStatus"] == "Completed")
    assert durable.status(failed.id)["output"] == ["a", "b"]
    assert durable.status(idle.id)["output"] == "no & more"
    assert durable.status(awaited.id)["output"] == [{"by": "kim"}]
    assert durable("purge-history", "--runtime-status", "terminated").document == {"instancesDeleted": 1}
    assert durable("purge-history", "--id", failed.id).document == {"instancesDeleted": 1}
    left = durable("get-instances").document
    assert sorted(each["instanceId"] for each in left) == sorted([waiting.id, awaited.id])


def test_a_wait_is_explained_with_and_without_a_host(durable: Verbs, running_host: RunningHost, tmp_path: Path) -> None:
    durable("start-new", "--function-name", "awaited", "--id", "one", "--input", '["go"]')
    text = durable("explain", "--id", "one")
    assert text.code == 0, text.err
    assert text.out.startswith("No host runs on this task hub. Its start message is in the queue ")
    unknown = durable("explain", "--id", "two")
    assert (unknown.code, unknown.out, unknown.err) == (1, "", "No instance with ID 'two' was found.\n")

    gate = Gate(tmp_path)
    with running_host(FEATURES_APP) as host:
        waiting = App(host.url).start("gated_fan", [gate.value("a")])
        gate.wait_until_reached()
        eventually_blocking(lambda: kinds(durable, "one") == ["external-event"])
        eventually_blocking(lambda: kinds(durable, waiting.id) == ["activities", "activities"])
        running = durable("explain", "--id", waiting.id, "--json").document
        assert running["instanceId"] == waiting.id
        assert "It waits for an activity: 'gated' (task 0), since " in running["explanation"]
        gate.open()
        waiting.output()
        assert kinds(durable, waiting.id) == ["completed"]
    assert kinds(durable, "one") == ["no-host", "external-event"]


def kinds(durable: Verbs, instance_id: str) -> list[str]:
    reasons = durable("explain", "--id", instance_id, "--json").document["reasons"]
    return [reason["kind"] for reason in reasons]


def test_watching_an_instance_beside_a_host_ends_with_it(
    durable: Verbs, running_host: RunningHost, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with running_host(FEATURES_APP) as host:
        app = App(host.url)
        watched = app.start("reporting", gate.value("a"))
        gate.wait_until_reached()
        with durable.running("watch", "--id", watched.id, "--json") as process:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            assert first["instanceId"] == watched.id
            assert first["runtimeStatus"] in ("Pending", "Running")
            gate.open()
            lines = [json.loads(line) for line in process.stdout]
            assert process.wait(WAIT_SECONDS) == 0
        assert (lines[-1]["runtimeStatus"], lines[-1]["customStatus"]) == ("Completed", "done")
        failing = app.start("delivered", [str(tmp_path / "a"), str(tmp_path / "b")])
        failing.failure()
        ended = durable("watch", "--id", failing.id)
        assert (ended.code, ended.out.count("\n")) == (1, 1)
        assert f"Failed  delivered {failing.id}: Failed at " in ended.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_ends_watching_without_a_traceback(durable: Verbs) -> None:
    durable("start-new", "--function-name", "idle", "--id", "one")
    for options, code in ([], 0), (["--id", "one"], 130):
        with durable.running("watch", *options) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert "Pending  idle one: No host runs on this task hub." in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_SECONDS) == code
            assert process.stderr.read() == ""


def test_a_listing_continues_at_its_token(durable: Verbs) -> None:
    for name in ("one", "two", "zwei"):
        durable("start-new", "--function-name", "idle", "--id", name)
    first = durable("get-instances", "--top", "2", "--runtime-status", "pending")
    assert [each["instanceId"] for each in first.document] == ["one", "two"]
    token = first.err.split("'")[1]
    rest = durable("get-instances", "--top", "2", "--continuation-token", token)
    assert [each["instanceId"] for each in rest.document] == ["zwei"]
    assert rest.err == ""
    assert durable("get-instances", "--created-before", "2020-01-01").document == []


def test_deleting_a_hub_leaves_the_others(durable: Verbs, hub_name: str) -> None:
    for hub in (hub_name, f"{hub_name}B"):
        durable("start-new", "--function-name", "idle", "--id", "one", "--task-hub-name", hub)
    deleted = durable("delete-task-hub").document
    lower = hub_name.lower()
    assert deleted == {
        "taskHub": hub_name,
        "deleted": {
            "queues": [f"{lower}-workitems", *(f"{lower}-control-0{number}" for number in range(4))],
            "tables": [f"{hub_name}{kind}" for kind in ("History", "Instances", "Partitions")],
            "containers": [f"{lower}-applease"],
        },
    }
    assert durable("get-instances").document == []
    unknown = durable("get-runtime-status", "--id", "one")
    assert (unknown.code, unknown.err) == (1, "No instance with ID 'one' was found.\n")
    assert durable("delete-task-hub").document["deleted"] == {"queues": [], "tables": [], "containers": []}
    assert len(durable("get-instances", "--task-hub-name", f"{hub_name}B").document) == 1


def test_unusable_storage_ends_a_command_with_2_and_one_line(hub_name: str) -> None:
    nowhere = "http://127.0.0.1:1/devstoreaccount1"
    endpoints = ";".join(f"{kind}Endpoint={nowhere}" for kind in ("Blob", "Queue", "Table"))
    storage = f"AccountName=devstoreaccount1;AccountKey=a2V5;{endpoints}"
    ended = Verbs(storage, hub_name)("get-instances", app_root=CHECKOUT)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "127.0.0.1:1" in ended.err
