"""Activities that take their process down, hang, exhaust memory, print megabytes or fork, beside some that do not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningHost
from tests.e2e.features import FEATURES_APP
from tests.e2e.host_process import HostProcess, call
from tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted
from tests.faults.hosts import SETTINGS, TIMEOUT_SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its limits and forks are those of Linux")

FUNCTION_TIMEOUT = {"AzureFunctionsJobHost__functionTimeout": "00:00:06"}


def test_whatever_an_activity_does_its_orchestration_ends_and_so_do_the_others(
    running_host: RunningHost, tmp_path: Path
) -> None:
    with running_host(FEATURES_APP, environment={**SETTINGS, **FUNCTION_TIMEOUT}) as host:
        hows = ("exits", "hangs", "exhausts memory", "prints", "forks")
        runs = {how: start(host, "tried", {"how": how, "mark": str(tmp_path / how)}) for how in hows}
        bystander = start(host, "fanned", list(range(20)))
        outputs = {how: str(run.output(TIMEOUT_SECONDS)) for how, run in runs.items()}
        assert bystander.output(TIMEOUT_SECONDS) == list(range(20))
    assert [outputs[how] for how in ("exits", "prints", "forks")] == ["exits", "prints", "forks"]
    assert outputs["exhausts memory"].startswith("failed: ")
    assert "MemoryError" in outputs["exhausts memory"]
    assert "Timeout value of 00:00:06 was exceeded by function: Functions.faulty" in outputs["hangs"]


def start(host: HostProcess, name: str, value: object) -> Orchestration:
    """By the host itself: a function of the app would go down with the process that it shares."""
    return accepted(call("POST", f"{host.url}{MANAGEMENT}/orchestrators/{name}", value))
