"""Reads spans from an in-memory exporter, as the trees that they form."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from durablehost.traces.tracer import OpenTelemetryTracer
from packages.durablehost.tests.eventually import WAIT_SECONDS


class Recorder:
    """A tracer, and the spans that it has exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OpenTelemetryTracer(self._exporter)

    def close(self) -> tuple[ReadableSpan, ...]:
        """Ends the export, and returns all spans."""
        self.tracer.close(WAIT_SECONDS)
        return self._exporter.get_finished_spans()


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_trace_id(span.context.trace_id)


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_span_id(span.context.span_id)


def parent_id(span: ReadableSpan) -> str | None:
    return format_span_id(span.parent.span_id) if span.parent else None


def tree(spans: tuple[ReadableSpan, ...], below: str | None) -> str:
    """The spans below one, a line each: name, kind and status, indented by their depth and sorted by these."""
    return "\n".join(_lines(spans, below, ""))


def _lines(spans: tuple[ReadableSpan, ...], below: str | None, indent: str) -> Iterator[str]:
    children = [span for span in spans if parent_id(span) == below]
    for span in sorted(children, key=lambda span: (span.name, span.kind.name)):
        yield f"{indent}{span.name} {span.kind.name} {span.status.status_code.name}"
        yield from _lines(spans, span_id(span), f"{indent}  ")
