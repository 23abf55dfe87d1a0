"""Spans by the OpenTelemetry SDK: ids, sampling, batches, and export in a thread of the SDK.

Importing this module imports OpenTelemetry. Spans are made from finished values, not by the SDK's own tracer: the ids
of durable spans are known, and often sent to others, long before their spans end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from durablehost import __version__
from durablehost.core.spans import Attributes, Span
from durablehost.core.trace_context import TraceContext
from durablehost.traces.options import TraceOptions

_SERVICE = "durablehost"
_UNKNOWN = "unknown_service"
_LONGEST_TEXT = 4096
_EXPORTERS = "opentelemetry.exporter"
_LATEST = 2**64 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SCOPE = InstrumentationScope(_SERVICE, __version__)

_log = logging.getLogger("Host.Traces")


class OpenTelemetryTracer:
    """Exports spans in batches; spans that come faster than they can be sent are dropped."""

    is_on = True

    def __init__(self, exporter: SpanExporter) -> None:
        # It reads the variables; its tracers are not used.
        provider = TracerProvider(shutdown_on_exit=False)
        self._ids, self._sampler, self._resource = provider.id_generator, provider.sampler, _named(provider.resource)
        self._processor = BatchSpanProcessor(exporter)
        self._lines = _LinesOfTheSdk()

    def begin(self, parent: TraceContext | None, name: str) -> TraceContext:
        trace_id = self._ids.generate_trace_id() if parent is None else int(parent.trace_id, 16)
        above = None if parent is None else trace.set_span_in_context(NonRecordingSpan(_span_context(parent, True)))
        decision = self._sampler.should_sample(above, trace_id, name)
        return TraceContext(
            trace_id=trace.format_trace_id(trace_id),
            span_id=trace.format_span_id(self._ids.generate_span_id()),
            is_sampled=decision.decision is Decision.RECORD_AND_SAMPLE,
            state=parent.state if parent else None,
        )

    def record(self, spans: Iterable[Span]) -> None:
        for span in spans:
            if span.place.context.is_sampled:
                self._processor.on_end(self._readable(span))

    def close(self, seconds: float) -> None:
        """Sends the last spans; returns when they are sent, or the time is over."""
        closing = threading.Thread(target=self._close, name="close traces", daemon=True)
        closing.start()
        closing.join(seconds)

    def _close(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]
        # Not before: what the SDK logs without a handler goes to stderr.
        self._lines.detach()

    def _readable(self, span: Span) -> ReadableSpan:
        place = span.place
        return ReadableSpan(
            name=_text(span.name),
            context=_span_context(place.context, False),
            parent=None if place.parent is None else _span_context(place.parent, True),
            resource=self._resource,
            attributes=_attributes(span.attributes),
            events=[Event(event.name, _attributes(event.attributes), _nanoseconds(event.at)) for event in span.events],
            kind=trace.SpanKind[span.kind.name],
            status=_status(span),
            start_time=_nanoseconds(place.started_at),
            # A clock may have been set back in between, or be that of another machine.
            end_time=_nanoseconds(max(place.ended_at, place.started_at)),
            instrumentation_scope=_SCOPE,
        )


class _LinesOfTheSdk(logging.Handler):
    """Shows each warning of the SDK once, such as that of a full queue. What an exporter logs is reported otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()
        self._logger = logging.getLogger("opentelemetry")
        self._logger.propagate = False
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        # By the text before its values are filled in, so that there are few.
        if not record.name.startswith(_EXPORTERS) and record.msg not in self._shown:
            self._shown.add(record.msg)
            _log.warning("OpenTelemetry: %s", record.getMessage())

    def detach(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True


class ReportingExporter(SpanExporter):
    """Passes spans on to another exporter; logs when that begins to fail, and when it succeeds again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            _log.debug("The exporter of traces failed", exc_info=error)
            result = SpanExportResult.FAILURE
        has_failed = result is not SpanExportResult.SUCCESS
        if has_failed and not self._is_failing:
            _log.warning(
                "Traces cannot be sent to %s and are dropped until it accepts them. Does a collector listen there?",
                self._endpoint,
            )
        elif self._is_failing and not has_failed:
            _log.warning("Traces are sent to %s again", self._endpoint)
        self._is_failing = has_failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def otlp_exporter(options: TraceOptions) -> SpanExporter:
    """Sends spans by OTLP over HTTP; headers, certificates, compression and timeout are those of the variables."""
    return ReportingExporter(OTLPSpanExporter(endpoint=options.endpoint), options.shown_endpoint)


def _named(resource: Resource) -> Resource:
    """The resource of the variables; the service has the name of this host if they give it none."""
    is_named = not str(resource.attributes.get(SERVICE_NAME, _UNKNOWN)).startswith(_UNKNOWN)
    return resource if is_named else resource.merge(Resource({SERVICE_NAME: _SERVICE}))


def _span_context(context: TraceContext, is_remote: bool) -> SpanContext:
    return SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(int(context.is_sampled)),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )


def _status(span: Span) -> Status:
    if span.error is not None:
        return Status(StatusCode.ERROR, _text(span.error))
    return Status(StatusCode.OK if span.is_ok else StatusCode.UNSET)


def _attributes(attributes: Attributes) -> dict[str, str | int]:
    return {name: _text(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _text(text: str) -> str:
    """Not too long, and without halves of surrogate pairs, for which a whole batch would fail."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")


def _nanoseconds(at: datetime) -> int:
    """Since 1970; a time that OTLP cannot carry becomes the first or the last one that it can."""
    return min(max(0, (at - _EPOCH) // timedelta(microseconds=1) * 1000), _LATEST)
