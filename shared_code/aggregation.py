"""Folds chunk results into the output of a run.

The rule of this file: merging is in `chunk_id` order, never in order of completion, so that the output is the same for
every interleaving. Counts, minima and maxima are exact; mean and m2 are merged pairwise by Chan, Golub and LeVeque's
update, which does not cancel as sums of squares do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from shared_code.contracts import JsonObject, RunRequest
from shared_code.instants import format_instant
from shared_code.results import ChunkFailure, ChunkReport, ChunkResult, FoldedChunks, SeriesStatistics

_MAX_ERRORS_NAMED: Final = 10
_MAX_RANGES_NAMED: Final = 40


class RunFailed(Exception):
    """More chunks failed than the run may lose."""


def fold_chunks(outcomes: Iterable[ChunkResult | ChunkFailure]) -> FoldedChunks:
    """`outcomes`, in `chunk_id` order, with the statistics merged."""
    results: list[ChunkReport | ChunkFailure] = []
    statistics: dict[str, SeriesStatistics] = {}
    for outcome in outcomes:
        if isinstance(outcome, ChunkResult):
            results.append(outcome.report)
            _merge_into(statistics, outcome.statistics)
        else:
            results.append(outcome)
    return FoldedChunks(results=results, statistics=statistics)


def fold_groups(groups: Iterable[FoldedChunks]) -> FoldedChunks:
    """`groups`, in the order of their first chunks, as one."""
    results: list[ChunkReport | ChunkFailure] = []
    statistics: dict[str, SeriesStatistics] = {}
    for group in groups:
        results.extend(group.results)
        _merge_into(statistics, group.statistics)
    return FoldedChunks(results=results, statistics=statistics)


def _merge_into(total: dict[str, SeriesStatistics], more: dict[str, SeriesStatistics]) -> None:
    for series, statistics in more.items():
        total[series] = merge(total[series], statistics) if series in total else statistics


def merge(a: SeriesStatistics, b: SeriesStatistics) -> SeriesStatistics:
    """The statistics of both sets of values together.

    Raises:
        OverflowError: the values lie further apart than the square root of the largest double.
    """
    count = a.count + b.count
    mean, m2 = _merge_moments(a, b)
    return SeriesStatistics(
        count=count,
        mean=mean,
        m2=m2,
        min=_either(min, a.min, b.min),
        max=_either(max, a.max, b.max),
        nulls=a.nulls + b.nulls,
        non_finite=a.non_finite + b.non_finite,
    )


def _merge_moments(a: SeriesStatistics, b: SeriesStatistics) -> tuple[float | None, float]:
    if a.mean is None or b.mean is None:
        return (b.mean, b.m2) if a.mean is None else (a.mean, a.m2)
    share = b.count / (a.count + b.count)
    delta = b.mean - a.mean
    mean, m2 = a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.count * share
    if not (math.isfinite(mean) and math.isfinite(m2)):
        raise OverflowError("the values lie too far apart for a standard deviation in double precision")
    return mean, m2


def _either(choose: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else choose(a, b)


def conclude(request: RunRequest, folded: FoldedChunks) -> JsonObject:
    """The output of the run.

    Raises:
        RunFailed: every chunk failed, or more than `max_failed_chunks`; the message names them with their errors.
    """
    failed, total = len(folded.failures), len(folded.results)
    if failed == total or (request.max_failed_chunks is not None and failed > request.max_failed_chunks):
        raise RunFailed(_failure_message(request, folded))
    return {
        "status": "partial" if failed else "completed",
        "total_chunks": total,
        "succeeded": total - failed,
        "failed": failed,
        "start": format_instant(request.start),
        "end": format_instant(request.end),
        "time": format_instant(request.time) if request.time is not None else None,
        "results": [result.to_json() for result in folded.results],
        "summary": {series: folded.statistics[series].summary() for series in sorted(folded.statistics)},
    }


def _failure_message(request: RunRequest, folded: FoldedChunks) -> str:
    allowed = "" if request.max_failed_chunks is None else f" (max_failed_chunks is {request.max_failed_chunks})"
    by_error: dict[str, list[int]] = {}
    for failure in folded.failures:
        by_error.setdefault(str(failure.error), []).append(failure.chunk_id)
    named = [f"chunk {_ranges(ids)}: {error}" for error, ids in list(by_error.items())[:_MAX_ERRORS_NAMED]]
    if len(by_error) > _MAX_ERRORS_NAMED:
        rest = sorted(id for ids in list(by_error.values())[_MAX_ERRORS_NAMED:] for id in ids)
        named.append(f"chunk {_ranges(rest)}: {len(by_error) - _MAX_ERRORS_NAMED} other errors")
    return f"{len(folded.failures)} of {len(folded.results)} chunks failed{allowed}: " + "; ".join(named)


def _ranges(ids: Sequence[int]) -> str:
    """Ascending ids as a person writes them: 0-3, 7, 9-11."""
    ranges: list[list[int]] = []
    for id in ids:
        if ranges and ranges[-1][1] == id - 1:
            ranges[-1][1] = id
        else:
            ranges.append([id, id])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    if len(texts) > _MAX_RANGES_NAMED:
        texts = [*texts[:_MAX_RANGES_NAMED], f"and {len(texts) - _MAX_RANGES_NAMED} more ranges"]
    return ", ".join(texts)
