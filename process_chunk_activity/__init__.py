"""The activity: one chunk, from readings to statistics; the logic is in `shared_code.processing`."""

from __future__ import annotations

import logging
import os
from typing import Final

from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.readings import open_source

_LOGGER: Final = logging.getLogger(__name__)


# `object` for both: the functions worker resolves these annotations and needs plain classes, which JSON types are not.
def main(chunk: object) -> object:
    result = process_chunk(ChunkInput.from_json(chunk), open_source(os.environ))
    _LOGGER.info("Chunk %d: %d records in %.3f s.", result.chunk_id, result.records, result.processing_time)
    return result.to_json()
