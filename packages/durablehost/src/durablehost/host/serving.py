"""Runs the dispatchers until a signal comes, then finishes the work that has begun.

Every background task of the host belongs to the task group here; one that fails stops the host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio

from durablehost.console import Console
from durablehost.host.running import RunningInvocations
from durablehost.host.shutdown import ShutdownSignal

# Longer activities are cut off and run again after the next start, as after a crash.
DRAIN_SECONDS = 30.0
# A host that ends within this time does not name what it waits for.
QUIET_DRAIN_SECONDS = 1.0

_log = logging.getLogger("Host.Startup")


async def serve(
    dispatch: Callable[[asyncio.Event], Awaitable[None]],
    drain_http: Callable[[float], Awaitable[None]],
    *,
    running: RunningInvocations,
    shutdown: ShutdownSignal,
    console: Console,
    drain_seconds: float = DRAIN_SECONDS,
) -> bool:
    """Returns True after an orderly end, False if the dispatchers failed.

    `dispatch` runs until the event it is given is set and its work is done. `drain_http` accepts no more requests and
    waits for the running ones.
    """
    stopping, drained = asyncio.Event(), asyncio.Event()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_dispatch, dispatch, stopping, drained, name="dispatchers")
            await shutdown.requested.wait()
            tasks.start_soon(_report_running, running, drain_seconds, console, name="report of running functions")
            with anyio.move_on_after(drain_seconds):
                stopping.set()
                await drain_http(drain_seconds)
                await drained.wait()
            tasks.cancel_scope.cancel()
    except Exception as error:
        cause = _first_cause(error)
        _log.critical("The host has failed: %s: %s", type(cause).__name__, cause, exc_info=cause)
        return False
    return True


async def _dispatch(
    dispatch: Callable[[asyncio.Event], Awaitable[None]], stopping: asyncio.Event, drained: asyncio.Event
) -> None:
    await dispatch(stopping)
    if not stopping.is_set():
        raise RuntimeError("the dispatchers ended before the host was asked to stop")
    drained.set()


async def _report_running(running: RunningInvocations, drain_seconds: float, console: Console) -> None:
    await asyncio.sleep(QUIET_DRAIN_SECONDS)
    if names := running.describe():
        console.log(
            f"Waiting up to {drain_seconds:g} s for running functions to end: {names}. "
            "Press Ctrl+C again to end at once; activities then run again after the next start."
        )


def _first_cause(error: BaseException) -> BaseException:
    """The first error inside nested exception groups."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    return error
