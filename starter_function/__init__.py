"""HTTP client function: checks the request, starts the orchestration, answers with its management URLs.

The rule of this file: a refused request has started nothing, and an instance that is not finished is never replaced.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Final

import azure.durable_functions as df
import azure.functions as func

from shared_code import http_json
from shared_code.contracts import InvalidInput, Problem, RunRequest
from shared_code.names import ORCHESTRATOR

_LOGGER: Final = logging.getLogger(__name__)
_UNFINISHED: Final = frozenset(
    {
        df.OrchestrationRuntimeStatus.Pending,
        df.OrchestrationRuntimeStatus.Running,
        df.OrchestrationRuntimeStatus.ContinuedAsNew,
        df.OrchestrationRuntimeStatus.Suspended,
    }
)


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    return await start(req, df.DurableOrchestrationClient(starter))


async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """202 with the management URLs, 400 for a request that is not valid, 409 for an instance id in use."""
    try:
        request = http_json.read_body(req.get_body(), RunRequest)
    except InvalidInput as error:
        return http_json.bad_request(error)
    wanted_id = request.instance_id
    if wanted_id is not None and await _is_unfinished(client, wanted_id):
        return _conflict(wanted_id)
    try:
        instance_id = await client.start_new(ORCHESTRATOR, wanted_id, _orchestrator_input(request))
    except Exception:
        # Another request may have taken the id since the check; the SDK reports that only as text.
        if wanted_id is not None and await _is_unfinished(client, wanted_id):
            return _conflict(wanted_id)
        raise
    _LOGGER.info("Started orchestration '%s' of %d chunks.", instance_id, request.total_chunks)
    accepted: func.HttpResponse = client.create_check_status_response(req, instance_id)
    return accepted


async def _is_unfinished(client: df.DurableOrchestrationClient, instance_id: str) -> bool:
    status = await client.get_status(instance_id)
    return bool(status) and status.runtime_status in _UNFINISHED


def _orchestrator_input(request: RunRequest) -> dict[str, object]:
    # The clock is read here, once: read in the orchestrator it would differ from replay to replay.
    time = request.time or datetime.now(timezone.utc)
    return dict(request.model_copy(update={"time": time, "instance_id": None}).to_json())


def _conflict(instance_id: str) -> func.HttpResponse:
    message = f"An instance with the id '{instance_id}' is not finished yet."
    return http_json.error_response(
        409, "InstanceNotFinished", message, Problem(target="instance_id", message="belongs to an unfinished instance")
    )
