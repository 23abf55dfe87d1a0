"""A caller of an app: starts orchestrations over HTTP and reads from the storage when they have completed.

Rule of this file: the reading must not distort the measurement. The bare client reads the row of the instance, which
costs the host nothing and Azurite a point query, and reads it more rarely the longer an orchestration takes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp

from bench.errors import BenchError
from bench.stack import HUB
from bench.storage import Storage, connected
from durablehost.emulator.azurite import Ports

FINAL = ("Completed", "Failed", "Terminated", "Canceled")
TIMEOUT_SECONDS = 1800
SETTLE_SECONDS = 60

_INSTANCES = f"{HUB}Instances"
_HISTORY = f"{HUB}History"
_PARTITIONS = 4
_QUEUES = [f"{HUB.lower()}-workitems", *(f"{HUB.lower()}-control-{number:02}" for number in range(_PARTITIONS))]

# A completion is seen at most 2 % late: each pause is this share of the time so far, within these bounds.
_PAUSE_SHARE = 0.02
_SHORTEST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.1
_SETTLE_PAUSE_SECONDS = 0.01


class Host(Protocol):
    """A running host. `check_running` raises an error if it has ended."""

    url: str

    def check_running(self) -> None: ...


class Caller:
    """A client with an open connection to the host, and one to its storage."""

    def __init__(self, session: aiohttp.ClientSession, host: Host, storage: Storage) -> None:
        self._session = session
        self._host = host
        self._storage = storage

    async def start(self, orchestrator: str, orchestrator_input: object) -> dict[str, str]:
        """The management URLs of the new instance of an orchestrator of `noop`, and its `id`."""
        return await self.post(f"start/{orchestrator}", orchestrator_input)

    async def post(self, route: str, body: object) -> dict[str, str]:
        """The management URLs of the instance that a POST to this route of the app starts, and its `id`."""
        links: dict[str, str] = await self._post(f"{self._host.url}/api/{route}", body)
        return links

    async def start_directly(self, orchestrator: str, orchestrator_input: object) -> dict[str, str]:
        """Starts an instance by the management API, which every host has."""
        url = f"{self._host.url}/runtime/webhooks/durabletask/orchestrators/{orchestrator}?code=bench"
        links: dict[str, str] = await self._post(url, orchestrator_input)
        return links

    async def raise_event(self, links: dict[str, str], name: str, value: object = None) -> None:
        await self._post(links["sendEventPostUri"].replace("{eventName}", name), {} if value is None else value)

    async def suspend(self, links: dict[str, str]) -> None:
        await self._post(links["suspendPostUri"].replace("{text}", "bench"), None)

    async def resume(self, links: dict[str, str]) -> None:
        await self._post(links["resumePostUri"].replace("{text}", "bench"), None)

    async def output_of(self, instance_id: str) -> Any:
        """Waits for the completion of an instance."""
        return json.loads((await self._until(instance_id, "Completed"))["Output"])

    async def until_running(self, instance_id: str) -> None:
        """Waits until the first episode of an instance is stored."""
        await self._until(instance_id, "Running")

    async def until_suspended(self, instance_id: str) -> None:
        await self._until(instance_id, "Suspended")

    async def row_of(self, instance_id: str) -> dict[str, Any]:
        return await self._storage.read_row(_INSTANCES, instance_id) or {}

    async def last_episode_of(self, instance_id: str) -> object:
        """When the last episode of an instance was stored."""
        sentinel = await self._storage.read_row(_HISTORY, instance_id, "sentinel") or {}
        return sentinel.get("CheckpointCompletedTimestamp")

    async def get_status(self, links: dict[str, str]) -> None:
        async with self._session.get(links["statusQueryGetUri"]) as answer:
            await answer.read()

    async def _until(self, instance_id: str, wanted: str) -> dict[str, Any]:
        """The row of the instance once it has this status.

        Raises:
            BenchError: it ended otherwise or not in time, or the host is gone.
        """
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < TIMEOUT_SECONDS:
            row = await self.row_of(instance_id)
            if (status := row.get("RuntimeStatus")) == wanted:
                return row
            if status in FINAL:
                raise BenchError(f"The orchestration {instance_id} ended as {status}: {row.get('Output')}")
            self._host.check_running()
            await asyncio.sleep(min(max(elapsed * _PAUSE_SHARE, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS))
        raise BenchError(f"The orchestration {instance_id} has not ended within {TIMEOUT_SECONDS} seconds.")

    async def until_settled(self) -> None:
        """Waits until no message is stored: after a completion, some may still have to be deleted.

        Raises:
            BenchError: there are still some after a while, or the host is gone.
        """
        deadline = time.perf_counter() + SETTLE_SECONDS
        while await self._storage.has_messages(_QUEUES):
            self._host.check_running()
            if time.perf_counter() > deadline:
                raise BenchError(f"Messages are left in the queues {SETTLE_SECONDS} seconds after the completion.")
            await asyncio.sleep(_SETTLE_PAUSE_SECONDS)

    async def run(self, orchestrator: str, orchestrator_input: object) -> Any:
        """The output of an orchestration from its start to its completion."""
        return await self.output_of((await self.start(orchestrator, orchestrator_input))["id"])

    async def fan_out(self, chunks: int, group_size: int | None) -> float:
        """The seconds that a fan-out takes from the request to its completion."""
        began = time.perf_counter()
        ran = await self.run("fan_out", {"chunks": chunks, "group_size": group_size})
        seconds = time.perf_counter() - began
        if ran != chunks:
            raise BenchError(f"A fan-out over {chunks} chunks returned that {ran} of them ran.")
        return seconds

    async def many_fan_outs(self, orchestrations: int, chunks: int) -> float:
        """The seconds from the first request to the last completion of so many fan-outs started at once."""
        began = time.perf_counter()
        asked = {"chunks": chunks, "group_size": None}
        started = await asyncio.gather(*(self.start("fan_out", asked) for _ in range(orchestrations)))
        for links in started:
            await self.output_of(links["id"])
        return time.perf_counter() - began

    async def _post(self, url: str, body: object) -> Any:
        try:
            async with self._session.post(url, json=body) as answer:
                content = await answer.read()
        except aiohttp.ClientError as error:
            self._host.check_running()
            raise BenchError(f"The host does not answer: {error}") from error
        if answer.status != 202:
            raise BenchError(f"POST {url} answered {answer.status}: {content.decode(errors='replace')[:500]}")
        return json.loads(content) if content else None


@asynccontextmanager
async def calling(host: Host, storage: Ports) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session, connected(storage) as client:
        yield Caller(session, host, client)
