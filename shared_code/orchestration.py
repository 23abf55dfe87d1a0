"""The steps of the orchestrator: plans the chunks, fans out, keeps every outcome, fans in.

The rule of this file: it is replayed from its history over and over, so it does nothing but compute from its input and
yield. Changing GROUP_SIZE changes what is scheduled: let running instances finish first.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from shared_code.aggregation import conclude, fold_chunks, fold_groups
from shared_code.contracts import ChunkGroup, ChunkInput, RunInput
from shared_code.durable import Context, Steps
from shared_code.failures import read_failure
from shared_code.fan_out import settle
from shared_code.names import ORCHESTRATOR, PROCESS_CHUNK
from shared_code.planning import with_plan, with_stored_results
from shared_code.progress import Progress, Tally, count
from shared_code.results import NOTHING, ChunkFailure, ChunkResult, FoldedChunks
from shared_code.resuming import ResumedRun

# The most chunks in one history: the cost of replay grows with its square, that of a queue with its length. More chunks
# become sub-orchestrations of this size.
GROUP_SIZE: Final = 100

_LOGGER: Final = logging.getLogger(__name__)


def orchestrate(context: Context) -> Steps:
    """The output of a run, or, for the input of a sub-orchestration, the outcomes of its chunks."""
    value = context.get_input()
    if isinstance(value, dict) and "kept" in value:
        resumed = ResumedRun.from_json(value)
        return (yield from _run(context, resumed.request, resumed))
    if isinstance(value, dict) and "request" in value:
        group = ChunkGroup.from_json(value)
        folded = yield from _process_group(context, group, Progress(context, group.chunk_count))
        return folded.to_json()
    return (yield from _run(context, RunInput.from_json(value)))


def _run(context: Context, asked: RunInput, resumed: ResumedRun | None = None) -> Steps:
    kept = resumed.kept if resumed else NOTHING
    progress = Progress(context, asked.total_chunks, Tally(chunks=len(kept.results), records=kept.records))
    # A run that was started through the management API may lack the time.
    timed = asked if asked.time else asked.model_copy(update={"time": context.current_utc_datetime})
    stored = resumed.stored_chunks if resumed else None
    request = yield from with_plan(context, timed, progress, stored)
    folded = yield from _process(context, request, kept, progress)
    progress.show("failed")  # remains if the next line raises
    output = {**conclude(request, folded), **({"resume_of": resumed.resume_of} if resumed else {})}
    progress.show(str(output["status"]))
    _log(context, "Run is %s: %d of %d chunks failed.", output["status"], output["failed"], request.total_chunks)
    return (yield from with_stored_results(context, request, output, progress))


def _process(context: Context, request: RunInput, kept: FoldedChunks, progress: Progress) -> Steps:
    """The outcomes of all chunks, of which those in `kept` need not be processed."""
    kept_ids = {result.chunk_id for result in kept.results}
    ids = [chunk_id for chunk_id in range(request.total_chunks) if chunk_id not in kept_ids]
    _log(context, "Processing %d of %d chunks of %s.", len(ids), request.total_chunks, request.window)
    groups = [ChunkGroup.of(request, ids[first : first + GROUP_SIZE]) for first in range(0, len(ids), GROUP_SIZE)]
    if len(groups) > 1:
        processed = yield from _process_groups(context, groups, progress)
    elif groups:
        processed = yield from _process_group(context, groups[0], progress)
    else:
        processed = NOTHING
    return fold_groups([kept, processed]).in_order()


def _process_group(context: Context, group: ChunkGroup, progress: Progress) -> Steps:
    """Processes the group's chunks in this orchestration."""
    progress.begin()
    chunks = _chunks(group)
    starts = [partial(context.call_activity, PROCESS_CHUNK, chunk.to_json()) for chunk in chunks]
    outcomes = yield from settle(
        context,
        starts,
        lambda position, outcome: progress.add(count(_own(chunks[position], outcome), 1)),
        group.request.max_parallel,
        group.request.chunk_timeout,
    )
    return fold_chunks(
        _failed(chunk, outcome) if isinstance(outcome, Exception) else ChunkResult.from_json(outcome)
        for chunk, outcome in zip(chunks, map(_own, chunks, outcomes), strict=True)
    )


def _own(chunk: ChunkInput, outcome: Any) -> Any:
    """The outcome, or an exception if it is that of another task.

    The pause before an attempt has an id, too. So the ids after a failure depend on which outcomes came together, and a
    message of an episode that was lost in a crash may complete another task of the repeated one.
    """
    if isinstance(outcome, Exception) or (isinstance(outcome, dict) and outcome.get("chunk_id") == chunk.chunk_id):
        return outcome
    return Exception("ResultLost: after a crash, the result of another task came in its place")


def _process_groups(context: Context, groups: list[ChunkGroup], progress: Progress) -> Steps:
    """Processes them in sub-orchestrations, which report failed chunks, and fail only if ended from outside."""
    progress.begin()
    limit = groups[0].request.max_parallel
    starts = [partial(context.call_sub_orchestrator, ORCHESTRATOR, group.to_json()) for group in groups]
    # Each group keeps to the limit by itself, so together they do if they have no more than it in all.
    most_groups = None if limit is None else max(1, limit // GROUP_SIZE)
    outcomes = yield from settle(
        context,
        starts,
        lambda position, outcome: progress.add(count(outcome, groups[position].chunk_count)),
        most_groups,
        attempts=1,
    )
    return fold_groups(
        fold_chunks(_failed(chunk, outcome) for chunk in _chunks(group))
        if isinstance(outcome, Exception)
        else FoldedChunks.from_json(outcome)
        for group, outcome in zip(groups, outcomes, strict=True)
    )


def _chunks(group: ChunkGroup) -> list[ChunkInput]:
    request, total = group.request, group.request.total_chunks
    if request.time is None:
        raise ValueError("request.time: must be set in the input of a sub-orchestration")
    windows = [request.window.part(chunk_id, total) for chunk_id in group.ids]
    return [
        ChunkInput(
            chunk_id=chunk_id,
            start=window.start,
            end=window.end,
            total_chunks=total,
            time=request.time,
            plan=request.plan,
            allow_changed_readings=request.allow_changed_readings if request.plan else None,
        )
        for chunk_id, window in zip(group.ids, windows, strict=True)
    ]


def _failed(chunk: ChunkInput, failure: Exception) -> ChunkFailure:
    return ChunkFailure(chunk_id=chunk.chunk_id, start=chunk.start, end=chunk.end, error=read_failure(failure))


def _log(context: Context, message: str, *values: object) -> None:
    if not context.is_replaying:
        _LOGGER.info(message, *values)
