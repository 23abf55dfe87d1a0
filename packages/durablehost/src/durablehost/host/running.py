"""Counts the running functions, so that a host that waits for them can name them."""

from __future__ import annotations

from collections import Counter

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.engine.ports import Executor


class RunningInvocations:
    """An executor that passes every call on and counts those that have not ended."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._counts: Counter[str] = Counter()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self._counts[invocation.function_name] += 1
        try:
            return await self._executor.invoke(invocation)
        finally:
            self._counts[invocation.function_name] -= 1

    def describe(self) -> str:
        """`process_chunk_activity (3), starter_function (1)`; empty if nothing runs."""
        return ", ".join(f"{name} ({count})" for name, count in sorted(self._counts.items()) if count)
