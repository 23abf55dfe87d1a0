"""Starts a run, or refuses to.

The rule of this file: a refused request has started nothing, and an instance that is not finished is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from shared_code.contracts import JsonObject, ResumeRequest, RunRequest
from shared_code.durable import Client
from shared_code.location import READINGS, RESULTS, SYNTHETIC
from shared_code.names import ORCHESTRATOR
from shared_code.resuming import is_unfinished, resume


class InstanceNotFinished(Exception):
    """The wanted instance id belongs to an instance that is not finished."""


async def start_run(client: Client, request: RunRequest | ResumeRequest, settings: Mapping[str, str]) -> str:
    """The id of the new instance.

    Raises:
        InvalidInput: the run to resume does not exist, or does not fit.
        InstanceNotFinished: the wanted instance id is in use.
    """
    wanted_id = request.instance_id
    if wanted_id is not None and await _is_unfinished(client, wanted_id):
        raise InstanceNotFinished(wanted_id)
    value = await _orchestrator_input(client, request, settings)
    try:
        return await client.start_new(ORCHESTRATOR, wanted_id, value)
    except Exception:
        # Another request may have taken the id since the check; the SDK reports that only as text.
        if wanted_id is not None and await _is_unfinished(client, wanted_id):
            raise InstanceNotFinished(wanted_id) from None
        raise


async def _is_unfinished(client: Client, instance_id: str) -> bool:
    return is_unfinished(await client.get_status(instance_id))


async def _orchestrator_input(
    client: Client, request: RunRequest | ResumeRequest, settings: Mapping[str, str]
) -> JsonObject:
    stores_results = bool(settings.get(RESULTS, "").strip())
    location = settings.get(READINGS, "").strip() or SYNTHETIC
    # The synthetic signal has no files to list, so such a run needs no plan unless it stores results.
    needs_plan = stores_results or location != SYNTHETIC
    prepare = {"prepare": True} if needs_plan else {}
    if isinstance(request, ResumeRequest):
        resumed = await resume(client, request, location=location, stores_results=stores_results)
        return {**resumed.to_json(), "request": {**resumed.request.to_json(), **prepare}}
    # The clock is read here, once: read in the orchestrator it would differ from replay to replay.
    time = request.time or datetime.now(timezone.utc)
    return {**request.model_copy(update={"time": time, "instance_id": None}).to_json(), **prepare}
