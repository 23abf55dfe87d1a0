"""What the activities of a run do: make the plan, process a chunk, write the manifest.

The rule of this file: settings are read here, not in the orchestrator, which must do the same in every replay; and a
value from outside never names a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared_code.contracts import ChunkInput, JsonObject, RunPlan, RunStart
from shared_code.listing_store import open_listings
from shared_code.location import RESULTS
from shared_code.processing import process_chunk
from shared_code.readings import open_source
from shared_code.results import ChunkResult, RunEnd
from shared_code.stored_results import ResultsError, StoredResults, open_results

_NOT_WRITTEN: Final = (
    f'{RESULTS} is set, but the results were not written: this run was started without "prepare": true'
)

Settings = Mapping[str, str]


def prepare_run(start: RunStart, settings: Settings) -> RunPlan:
    """Records the files of the readings, and begins the stored results if the settings name a place for them.

    Raises:
        ReadingsError: the files cannot be listed, or their listing cannot be stored.
        ResultsError: a setting of the results is not valid, or nothing can be written there.
    """
    source = open_source(settings)
    listing = open_listings(source, settings).record(start.window).version if source.has_files else None
    results = open_results(settings)
    if results:
        results.begin(start)
    return RunPlan(listing=listing, run=start.run if results else None)


def run_chunk(chunk: ChunkInput, settings: Settings) -> ChunkResult:
    """The statistics of the chunk, which are written too if the plan of the run says so.

    Raises:
        ReadingsError: the readings cannot be read, or have changed.
        ResultsError: the results cannot be written.
    """
    source, plan = open_source(settings), chunk.plan or RunPlan()
    listing = open_listings(source, settings).load(plan.listing) if plan.listing else None
    result = process_chunk(chunk, source, listing)
    if plan.run is not None:
        _results(settings).write_chunk(plan.run, result)
    elif chunk.plan is None and settings.get(RESULTS):
        result = result.model_copy(update={"warnings": [*result.warnings, _NOT_WRITTEN]})
    return result


def finish_run(end: RunEnd, settings: Settings) -> JsonObject:
    """Writes the manifest, and returns where the results are.

    Raises:
        ResultsError: it cannot be written.
    """
    return _results(settings).write_manifest(end)


def _results(settings: Settings) -> StoredResults:
    results = open_results(settings)
    if results is None:
        raise ResultsError(f"the app setting {RESULTS} is missing, although this run has begun with it")
    return results
