"""The one way to wait in tests: repeat a check until it succeeds, for a bounded time.

Rule of this file: no test sleeps for a guessed time; it waits for the condition that it asserts.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

# Reached only where something is wrong: long enough for a machine that is busy with other work.
WAIT_SECONDS = 120


@overload
async def eventually(
    check: Callable[[], Awaitable[T]], *, timeout_seconds: float = WAIT_SECONDS, interval_seconds: float = 0.02
) -> T: ...
@overload
async def eventually(
    check: Callable[[], T], *, timeout_seconds: float = WAIT_SECONDS, interval_seconds: float = 0.02
) -> T: ...
async def eventually(
    check: Callable[[], Any], *, timeout_seconds: float = WAIT_SECONDS, interval_seconds: float = 0.02
) -> Any:
    """Returns the first truthy answer of `check`, plain or async.

    An AssertionError of `check` counts as "not yet", so it may contain plain asserts (and then return True).

    Raises:
        AssertionError: the time is over; the message contains the last result or failed assertion.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        failure: AssertionError | None = None
        try:
            answer = check()
            value = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            seen = f"last seen: {value!r}"
        except AssertionError as error:
            failure, seen = error, f"last failure: {error}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_seconds:g} seconds; {seen}") from failure
        await asyncio.sleep(interval_seconds)


def eventually_blocking(
    check: Callable[[], T], *, timeout_seconds: float = WAIT_SECONDS, interval_seconds: float = 0.02
) -> T:
    """`eventually` for tests without an event loop."""
    return asyncio.run(eventually(check, timeout_seconds=timeout_seconds, interval_seconds=interval_seconds))
