"""HTTP function that runs one chunk without an orchestration, to show the result that the activity would have."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Final

import azure.functions as func

from shared_code import http_json
from shared_code.contracts import ChunkInput, InvalidInput, Problem
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source

_LOGGER: Final = logging.getLogger(__name__)


def main(req: func.HttpRequest) -> func.HttpResponse:
    return run_chunk(req, os.environ)


def run_chunk(req: func.HttpRequest, settings: Mapping[str, str]) -> func.HttpResponse:
    """200 with the chunk's result, 400 for an input that is not valid, 500 if the processing fails."""
    try:
        chunk = http_json.read_body(req.get_body(), ChunkInput.from_json)
    except InvalidInput as error:
        return http_json.bad_request(error)
    try:
        return http_json.json_response(process_chunk(chunk, open_source(settings)).to_json())
    except ReadingsError as error:
        return _failure(error, "readings")
    except Exception as error:
        _LOGGER.exception("Chunk %d failed.", chunk.chunk_id)
        return _failure(error, "chunk")


def _failure(error: Exception, target: str) -> func.HttpResponse:
    text = f"{type(error).__name__}: {error}"
    return http_json.error_response(500, "ProcessingFailed", text, Problem(target=target, message=str(error)))
