"""The official v1 samples of the durable SDK, unmodified, on a real host.

They are not part of this project: `DURABLE_SAMPLES_DIR` names the `samples` folder of a checkout of
Azure/azure-functions-durable-python. Exceptions: `aml_monitoring` needs an Azure Machine Learning workspace, and
text messages of the `twilioSms` binding are not sent. GitHub is a stand-in on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.github import github_with
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking

SAMPLES = os.environ.get("DURABLE_SAMPLES_DIR", "")
pytestmark = pytest.mark.skipif(not SAMPLES, reason="DURABLE_SAMPLES_DIR names no folder with the official samples")

Start = Callable[..., Orchestration]


@pytest.fixture
def start(running_host: RunningHost) -> Iterator[Start]:
    """Runs a sample and starts one of its orchestrations through its own HTTP function."""
    with ExitStack() as stack:
        hosts: dict[str, str] = {}

        def begin(sample: str, orchestrator: str, value: object = None) -> Orchestration:
            if sample not in hosts:
                hosts[sample] = stack.enter_context(running_host(Path(SAMPLES) / sample)).url
            return accepted(call("POST", f"{hosts[sample]}/api/orchestrators/{orchestrator}", value))

        yield begin


def test_function_chaining(start: Start) -> None:
    assert start("function_chaining", "E1_HelloSequence").output() == [
        "Hello Tokyo!",
        "Hello Seattle!",
        "Hello London!",
    ]


def test_function_chaining_custom_status(start: Start) -> None:
    run = start("function_chaining_custom_status", "DurableOrchestration")
    assert run.output() == 3
    assert run.status()["customStatus"] == "1 -> 2 -> 3"


def test_fan_in_fan_out(start: Start, tmp_path: Path) -> None:
    # The sample names blobs after folder and file, and never replaces one.
    folder = tmp_path / f"E2_{tmp_path.name}"
    folder.mkdir()
    (folder / "__init__.py").write_bytes(b"x" * 10)
    (folder / "function.json").write_bytes(b"x" * 32)
    assert start("fan_in_fan_out", "E2_BackupSiteContent", str(tmp_path)).output() == 42
    failure = start("fan_in_fan_out", "E2_BackupSiteContent", "").failure()
    assert failure == "Orchestrator function 'E2_BackupSiteContent' failed: A directory path is required as input"


def test_human_interaction(start: Start) -> None:
    # The codes that random.seed(10) produces in each new process.
    authorized = start("human_interaction", "E4_SMSPhoneVerification", "+14255550100")
    authorized.raise_event("SmsChallengeResponse", "1")
    authorized.raise_event("SmsChallengeResponse", "9361")
    assert authorized.output() is True
    refused = start("human_interaction", "E4_SMSPhoneVerification", "+14255550100")
    for code in ("1", 533, "3"):
        refused.raise_event("SmsChallengeResponse", code)
    assert refused.output() is False
    assert "Please provide a phone number" in start("human_interaction", "E4_SMSPhoneVerification", "12").failure()


def test_monitor(running_host: RunningHost, tmp_path: Path) -> None:
    value = {"repo": "owner/name", "phone": "+14255550100"}
    with (
        github_with(3, tmp_path) as environment,
        running_host(Path(SAMPLES) / "monitor", environment=environment) as host,
    ):
        run = accepted(call("POST", f"{host.url}/api/orchestrators/E3_Monitor", value))
        assert run.output() == "Monitor completed!"


def test_monitor_waits_while_there_are_few_issues(running_host: RunningHost, tmp_path: Path) -> None:
    value = {"repo": "owner/name", "phone": "+14255550100"}
    with (
        github_with(2, tmp_path) as environment,
        running_host(Path(SAMPLES) / "monitor", environment=environment) as host,
    ):
        run = accepted(call("POST", f"{host.url}/api/orchestrators/E3_Monitor", value))
        waiting = "The repository does not have too many issues, for now ..."
        eventually_blocking(lambda: run.status()["customStatus"] == waiting)
        assert run.status()["runtimeStatus"] == "Running"


def test_counter_entity(running_host: RunningHost) -> None:
    with running_host(Path(SAMPLES) / "counter_entity") as host:
        entity = f"{host.url}/api/entity/Counter/myCounter"
        before = call("GET", entity)
        assert (before.status, before.body) == (404, b"Entity not found")
        for state in (3, 6):
            run = accepted(call("POST", f"{host.url}/api/orchestrators/DurableOrchestration"))
            assert run.output() == state
        assert call("GET", entity).document == {"entity": "Counter", "key": "myCounter", "state": 6}


def test_serialize_arguments(start: Start) -> None:
    assert start("serialize_arguments", "DurableOrchestration").output() == 5


def test_simple_sub_orchestration(start: Start) -> None:
    assert start("simple_sub_orchestration", "DurableOrchestrator").output() == "Hello Seattle!"


def test_every_sample_lists_its_instances(start: Start) -> None:
    run = start("function_chaining", "E1_HelloSequence")
    run.output()
    origin = run.links["statusQueryGetUri"].partition(MANAGEMENT)[0]
    listed = call("GET", f"{origin}{MANAGEMENT}/instances").document
    assert [instance["instanceId"] for instance in listed] == [run.id]
