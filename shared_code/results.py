"""What the app answers: the values that activities and sub-orchestrations return to the fan-in.

The rule of this file: every number in it is finite, so every value is plain JSON; what cannot be told is null.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from shared_code.contracts import Contract, Instant, JsonObject


class _Result(Contract):
    # Written by the app itself, perhaps by a newer version of it: a field more is no reason to lose a result.
    model_config = ConfigDict(extra="ignore")


class SeriesStatistics(_Result):
    """What one series amounts to, in a form that merges.

    `count` and all that follows from it are over the finite values; `nulls` and `non_finite` (NaN and infinities) are
    what was left out. `m2` is the sum of the squared distances from the mean.
    """

    count: int
    mean: float | None = None
    m2: float = 0.0
    min: float | None = None
    max: float | None = None
    nulls: int = 0
    non_finite: int = 0

    @property
    def std(self) -> float | None:
        """Sample standard deviation (over n - 1); `None` below two values, where there is no such thing."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else None

    def summary(self) -> JsonObject:
        """The form of the run's output."""
        return {"count": self.count, "mean": self.mean, "std": self.std, "min": self.min, "max": self.max}

    def to_json(self) -> JsonObject:
        return {**self.summary(), "m2": self.m2, "nulls": self.nulls, "non_finite": self.non_finite}


class ChunkReport(_Result):
    """A chunk that succeeded, as the run's output lists it."""

    chunk_id: int
    status: Literal["success"] = "success"
    processing_time: float
    start: Instant
    end: Instant
    records: int


class ChunkResult(ChunkReport):
    """What the activity returns: the report, and what the fan-in merges."""

    statistics: dict[str, SeriesStatistics]

    @property
    def report(self) -> ChunkReport:
        return ChunkReport(**{name: getattr(self, name) for name in ChunkReport.model_fields})

    def to_json(self) -> JsonObject:
        return {**self.report.to_json(), "statistics": _statistics_to_json(self.statistics)}


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


class FoldedChunks(_Result):
    """The outcomes of some chunks in `chunk_id` order and their merged statistics: what a sub-orchestration returns."""

    results: list[Annotated[ChunkReport | ChunkFailure, Field(discriminator="status")]]
    statistics: dict[str, SeriesStatistics]

    @property
    def failures(self) -> list[ChunkFailure]:
        return [result for result in self.results if isinstance(result, ChunkFailure)]

    def to_json(self) -> JsonObject:
        return {
            "results": [result.to_json() for result in self.results],
            "statistics": _statistics_to_json(self.statistics),
        }


def _statistics_to_json(statistics: dict[str, SeriesStatistics]) -> JsonObject:
    return {series: statistics[series].to_json() for series in sorted(statistics)}
