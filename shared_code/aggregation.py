"""Folds chunk results into the output of a run.

The rule of this file: chunks are merged in `chunk_id` order, never in order of completion, so that the output does not
depend on the interleaving. Counts, minima and maxima are exact; mean and deviation are merged pairwise by Chan, Golub
and LeVeque's update, which does not cancel as sums of squares do, with the mean in two doubles. Deviations are never
squared, because squares may be too small or too large for a double.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Final

from shared_code.contracts import JsonObject, RunRequest
from shared_code.instants import format_instant
from shared_code.results import ChunkFailure, ChunkReport, ChunkResult, FoldedChunks, ReadingsSeen, SeriesStatistics

_MAX_ERRORS_NAMED: Final = 10
_MAX_RANGES_NAMED: Final = 40
_MAX_WARNINGS: Final = 20


class RunFailed(Exception):
    """The run has no output, for example because more chunks failed than it may lose."""


def fold_chunks(outcomes: Iterable[ChunkResult | ChunkFailure]) -> FoldedChunks:
    """Collects the outcomes, given in `chunk_id` order, and merges their statistics.

    Raises:
        RunFailed: the values of a series lie too far apart for statistics in double precision.
    """
    return fold_groups(_fold_chunk(outcome) for outcome in outcomes)


def _fold_chunk(outcome: ChunkResult | ChunkFailure) -> FoldedChunks:
    if isinstance(outcome, ChunkFailure):
        return FoldedChunks(results=[outcome], statistics={})
    readings = outcome.readings
    if readings and not outcome.records:
        readings = readings.model_copy(update={"version": None})  # nothing of any version is in the result
    return FoldedChunks(
        results=[outcome.report],
        statistics=outcome.statistics,
        readings=readings,
        warnings=outcome.warnings,
    )


def fold_groups(groups: Iterable[FoldedChunks]) -> FoldedChunks:
    """Merges the groups, given in the order of their first chunks, to one.

    Raises:
        RunFailed: as `fold_chunks`.
    """
    results: list[ChunkReport | ChunkFailure] = []
    statistics: dict[str, SeriesStatistics] = {}
    readings: ReadingsSeen | None = None
    warnings: dict[str, None] = {}
    is_mixed = False
    for group in groups:
        results.extend(group.results)
        _merge_into(statistics, group.statistics)
        is_mixed = is_mixed or group.is_mixed or _differ(readings, group.readings)
        readings = _more(readings, group.readings)
        warnings.update(dict.fromkeys(group.warnings))
    return FoldedChunks(
        results=results,
        statistics=statistics,
        readings=readings,
        warnings=list(warnings)[:_MAX_WARNINGS],
        is_mixed=is_mixed,
    )


def _more(a: ReadingsSeen | None, b: ReadingsSeen | None) -> ReadingsSeen | None:
    """The one with more files, because a chunk may see but those of its days; with the first version seen."""
    if a is None or b is None:
        return a or b
    return (b if b.files > a.files else a).model_copy(update={"version": a.version or b.version})


def _differ(a: ReadingsSeen | None, b: ReadingsSeen | None) -> bool:
    if a is None or b is None:
        return False
    return a.location != b.location or bool(a.version and b.version and a.version != b.version)


def _merge_into(total: dict[str, SeriesStatistics], more: dict[str, SeriesStatistics]) -> None:
    for series, statistics in more.items():
        try:
            total[series] = merge(total[series], statistics) if series in total else statistics
        except OverflowError as error:
            raise RunFailed(f"series '{series}': {error}") from None


def merge(a: SeriesStatistics, b: SeriesStatistics) -> SeriesStatistics:
    """The statistics of both sets of values together.

    Raises:
        OverflowError: the values lie further apart than the largest double.
    """
    count = a.count + b.count
    mean, mean_low, std = _merge_moments(a, b)
    return SeriesStatistics(
        count=count,
        mean=mean,
        mean_low=mean_low,
        std=std,
        min=_either(min, a.min, b.min),
        max=_either(max, a.max, b.max),
        nulls=a.nulls + b.nulls,
        non_finite=a.non_finite + b.non_finite,
    )


def _merge_moments(a: SeriesStatistics, b: SeriesStatistics) -> tuple[float | None, float, float | None]:
    """Mean, rest of the mean, and deviation."""
    if a.mean is None or b.mean is None:
        one = b if a.mean is None else a
        return one.mean, one.mean_low, one.std
    share = b.count / (a.count + b.count)
    delta, rest = _add(b.mean, -a.mean)
    delta += rest + (b.mean_low - a.mean_low)
    mean, low = _add(a.mean, delta * share)
    mean, low = _add(mean, low + a.mean_low)
    degrees = a.count + b.count - 1
    std = math.hypot(
        (a.std or 0.0) * math.sqrt((a.count - 1) / degrees),
        (b.std or 0.0) * math.sqrt((b.count - 1) / degrees),
        delta * math.sqrt(a.count * share / degrees),
    )
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise OverflowError("the values lie too far apart for a standard deviation in double precision")
    return mean, low, std


def _add(a: float, b: float) -> tuple[float, float]:
    """The rounded sum, and what the rounding took (Knuth's TwoSum)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def _either(choose: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else choose(a, b)


def conclude(request: RunRequest, folded: FoldedChunks) -> JsonObject:
    """The output of the run.

    Raises:
        RunFailed: every chunk failed, or more than the request allows, the message names them with their errors; or
            chunks have read different versions of the files.
    """
    failed, total = len(folded.failures), len(folded.results)
    if failed == total or failed > _most_failures(request, total):
        raise RunFailed(_failure_message(request, folded))
    warnings = list(folded.warnings)
    if folded.is_mixed and folded.readings:
        changed = f"the files of {folded.readings.location} changed during the run"
        if not request.allow_changed_readings:
            raise RunFailed(
                f"ReadingsChanged: {changed}, so its chunks do not belong together;"
                " run it again, or set allow_changed_readings in the request"
            )
        warnings.append(f"{changed}: its chunks have read different versions of them")
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
        **folded.model_copy(update={"warnings": warnings}).origin,
    }


def _most_failures(request: RunRequest, total: int) -> Fraction:
    """How many chunks may fail; with both limits, the smaller one counts."""
    chunks, percent = request.max_failed_chunks, request.max_failed_percent
    # As it is written: as doubles, 0.57 % of 10,000 are less than 57.
    share = Fraction(100) if percent is None else Fraction(str(percent))
    return min(Fraction(total if chunks is None else chunks), share * total / 100)


def _failure_message(request: RunRequest, folded: FoldedChunks) -> str:
    limits = {"max_failed_chunks": request.max_failed_chunks, "max_failed_percent": request.max_failed_percent}
    given = [f"{name} is {limit:.15g}" for name, limit in limits.items() if limit is not None]
    allowed = f" ({', '.join(given)})" if given else ""
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
