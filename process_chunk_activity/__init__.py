"""The activity: one chunk, from readings to statistics; the logic is in `shared_code.activities`."""

from __future__ import annotations

import logging
import os
from typing import Final

from shared_code.activities import run_chunk
from shared_code.contracts import ChunkInput
from shared_code.failures import leaving_activity

_LOGGER: Final = logging.getLogger(__name__)


# `object` for both: the functions worker resolves these annotations and needs plain classes, which JSON types are not.
def main(chunk: object) -> object:
    with leaving_activity():
        result = run_chunk(ChunkInput.from_json(chunk), os.environ)
    _LOGGER.info("Chunk %d: %d records in %.3f s.", result.chunk_id, result.records, result.processing_time)
    return result.to_json()
