"""The tracer over the SDK: what becomes of odd spans, of failing collectors, and of the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from durablehost.core.spans import Place, Span, SpanEvent, SpanKind
from durablehost.core.trace_context import TraceContext
from durablehost.traces.tracer import OpenTelemetryTracer, ReportingExporter
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually_blocking
from packages.durablehost.tests.unit.traces.recorder import Recorder, span_id, trace_id

AT = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=timezone.utc)
CONTEXT = TraceContext(trace_id="a" * 32, span_id="b" * 16, state="vendor=1")
SPAN = Span(
    name="activity:Say",
    kind=SpanKind.CLIENT,
    place=Place(context=CONTEXT, parent=None, started_at=AT, ended_at=AT + timedelta(seconds=1)),
    attributes={"durabletask.task.name": "Say", "durabletask.task.task_id": 3},
    events=(SpanEvent(name="episode", at=AT),),
)


class ScriptedExporter(SpanExporter):
    """Answers as it is told; an exception is raised. The last answer stays."""

    def __init__(self, *answers: SpanExportResult | Exception) -> None:
        self._answers = list(answers)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class HangingExporter(SpanExporter):
    def __init__(self) -> None:
        self.is_over = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_over.wait(WAIT_SECONDS)
        return SpanExportResult.SUCCESS


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def test_a_span_keeps_its_ids_and_times(recorder: Recorder) -> None:
    recorder.tracer.record([SPAN])
    (span,) = recorder.close()
    assert (trace_id(span), span_id(span)) == (CONTEXT.trace_id, CONTEXT.span_id)
    assert span.context is not None
    assert span.context.trace_state.to_header() == "vendor=1"
    assert span.start_time == 1772359200123456000
    assert span.end_time == 1772359201123456000
    assert [(event.name, event.timestamp) for event in span.events] == [("episode", span.start_time)]
    assert span.resource.attributes["service.name"] == "durablehost"


def test_no_span_ends_before_it_starts(recorder: Recorder) -> None:
    recorder.tracer.record([replace(SPAN, place=replace(SPAN.place, ended_at=AT - timedelta(seconds=9)))])
    (span,) = recorder.close()
    assert span.end_time == span.start_time


def test_long_and_odd_texts_are_made_fit_to_be_sent(recorder: Recorder) -> None:
    odd = "\ud800" + "x" * 100_000
    recorder.tracer.record([replace(SPAN, error=odd, attributes={"durabletask.task.name": odd})])
    (span,) = recorder.close()
    texts = [span.status.description, (span.attributes or {})["durabletask.task.name"]]
    assert texts == ["?" + "x" * 4095] * 2


def test_new_spans_have_new_ids(recorder: Recorder) -> None:
    first, second = recorder.tracer.begin(None, "a"), recorder.tracer.begin(None, "b")
    assert first.trace_id != second.trace_id
    child = recorder.tracer.begin(first, "c")
    assert child.trace_id == first.trace_id
    assert child.span_id != first.span_id


def test_the_name_of_the_service_is_that_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    recorder = Recorder()
    recorder.tracer.record([SPAN])
    (span,) = recorder.close()
    assert span.resource.attributes["service.name"] == "orders"


def test_the_sampler_is_that_of_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    recorder = Recorder()
    assert not recorder.tracer.begin(None, "a").is_sampled
    assert not recorder.tracer.begin(CONTEXT, "a").is_sampled
    recorder.close()


def test_an_outage_of_the_collector_costs_one_line_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[SpanExportResult | Exception] = [
        SpanExportResult.FAILURE,
        OSError("refused"),
        SpanExportResult.FAILURE,
    ]
    exporter = ReportingExporter(ScriptedExporter(*failures, SpanExportResult.SUCCESS), "http://collector")
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            exporter.export([])
    assert [record.getMessage() for record in caplog.records] == [
        "Traces cannot be sent to http://collector and are dropped until it accepts them. "
        "Does a collector listen there?",
        "Traces are sent to http://collector again",
    ]


def test_the_end_does_not_wait_for_a_collector_that_hangs_and_prints_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exporter = HangingExporter()
    tracer = OpenTelemetryTracer(exporter)
    tracer.record([SPAN])
    tracer.close(0.01)
    logging.getLogger("opentelemetry.exporter.x").error("late")
    exporter.is_over.set()
    eventually_blocking(lambda: logging.getLogger("opentelemetry").propagate)
    assert capsys.readouterr().err == ""


def test_a_full_queue_costs_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    exporter = HangingExporter()
    tracer = OpenTelemetryTracer(exporter)
    tracer.record([SPAN] * 10)
    exporter.is_over.set()
    tracer.close(WAIT_SECONDS)
    lines = [record.getMessage() for record in caplog.records if record.name == "Host.Traces"]
    assert lines == ["OpenTelemetry: Queue full, dropping Span."]


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_times_are_made_fit_to_be_sent(recorder: Recorder, year: int) -> None:
    at = AT.replace(year=year)
    recorder.tracer.record([replace(SPAN, place=replace(SPAN.place, started_at=at, ended_at=at))])
    assert encode_spans(recorder.close()).SerializeToString()
