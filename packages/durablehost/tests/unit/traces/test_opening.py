"""The tracer of a host: off without variables, one line if something is wrong, an end in bounded time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from durablehost.engine.tracing import NO_TRACES
from durablehost.traces import opening
from durablehost.traces.opening import open_tracer
from packages.durablehost.tests.e2e.host_process import PACKAGE

# Port 9 is that of the discard service: nothing listens there.
ENDPOINT = "http://127.0.0.1:9"
VARIABLES = {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

# Does what a host does until its first request, and prints which modules that has loaded.
START_WITHOUT_VARIABLES = """
import asyncio, sys
import durablehost.__main__, durablehost.host.host
from durablehost.traces.opening import open_tracer

async def main():
    async with open_tracer({"AzureWebJobsStorage": "x"}, warn=print, report=print) as tracer:
        print(tracer.is_on)

asyncio.run(main())
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
"""


class Lines:
    """What a host prints about its traces."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.reports: list[str] = []

    async def open_with(self, variables: Mapping[str, str]) -> bool:
        """Opens and closes a tracer; returns whether it was on."""
        async with open_tracer(variables, warn=self.warnings.append, report=self.reports.append) as tracer:
            assert tracer.is_on is (tracer is not NO_TRACES)
            return tracer.is_on


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_without_variables_a_host_imports_nothing_of_opentelemetry() -> None:
    environment = {"PYTHONPATH": str(PACKAGE / "src"), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", START_WITHOUT_VARIABLES]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["False", "[]"]


async def test_without_variables_nothing_is_said(lines: Lines) -> None:
    assert not await lines.open_with({})
    assert (lines.warnings, lines.reports) == ([], [])


async def test_with_variables_the_host_says_where_traces_go(lines: Lines) -> None:
    assert await lines.open_with(VARIABLES)
    assert (lines.warnings, lines.reports) == ([], [f"Traces are exported to {ENDPOINT}/v1/traces"])


async def test_missing_packages_cost_one_line_that_says_what_to_install(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "durablehost.traces.tracer", raising=False)
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    assert not await lines.open_with(VARIABLES)
    (warning,) = lines.warnings
    assert warning.startswith("Traces are off: ")
    assert 'pip install "durablehost[otel]"' in warning


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**VARIABLES, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**VARIABLES, "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "max_queue_size"),
    ],
)
async def test_wrong_variables_cost_one_line_and_no_start(
    lines: Lines, variables: Mapping[str, str], named: str
) -> None:
    assert not await lines.open_with(variables)
    (warning,) = lines.warnings
    assert named in warning


async def test_the_end_waits_no_longer_than_its_limit(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    class Tracer:
        is_on = True

        def close(self, seconds: float) -> None:
            waited.append(seconds)

    monkeypatch.setattr(opening, "_load", lambda options: Tracer())
    assert await lines.open_with(VARIABLES)
    assert waited == [opening.CLOSE_SECONDS]
