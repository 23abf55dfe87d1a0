"""Starts a run, or refuses to.

The rule of this file: a refused request has started nothing, and an instance that is not finished is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final

from shared_code.contracts import JsonObject, RunRequest
from shared_code.durable import Client
from shared_code.location import READINGS, RESULTS, SYNTHETIC
from shared_code.names import ORCHESTRATOR

_UNFINISHED: Final = frozenset({"Pending", "Running", "ContinuedAsNew", "Suspended"})


class InstanceNotFinished(Exception):
    """The wanted instance id belongs to an instance that is not finished."""


async def start_run(client: Client, request: RunRequest, settings: Mapping[str, str]) -> str:
    """The id of the new instance.

    Raises:
        InstanceNotFinished: the wanted instance id is in use.
    """
    wanted_id = request.instance_id
    if wanted_id is not None and await _is_unfinished(client, wanted_id):
        raise InstanceNotFinished(wanted_id)
    try:
        return await client.start_new(ORCHESTRATOR, wanted_id, _orchestrator_input(request, settings))
    except Exception:
        # Another request may have taken the id since the check; the SDK reports that only as text.
        if wanted_id is not None and await _is_unfinished(client, wanted_id):
            raise InstanceNotFinished(wanted_id) from None
        raise


async def _is_unfinished(client: Client, instance_id: str) -> bool:
    status = await client.get_status(instance_id)
    return bool(status) and status.runtime_status.name in _UNFINISHED


def _orchestrator_input(request: RunRequest, settings: Mapping[str, str]) -> JsonObject:
    # The clock is read here, once: read in the orchestrator it would differ from replay to replay.
    time = request.time or datetime.now(timezone.utc)
    timed = request.model_copy(update={"time": time, "instance_id": None}).to_json()
    # The synthetic signal has no files to list, so such a run needs no plan unless it writes results.
    needs_plan = settings.get(RESULTS, "").strip() or settings.get(READINGS, "").strip() not in {"", SYNTHETIC}
    return {**timed, "prepare": True} if needs_plan else timed
