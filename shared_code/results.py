"""The results of the app: the values that activities and sub-orchestrations return to the fan-in.

The rule of this file: every number is finite, so that every value is plain JSON; an unknown number is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from shared_code.contracts import Contract, Instant, JsonObject, RunName
from shared_code.instants import parse_instant
from shared_code.windows import Window


class _Result(Contract):
    # Written by the app itself, perhaps by a newer version of it, whose additional fields are ignored.
    model_config = ConfigDict(extra="ignore")


class SeriesStatistics(_Result):
    """The statistics of one series, in a form that can be merged.

    All but `nulls` and `non_finite` are over the finite values; these two count the values that are left out (NaN and
    infinities are not finite). `std` is the sample standard deviation (over n - 1), null for fewer than two values: the
    sum of squares behind it may be too small or too large for a double. `mean_low` is what rounding took from the mean:
    where the mean is 10^9 times the spread, `mean` alone has but seven digits of the spread.
    """

    count: int
    mean: float | None = None
    mean_low: float = 0.0
    std: float | None = None
    min: float | None = None
    max: float | None = None
    nulls: int = 0
    non_finite: int = 0

    def summary(self) -> JsonObject:
        """The form of the run's output."""
        return {"count": self.count, "mean": self.mean, "std": self.std, "min": self.min, "max": self.max}

    def to_json(self) -> JsonObject:
        return {
            **self.summary(),
            "mean_low": self.mean_low,
            "nulls": self.nulls,
            "non_finite": self.non_finite,
        }


class ReadingsSeen(_Result):
    """Where readings came from: the location of the settings, and the number of files (0 for the synthetic signal).

    `version` is the same for the same versions of the same files; null if chunks need not see the same files.
    """

    location: str
    files: int
    version: str | None = None


class _WithOrigin(_Result):
    """A result that names where its readings came from, and what is odd about them."""

    readings: ReadingsSeen | None = None
    warnings: list[str] = Field(default_factory=list)

    @property
    def origin(self) -> JsonObject:
        """In JSON; what is not known, as in results of older versions, or empty is left out."""
        return {
            **({"readings": self.readings.to_json()} if self.readings else {}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }


class ChunkReport(_Result):
    """A chunk that succeeded, as the run's output lists it."""

    chunk_id: int
    status: Literal["success"] = "success"
    processing_time: float
    start: Instant
    end: Instant
    records: int


class ChunkResult(ChunkReport, _WithOrigin):
    """The result of the activity: the report, and what the fan-in merges."""

    statistics: dict[str, SeriesStatistics]

    @property
    def report(self) -> ChunkReport:
        return ChunkReport(**{name: getattr(self, name) for name in ChunkReport.model_fields})

    def to_json(self) -> JsonObject:
        return {
            **self.report.to_json(),
            "statistics": _statistics_to_json(self.statistics),
            **self.origin,
        }


class ChunkError(_Result):
    """Why a chunk failed: the exception's class name and its text."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class ChunkFailure(_Result):
    """A chunk that failed for good, as the run's output lists it."""

    chunk_id: int
    status: Literal["failed"] = "failed"
    start: Instant
    end: Instant
    error: ChunkError


class FoldedChunks(_WithOrigin):
    """The outcomes of some chunks in `chunk_id` order and their merged statistics: what a sub-orchestration returns.

    `is_mixed` if chunks have readings of different versions of the files.
    """

    results: list[Annotated[ChunkReport | ChunkFailure, Field(discriminator="status")]]
    statistics: dict[str, SeriesStatistics]
    is_mixed: bool = False

    @property
    def failures(self) -> list[ChunkFailure]:
        return [result for result in self.results if isinstance(result, ChunkFailure)]

    @property
    def records(self) -> int:
        return sum(result.records for result in self.results if isinstance(result, ChunkReport))

    def without_failures(self) -> FoldedChunks:
        """The chunks that succeeded; the statistics are only of these anyway."""
        successes = [result for result in self.results if not isinstance(result, ChunkFailure)]
        return self.model_copy(update={"results": successes})

    def in_order(self) -> FoldedChunks:
        return self.model_copy(update={"results": sorted(self.results, key=lambda result: result.chunk_id)})

    def to_json(self) -> JsonObject:
        return {
            "results": [result.to_json() for result in self.results],
            "statistics": _statistics_to_json(self.statistics),
            **self.origin,
            **({"is_mixed": True} if self.is_mixed else {}),
        }


NOTHING: Final = FoldedChunks(results=[], statistics={})


class RunEnd(_Result):
    """The input of the activity that writes the manifest.

    `output` is that of the run, with no chunks in its `results` but those that failed; `records` counts all readings.
    """

    run: RunName
    output: dict[str, Any]
    records: int

    @property
    def failures(self) -> list[ChunkFailure]:
        return [ChunkFailure.from_json(result) for result in self.output["results"]]

    @property
    def succeeded(self) -> list[tuple[int, Window]]:
        """The ids of the other chunks, with their windows."""
        total = int(self.output["total_chunks"])
        window = Window(start=parse_instant(self.output["start"]), end=parse_instant(self.output["end"]))
        failed = {failure.chunk_id for failure in self.failures}
        return [(chunk_id, window.part(chunk_id, total)) for chunk_id in range(total) if chunk_id not in failed]


def _statistics_to_json(statistics: dict[str, SeriesStatistics]) -> JsonObject:
    return {series: statistics[series].to_json() for series in sorted(statistics)}
