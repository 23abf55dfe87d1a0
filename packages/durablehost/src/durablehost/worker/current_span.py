"""Makes the span of a call the current one of OpenTelemetry, so that spans of user code are its children.

The durable SDK, too, takes the context of a start from there. OpenTelemetry belongs to the app: nothing is imported
unless the call belongs to a span. Mirrors `configure_opentelemetry` of the Azure worker, which does the same if the app
asks for OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from durablehost.app.invocation import Invocation


@contextmanager
def span_of(invocation: Invocation) -> Iterator[None]:
    """Makes it the current one in this task or thread; does nothing if the app has no OpenTelemetry."""
    api = _api() if invocation.trace_parent else None
    if api is None:
        yield
        return
    extract, attach, detach = api
    carrier = {"traceparent": invocation.trace_parent, "tracestate": invocation.trace_state}
    token = attach(extract(carrier))
    try:
        yield
    finally:
        detach(token)


@lru_cache(maxsize=1)
def _api() -> tuple[Callable[[Mapping[str, str]], Any], Callable[[Any], Any], Callable[[Any], None]] | None:
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except Exception:
        # Not installed, or broken: calls must not fail for it.
        return None
    return TraceContextTextMapPropagator().extract, context.attach, context.detach
