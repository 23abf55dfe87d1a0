"""Functions whose triggers durablehost does not serve, on a real host: listed, never fired, run on request."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import APPS, HostProcess, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT
from packages.durablehost.tests.eventually import eventually_blocking

TRIGGERS_APP = APPS / "triggers"
EXECUTING = r"Executing 'Functions\.{}' \(Reason='This function was programmatically called via the host APIs\.', Id="


def run(host: HostProcess, name: str, text: str) -> None:
    answer = call("POST", f"{host.url}/admin/functions/{name}", {"input": text})
    assert (answer.status, answer.body) == (202, b"")


def test_functions_of_other_triggers_are_listed_and_run_when_asked_to(running_host: RunningHost) -> None:
    with running_host(TRIGGERS_APP) as host:
        for name, kind in (("nightly", "timerTrigger"), ("receive", "queueTrigger")):
            note = f"(not triggered by durablehost; run it with POST {host.url}/admin/functions/{name})"
            assert f"\t{name}: {kind} {note}\n" in host.output
        assert "\treport: orchestrationTrigger\n" in host.output
        assert "is in error" not in host.output

        run(host, "receive", "order 7")
        eventually_blocking(lambda: "Executed 'Functions.receive' (Succeeded" in host.output)
        assert re.search(rf"{EXECUTING.format('receive')}.*received order 7", host.output, re.DOTALL)

        run(host, "receive", "fail")
        eventually_blocking(lambda: "Executed 'Functions.receive' (Failed" in host.output)
        assert "this message is poisoned" in host.output

        run(host, "nightly", "")
        eventually_blocking(lambda: "Executed 'Functions.nightly' (Succeeded" in host.output)
        assert "started the report, late: False" in host.output
        url = f"{host.url}{MANAGEMENT}/instances/nightly-report"
        eventually_blocking(lambda: call("GET", url).document["runtimeStatus"] == "Completed")
        assert call("GET", url).document["output"] == {"late": False}
