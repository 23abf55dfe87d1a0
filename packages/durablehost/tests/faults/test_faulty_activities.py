"""Activities that end their process, hang, exhaust memory, print megabytes or fork, beside healthy ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP
from packages.durablehost.tests.e2e.host_process import HostProcess, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted
from packages.durablehost.tests.faults.hosts import SETTINGS, TIMEOUT_SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its limits and forks are those of Linux")

FUNCTION_TIMEOUT = {"AzureFunctionsJobHost__functionTimeout": "00:00:06"}


def test_faulty_activities_end_their_own_orchestration_and_no_other(running_host: RunningHost, tmp_path: Path) -> None:
    with running_host(FEATURES_APP, environment={**SETTINGS, **FUNCTION_TIMEOUT}) as host:
        runs = {how: tried(host, how, tmp_path) for how in ("exits", "hangs", "prints", "forks")}
        bystander = start(host, "fanned", list(range(20)))
        outputs = {how: str(runs[how].output(TIMEOUT_SECONDS)) for how in ("exits", "prints", "forks")}
        assert bystander.output(TIMEOUT_SECONDS) == list(range(20))
        # Calls in the same process may run out of memory as well, so only the hanging one runs beside it.
        runs["exhausts memory"] = tried(host, "exhausts memory", tmp_path)
        outputs |= {how: str(runs[how].output(TIMEOUT_SECONDS)) for how in ("exhausts memory", "hangs")}
    assert [outputs[how] for how in ("exits", "prints", "forks")] == ["exits", "prints", "forks"]
    assert outputs["exhausts memory"].startswith("failed: ")
    assert "MemoryError" in outputs["exhausts memory"]
    assert "Timeout value of 00:00:06 was exceeded by function: Functions.faulty" in outputs["hangs"]


def tried(host: HostProcess, how: str, folder: Path) -> Orchestration:
    return start(host, "tried", {"how": how, "mark": str(folder / how)})


def start(host: HostProcess, name: str, value: object) -> Orchestration:
    """Starts it through the host itself, because a function of the app would be lost with its shared process."""
    # As the SDK's client sends it: JSON in JSON.
    return accepted(call("POST", f"{host.url}{MANAGEMENT}/orchestrators/{name}", json.dumps(value)))
