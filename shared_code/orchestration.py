"""The steps of the orchestrator: plans the chunks, fans out, keeps every outcome, fans in.

The rule of this file: it is replayed from its history over and over, so it does nothing but compute from its input and
yield. Changing GROUP_SIZE changes what is scheduled: let running instances finish first.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from shared_code.aggregation import conclude, fold_chunks, fold_groups
from shared_code.contracts import ChunkGroup, ChunkInput, JsonObject, RunInput
from shared_code.durable import Context, Steps
from shared_code.failures import read_failure
from shared_code.fan_out import Progress, settle
from shared_code.names import ORCHESTRATOR, PROCESS_CHUNK
from shared_code.planning import with_plan, with_stored_results
from shared_code.results import ChunkFailure, ChunkResult, FoldedChunks

# The most chunks in one history: the cost of replay grows with its square, that of a queue with its length. More chunks
# become sub-orchestrations of this size.
GROUP_SIZE: Final = 100

_LOGGER: Final = logging.getLogger(__name__)


def orchestrate(context: Context, retry_options: Any) -> Steps:
    """The output of a run, or, for the input of a sub-orchestration, the outcomes of its chunks."""
    value = context.get_input()
    if isinstance(value, dict) and "request" in value:
        folded = yield from _process_group(context, retry_options, ChunkGroup.from_json(value))
        return folded.to_json()
    request = yield from with_plan(context, retry_options, _request(context, value))
    output = yield from _run(context, retry_options, request)
    return (yield from with_stored_results(context, retry_options, request, output))


def _request(context: Context, value: object) -> RunInput:
    """The request, with a time: a run that was started through the management API may lack it."""
    request = RunInput.from_json(value)
    return request if request.time else request.model_copy(update={"time": context.current_utc_datetime})


def _run(context: Context, retry_options: Any, request: RunInput) -> Steps:
    total = request.total_chunks
    _log(context, "Processing %d chunks of %s.", total, request.window)
    if total <= GROUP_SIZE:
        whole = ChunkGroup(request=request, first_chunk=0, chunk_count=total)
        folded = yield from _process_group(context, retry_options, whole)
    else:
        folded = yield from _process_groups(context, request)
    failed = len(folded.failures)
    context.set_custom_status(_status("failed", total, total, failed))  # remains if the next line raises
    output = conclude(request, folded)
    context.set_custom_status(_status(str(output["status"]), total, total, failed))
    _log(context, "Run is %s: %d of %d chunks failed.", output["status"], failed, total)
    return output


def _process_group(context: Context, retry_options: Any, group: ChunkGroup) -> Steps:
    """Processes the group's chunks in this orchestration."""
    chunks = _chunks(group)
    starts = [
        partial(context.call_activity_with_retry, PROCESS_CHUNK, retry_options, chunk.to_json()) for chunk in chunks
    ]
    reporter = _reporter(context, [1] * len(chunks))
    outcomes = yield from settle(context, starts, reporter, group.request.max_parallel)
    return fold_chunks(
        _failed(chunk, outcome) if isinstance(outcome, Exception) else ChunkResult.from_json(outcome)
        for chunk, outcome in zip(chunks, outcomes, strict=True)
    )


def _process_groups(context: Context, request: RunInput) -> Steps:
    """Processes all chunks in sub-orchestrations, which report failed chunks, and fail only if ended from outside."""
    total = request.total_chunks
    groups = [
        ChunkGroup(request=request, first_chunk=first, chunk_count=min(GROUP_SIZE, total - first))
        for first in range(0, total, GROUP_SIZE)
    ]
    starts = [partial(context.call_sub_orchestrator, ORCHESTRATOR, group.to_json()) for group in groups]
    reporter = _reporter(context, [group.chunk_count for group in groups])
    # Each group keeps to the limit by itself, so together they do if they have no more than it in all.
    most_groups = None if request.max_parallel is None else max(1, request.max_parallel // GROUP_SIZE)
    outcomes = yield from settle(context, starts, reporter, most_groups)
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
    ids = range(group.first_chunk, group.first_chunk + group.chunk_count)
    windows = [request.window.part(chunk_id, total) for chunk_id in ids]
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
        for chunk_id, window in zip(ids, windows, strict=True)
    ]


def _failed(chunk: ChunkInput, failure: Exception) -> ChunkFailure:
    return ChunkFailure(chunk_id=chunk.chunk_id, start=chunk.start, end=chunk.end, error=read_failure(failure))


def _reporter(context: Context, chunks_per_task: list[int]) -> Progress:
    """Shows in the custom status how many chunks the finished tasks stand for, beginning with none."""
    total = sum(chunks_per_task)

    def report(finished: list[bool]) -> None:
        done = sum(chunks for chunks, is_finished in zip(chunks_per_task, finished, strict=True) if is_finished)
        context.set_custom_status(_status("processing", done, total))

    report([False] * len(chunks_per_task))
    return report


def _status(phase: str, done: int, total: int, failed: int | None = None) -> JsonObject:
    status: JsonObject = {"phase": phase, "chunks_done": done, "chunks_total": total}
    return status if failed is None else {**status, "chunks_failed": failed}


def _log(context: Context, message: str, *values: object) -> None:
    if not context.is_replaying:
        _LOGGER.info(message, *values)
