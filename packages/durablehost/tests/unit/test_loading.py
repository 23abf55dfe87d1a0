"""What a start says whose imports take long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from durablehost.host.loading import report_loading
from packages.durablehost.tests.eventually import eventually


@asynccontextmanager
async def reported(loading: Callable[[], list[str]], *, first_seconds: float = 0.001) -> AsyncIterator[list[str]]:
    said: list[str] = []
    task = asyncio.create_task(report_loading(loading, said.append, first_seconds=first_seconds))
    yield said
    task.cancel()


async def test_names_the_functions_now_and_then() -> None:
    async with reported(lambda: ["a", "b"]) as said:
        await eventually(lambda: len(said) >= 3)
    assert all(re.fullmatch(r"The app is still loading a, b \.\.\. \(\d+ s so far\)", each) for each in said)


async def test_names_the_worker_process_before_the_first_import() -> None:
    async with reported(lambda: []) as said:
        await eventually(lambda: said)
    assert said[0] == "The app is still starting its worker process ... (0 s so far)"


async def test_says_nothing_about_a_quick_start() -> None:
    async with reported(lambda: ["a"], first_seconds=3600) as said:
        await asyncio.sleep(0)
    assert said == []
