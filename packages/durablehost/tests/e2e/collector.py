"""A stand-in for an OpenTelemetry collector: receives spans over OTLP/HTTP, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from packages.durablehost.tests.eventually import eventually_blocking

PATH = "/v1/traces"


@dataclass(frozen=True, kw_only=True)
class ReceivedSpan:
    """A span as it was sent; ids are hexadecimal, `kind` and `status` are the names of OpenTelemetry."""

    service: str
    name: str
    kind: str
    status: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float


class Collector:
    """Listens on a free port of the loopback."""

    def __init__(self) -> None:
        self._spans: list[ReceivedSpan] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == PATH:
                    collector._spans += _spans(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == PATH else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Prints nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def variables(self) -> dict[str, str]:
        """What makes a host send its spans here, soon."""
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    @property
    def spans(self) -> tuple[ReceivedSpan, ...]:
        return tuple(self._spans)

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def wait_for(self, name: str, count: int = 1) -> list[ReceivedSpan]:
        """Waits until so many spans of this name have come."""
        eventually_blocking(lambda: len(self.named(name)) >= count)
        return self.named(name)

    @contextmanager
    def listening(self) -> Iterator[Collector]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for group in request.resource_spans:
        service = next(each.value.string_value for each in group.resource.attributes if each.key == "service.name")
        for scope in group.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    service=service,
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                )
