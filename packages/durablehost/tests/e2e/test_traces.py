"""Traces of a real host, received by a stand-in for a collector over OTLP/HTTP."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.durablehost.tests.e2e.collector import Collector
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, Gate
from packages.durablehost.tests.e2e.host_process import APPS, call, free_port
from packages.durablehost.tests.e2e.orchestration import Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.azurite

TRACED_APP = APPS / "traced"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().listening() as collector:
        yield collector


def begin(url: str, path: str, value: object = None) -> Orchestration:
    return accepted(call("POST", f"{url}/api/{path}", value, headers=HEADERS))


def test_spans_reach_the_collector_and_those_of_the_app_are_among_them(
    running_host: RunningHost, collector: Collector
) -> None:
    variables = {**collector.variables, "OTEL_SERVICE_NAME": "the host"}
    with running_host(TRACED_APP, environment=variables) as host:
        run = begin(host.url, "begin/measuring")
        assert run.output() == "measured"
        collector.wait_for("orchestration:measuring")
        collector.wait_for("activity:measured", 2)
        collector.wait_for("POST /api/begin/{name}")
        assert "Traces are exported to" in host.output
    by_id = {span.span_id: span for span in collector.spans}
    (span,) = collector.named("measuring by hand")
    assert span.service == "the app"
    assert {each.trace_id for each in by_id.values()} == {TRACE}
    above = []
    while span.parent_id != CALLER:
        span = by_id[span.parent_id]
        above.append((span.service, span.name, span.kind, span.status))
    assert above == [
        ("the host", "activity:measured", "SERVER", "UNSET"),
        ("the host", "activity:measured", "CLIENT", "UNSET"),
        ("the host", "orchestration:measuring", "SERVER", "OK"),
        ("the host", "create_orchestration:measuring", "PRODUCER", "UNSET"),
        ("the host", "POST /api/begin/{name}", "SERVER", "UNSET"),
    ]


def test_without_variables_a_host_imports_nothing_of_opentelemetry(running_host: RunningHost) -> None:
    with running_host(FEATURES_APP, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as host:
        assert begin(host.url, "start/chained", "x").output() == "xabc"
        # What a worker process prints comes with a time before it.
        imports = [line for line in host.output.splitlines() if line.startswith("import time:")]
    assert [line for line in imports if line.endswith("durablehost.traces.opening")]
    assert not [line for line in imports if "opentelemetry" in line]


@pytest.mark.skipif(sys.platform == "win32", reason="a kill is that of POSIX")
def test_a_host_that_is_killed_leaves_one_span_of_the_orchestration_to_the_next(
    running_host: RunningHost, collector: Collector, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    values = [gate.value("a"), gate.value("b")]
    with running_host(FEATURES_APP, environment=collector.variables) as host:
        run = begin(host.url, "start/gated_fan", values)
        gate.wait_until_reached(2)
        collector.wait_for("create_orchestration:gated_fan")
        host.kill()
    with running_host(FEATURES_APP, environment=collector.variables, port=host.port) as host:
        gate.open()
        assert run.output(120) == ["a", "b"]
        collector.wait_for("orchestration:gated_fan")
        collector.wait_for("activity:gated", 4)
    (created,) = collector.named("create_orchestration:gated_fan")
    (span,) = collector.named("orchestration:gated_fan")
    assert (span.trace_id, span.parent_id) == (TRACE, created.span_id)
    waits = [each for each in collector.named("activity:gated") if each.kind == "CLIENT"]
    runs = [each for each in collector.named("activity:gated") if each.kind == "SERVER"]
    assert [each.parent_id for each in waits] == [span.span_id] * 2
    # An activity may run more than once, but each run belongs to the same wait.
    assert {each.parent_id for each in runs} == {each.span_id for each in waits}


def test_a_collector_that_is_down_costs_one_line_and_no_run(running_host: RunningHost) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        # Seconds: how long the SDK tries again to send a batch.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with running_host(FEATURES_APP, environment=variables) as host:
        for letter in "xyz":
            assert begin(host.url, "start/chained", letter).output() == f"{letter}abc"
        eventually_blocking(lambda: "Traces cannot be sent to" in host.output)
        host.interrupt()
        assert host.wait() == 0
        assert host.output.count("Traces cannot be sent to") == 1
        assert "Traceback" not in host.output
