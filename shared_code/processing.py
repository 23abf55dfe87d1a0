"""Reduces the readings of one chunk to statistics per series.

To compute something else, replace `summarize`: docs/your-own-processing.md shows how. The rule of this file: it only
reads and computes, and returns the same result again if it runs twice, because an activity runs at least once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from shared_code.contracts import ChunkInput
from shared_code.listing import Listing
from shared_code.moments import Moments, measure
from shared_code.reading_errors import ReadingsChanged, ReadingsError
from shared_code.readings import Reading, Source
from shared_code.results import ChunkResult, ReadingsSeen, SeriesStatistics

# How often the files of a chunk are read if they are replaced meanwhile; the listed ones first, if there is a listing.
_ATTEMPTS: Final = 2


def process_chunk(chunk: ChunkInput, source: Source, listing: Listing | None = None) -> ChunkResult:
    """The statistics of the readings in the chunk's window; no readings are a success with no records.

    With the listing of a run, the readings are those of its files in their listed versions.

    Raises:
        ReadingsError: the readings cannot be read.
        ReadingsChanged: a file is no longer as it was listed.
    """
    began = time.perf_counter()
    reading, summary = _read(chunk, source, listing)
    return ChunkResult(
        chunk_id=chunk.chunk_id,
        processing_time=round(time.perf_counter() - began, 6),
        start=chunk.start,
        end=chunk.end,
        records=summary.records,
        statistics=summary.statistics,
        readings=ReadingsSeen(location=source.location, files=reading.listed, version=reading.version),
        warnings=reading.warnings,
    )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is kept of a chunk: the number of its readings, and the statistics that the fan-in merges; none are fine."""

    records: int
    statistics: dict[str, SeriesStatistics] = field(default_factory=dict)


def summarize(reading: Reading, chunk: ChunkInput) -> Summary:
    """The statistics of each series: the part of the app to replace by your own.

    It may run more than once for a chunk, also at the same time, so whatever it writes has to be the same each time,
    under a name made of `chunk`. What it raises fails the chunk, which is tried three times; but only once if it is a
    `ReadingsError`, unless that is raised with `is_permanent=False`.

    Raises:
        ReadingsError: a file cannot be read, or values are too large.
    """
    moments: dict[str, Moments] = {}
    for part in reading.parts:
        for series, more in measure(part).items():
            moments[series] = moments[series] + more if series in moments else more
    return Summary(
        records=sum(one.records for one in moments.values()),
        statistics={series: _statistics(series, one) for series, one in moments.items()},
    )


def _read(chunk: ChunkInput, source: Source, listing: Listing | None) -> tuple[Reading, Summary]:
    """The files and their summary, of one version of each file.

    If a file has changed, its listing is given up, if the chunk allows that, and the files are read as they are now.
    """
    warnings: list[str] = []
    for _ in range(_ATTEMPTS):
        reading = source.open(chunk.window, listing)
        failure = None
        try:
            summary = summarize(reading, chunk)
        except ReadingsError as error:
            failure = error  # perhaps of two versions that do not fit together
        changed = source.changed(reading, chunk.window, has_failed=failure is not None)
        if changed is None and failure is not None:
            raise failure
        if changed is None:
            return replace(reading, warnings=[*warnings, *reading.warnings]), summary
        if listing is not None:
            reason = f"{changed} was replaced or removed after the run began"
            if not chunk.allow_changed_readings:
                raise ReadingsChanged(f"{reason}; run it again, or set allow_changed_readings in the request")
            warnings.append(reason)
            listing = None
    raise ReadingsChanged(f"{changed} was replaced while it was read, {_ATTEMPTS} times", is_permanent=False)


def _statistics(series: str, one: Moments) -> SeriesStatistics:
    counts = {"count": one.count, "nulls": one.nulls, "non_finite": one.non_finite}
    if not one.count:
        return SeriesStatistics(**counts)
    try:
        mean, std = float(one.mean), one.std
    except OverflowError:
        raise ReadingsError(
            f"the values of series '{series}' are too large for statistics in double precision"
        ) from None
    return SeriesStatistics(
        **counts, mean=mean, mean_low=float(one.mean - Fraction(mean)), std=std, min=one.min, max=one.max
    )
