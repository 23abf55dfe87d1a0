"""Measures the time from `kill -9` of a host to the first episode of the next one, which is started at once.

Rule of this file: nobody waits for the killed process, as in a container without an init. The messages of the killed
host are hidden for five minutes, as in Azure, so that a much shorter time is not the end of a timeout.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.figures import Figures, Measured, Say
from bench.stack import running_azurite, running_host
from demo.host import DurableHost
from durablehost.emulator.azurite import Ports

CHUNKS = 500
EPISODE_SECONDS = 60

_PAUSE_SECONDS = 0.01

_SETTING = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__{}"
_AS_IN_AZURE = {
    _SETTING.format("workItemQueueVisibilityTimeout"): "00:05:00",
    _SETTING.format("controlQueueVisibilityTimeout"): "00:05:00",
    _SETTING.format("maxQueuePollingInterval"): "00:00:30",
}

# Seconds from the kill until the next host is ready, and to its first episode.
Restart = tuple[float, float]


def measure_restarts(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    kinds: dict[str, Callable[[Path], Restart]] = {"event": _restart_with_event, "fanout": _restart_in_fan_out}
    for kind, restart in kinds.items():
        measured = []
        for run in range(runs):
            measured.append(restart(folder))
            ready, first_episode = measured[-1]
            say(f"restart, {kind}, run {run + 1}: ready after {ready:.2f} s, first episode after {first_episode:.2f} s")
        yield "restart", kind, restart_figures(measured)


def restart_figures(measured: list[Restart]) -> Figures:
    return {
        "first_episode_seconds": statistics.median(first_episode for _, first_episode in measured),
        "longest_first_episode_seconds": max(first_episode for _, first_episode in measured),
        "ready_seconds": statistics.median(ready for ready, _ in measured),
        "runs": len(measured),
    }


def _restart_with_event(folder: Path) -> Restart:
    """The killed host holds an event of a suspended instance, which is resumed as soon as the next host is ready."""
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder, settings=_AS_IN_AZURE) as killed:

        async def prepare() -> dict[str, str]:
            async with calling(killed, azurite.ports) as caller:
                links = await caller.start("await_event", {})
                await caller.until_running(links["id"])
                await caller.suspend(links)
                await caller.raise_event(links, "go")
                await caller.until_suspended(links["id"])
                # For the event to arrive.
                await asyncio.sleep(1)
                return links

        async def resume(host: DurableHost, links: dict[str, str]) -> None:
            async with calling(host, azurite.ports) as caller:
                await caller.resume({name: link.replace(killed.url, host.url) for name, link in links.items()})
                await caller.output_of(links["id"])

        links = asyncio.run(prepare())
        began = time.perf_counter()
        killed.kill()
        with running_host(azurite.ports, folder, settings=_AS_IN_AZURE) as host:
            ready_seconds = time.perf_counter() - began
            asyncio.run(resume(host, links))
            return ready_seconds, time.perf_counter() - began


def _restart_in_fan_out(folder: Path) -> Restart:
    """The killed host is in the middle of a fan-out, with some activities done that no episode has recorded."""
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder, settings=_AS_IN_AZURE) as killed:

        async def begin() -> str:
            async with calling(killed, azurite.ports) as caller:
                links = await caller.start("fan_out", {"chunks": CHUNKS, "group_size": None})
                # The first episode has asked for the activities.
                await caller.until_running(links["id"])
                return links["id"]

        instance_id = asyncio.run(begin())
        began = time.perf_counter()
        killed.kill()
        with ThreadPoolExecutor(1) as beside:
            episode_at = beside.submit(_wait_for_episode, killed, azurite.ports, instance_id)
            with running_host(azurite.ports, folder, settings=_AS_IN_AZURE):
                ready_seconds = time.perf_counter() - began
                return ready_seconds, episode_at.result() - began


def _wait_for_episode(killed: DurableHost, storage: Ports, instance_id: str) -> float:
    async def wait() -> float:
        async with calling(killed, storage) as caller:
            await _next_episode(caller, instance_id)
            return time.perf_counter()

    return asyncio.run(wait())


async def _next_episode(caller: Caller, instance_id: str) -> None:
    """Waits until an episode is stored that was not stored before.

    Raises:
        BenchError: the orchestration has completed already, or no episode is stored for a minute.
    """
    before = await caller.last_episode_of(instance_id)
    if (await caller.row_of(instance_id))["RuntimeStatus"] != "Running":
        raise BenchError(f"The fan-out over {CHUNKS} chunks ended before the host could be killed.")
    deadline = time.perf_counter() + EPISODE_SECONDS
    while await caller.last_episode_of(instance_id) == before:
        if time.perf_counter() > deadline:
            raise BenchError(f"No episode was stored for {EPISODE_SECONDS} seconds.")
        await asyncio.sleep(_PAUSE_SECONDS)
