"""The start and restart routes of the management API, with their wait mode.

Mirrors HandleStartOrchestratorRequestAsync and WaitForCompletionOrCreateCheckStatusResponseAsync of HttpApiHandler. In
wait mode the instance is started before the times are checked, as in the original.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import InstanceExists, RequestError
from durablehost.large_text import call_on_text
from durablehost.web.answer import json_answer, text_answer
from durablehost.web.links import Links
from durablehost.web.request import EdgeRequest
from durablehost.web.requested_status import requested_status
from durablehost.web.stored import body_to_input, shown_json

_RETRY_SECONDS = "10"
_SHORTEST_INTERVAL_SECONDS = 0.05


class StartRoutes:
    """Starts instances. `stopping` is set when the host ends: then no request waits any longer."""

    def __init__(self, client: OrchestrationClient, links: Links, stopping: asyncio.Event) -> None:
        self._client = client
        self._links = links
        self._stopping = stopping

    async def start(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        instance_id = await self._client.start(
            parts["function"],
            instance_id=parts.get("id"),
            input_text=await call_on_text(body_to_input, await request.read_utf8()),
            version=request.query.as_sent("version"),
            trace=request.trace,
        )
        return await self._answer(request, instance_id)

    async def restart(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        with_new_id = request.query.boolean("restartWithNewInstanceId", True)
        try:
            instance_id = await self._client.restart(parts["id"], with_new_id=with_new_id, trace=request.trace)
        except InstanceExists as error:
            raise RequestError(
                409, "A non-terminal instance with this instance ID already exists.", str(error)
            ) from error
        return await self._answer(request, instance_id)

    async def _answer(self, request: EdgeRequest, instance_id: str) -> web.Response:
        """202 with the management URLs, or the outcome if the request asks to wait for it."""
        timeout = request.query.seconds("timeout")
        interval = request.query.seconds("pollingInterval")
        if timeout is not None and interval is not None:
            finished = await self._wait(request, instance_id, timeout, interval)
            if finished is not None:
                return await self._outcome(request, finished)
        payload = self._links.start_payload(instance_id, origin=request.link_origin)
        headers = {"Location": str(payload["statusQueryGetUri"]), "Retry-After": _RETRY_SECONDS}
        return json_answer(payload, status=202, headers=headers)

    async def _wait(
        self, request: EdgeRequest, instance_id: str, timeout_seconds: float, interval_seconds: float
    ) -> InstanceRecord | None:
        """The record once the instance is finished; None if the time is over first or the client has disconnected."""
        if interval_seconds > timeout_seconds:
            problem = f"Total timeout {timeout_seconds:g} should be bigger than retry timeout {interval_seconds:g}"
            raise RequestError(400, problem, problem)
        deadline = time.monotonic() + timeout_seconds
        while True:
            record = await self._client.get(instance_id)
            if record is not None and record.runtime_status.is_finished:
                return record
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._stopping.is_set() or request.is_abandoned:
                return None
            await self._pause(min(max(interval_seconds, _SHORTEST_INTERVAL_SECONDS), remaining))

    async def _outcome(self, request: EdgeRequest, record: InstanceRecord) -> web.Response:
        if record.runtime_status is RuntimeStatus.COMPLETED:
            return text_answer(await shown_json(record.output))
        return text_answer(await requested_status(self._client, request.query, record))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return
