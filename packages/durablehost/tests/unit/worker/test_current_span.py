"""Calls that belong to a span: user code sees it as the current one of OpenTelemetry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from packages.durablehost.tests.unit.worker.conftest import AppBuilder, RunningPool, StartPool

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

# The current span, and what the app is told about the call.
SOURCE = """
    from opentelemetry import trace

    {define} main(input, context):
        span = trace.get_current_span().get_span_context()
        told = context.trace_context
        return [f"{{span.trace_id:032x}}", f"{{span.span_id:016x}}", told.trace_parent, told.trace_state]
"""
NO_SPAN = ["0" * 32, "0" * 16, "", ""]


async def invoke(pool: RunningPool, name: str, **members: Any) -> Any:
    result = await pool.call(name, **members)
    assert result.failure is None, result.failure.stack
    return json.loads(result.return_value or "")


@pytest.mark.parametrize("define", ["def", "async def"])
async def test_the_span_of_a_call_is_the_current_one_until_it_ends(
    app: AppBuilder, start_pool: StartPool, define: str
) -> None:
    app.activity("Where", SOURCE.format(define=define))
    pool = await start_pool()
    assert await invoke(pool, "Where") == NO_SPAN
    within = await invoke(pool, "Where", trace_parent=PARENT, trace_state="vendor=1")
    assert within == [TRACE, SPAN, PARENT, "vendor=1"]
    assert await invoke(pool, "Where") == NO_SPAN


async def test_an_app_without_opentelemetry_runs_within_spans(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Lacking",
        """
        import sys
        sys.modules["opentelemetry"] = None

        def main(input, context): return context.trace_context.trace_parent
        """,
    )
    assert await invoke(await start_pool(), "Lacking", trace_parent=PARENT) == PARENT


async def test_a_call_without_a_span_imports_nothing_of_opentelemetry(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Loaded",
        """
        import sys

        def main(input): return [name for name in sys.modules if name.startswith("opentelemetry")]
        """,
    )
    assert await invoke(await start_pool(), "Loaded") == []
