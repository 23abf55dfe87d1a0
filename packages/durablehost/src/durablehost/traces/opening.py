"""Opens the tracer of a host: imports OpenTelemetry only if traces are on, and ends the export in bounded time.

Whatever is wrong with traces, the host starts without them and prints one line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from durablehost.engine.tracing import NO_TRACES, Tracer
from durablehost.errors import ConfigurationError
from durablehost.traces.options import TraceOptions, trace_options

if TYPE_CHECKING:
    from durablehost.traces.tracer import OpenTelemetryTracer

# How long the end of the host may wait for the last spans to be sent.
CLOSE_SECONDS = 3.0
EXTRA = 'pip install "durablehost[otel]"'


@asynccontextmanager
async def open_tracer(
    environment: Mapping[str, str], *, warn: Callable[[str], None], report: Callable[[str], None]
) -> AsyncIterator[Tracer]:
    """The tracer that the variables ask for, until the end of the block."""
    tracer = _tracer(environment, warn=warn, report=report)
    if tracer is None:
        yield NO_TRACES
        return
    try:
        yield tracer
    finally:
        await asyncio.to_thread(tracer.close, CLOSE_SECONDS)


def _tracer(
    environment: Mapping[str, str], *, warn: Callable[[str], None], report: Callable[[str], None]
) -> OpenTelemetryTracer | None:
    try:
        options = trace_options(environment)
        if options is None:
            return None
        tracer = _load(options)
    except ImportError as error:
        warn(
            f"Traces are off: {error.name or error} is not installed. Run `{EXTRA}` in the environment of durablehost."
        )
    except ConfigurationError as error:
        warn(f"Traces are off: {error}.")
    except Exception as error:
        warn(f"Traces are off: the OTEL_ variables are not valid: {error}")
    else:
        report(f"Traces are exported to {options.shown_endpoint}")
        return tracer
    return None


def _load(options: TraceOptions) -> OpenTelemetryTracer:
    # The SDK reads its options from the environment of the process alone; those of the app may be in its settings.
    os.environ.update(options.variables)
    from durablehost.traces.tracer import OpenTelemetryTracer, otlp_exporter

    return OpenTelemetryTracer(otlp_exporter(options))
