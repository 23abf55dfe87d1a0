"""HTTP client function: checks the request, starts the orchestration, answers with its management URLs."""

from __future__ import annotations

import logging
import os
from typing import Final

import azure.durable_functions as df
import azure.functions as func

from shared_code import http_json
from shared_code.contracts import InvalidInput, Problem, read_request
from shared_code.starting import InstanceNotFinished, start_run

_LOGGER: Final = logging.getLogger(__name__)


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    return await start(req, df.DurableOrchestrationClient(starter))


async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """202 with the management URLs, 400 for a request that is not valid, 409 for an instance id in use."""
    try:
        request = http_json.read_body(req.get_body(), read_request)
        instance_id = await start_run(client, request, os.environ)
    except InvalidInput as error:
        return http_json.bad_request(error)
    except InstanceNotFinished as conflict:
        return _conflict(str(conflict))
    _LOGGER.info("Started orchestration '%s'.", instance_id)
    accepted: func.HttpResponse = client.create_check_status_response(req, instance_id)
    return accepted


def _conflict(instance_id: str) -> func.HttpResponse:
    message = f"An instance with the id '{instance_id}' is not finished yet."
    return http_json.error_response(
        409, "InstanceNotFinished", message, Problem(target="instance_id", message="belongs to an unfinished instance")
    )
