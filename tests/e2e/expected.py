"""The expected result of a run, computed by Polars over the whole window at once: no chunks, no merging, no host."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from shared_code.synthetic import scan_signal
from shared_code.windows import Window

RELATIVE = 1e-9


def moment(text: str) -> datetime:
    """`2025-06-17T10:00:00Z` as a datetime."""
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc)


def synthetic(start: str, end: str) -> pl.LazyFrame:
    """The readings of the built-in signal."""
    return pl.concat(scan_signal(Window(start=moment(start), end=moment(end))))


def summary(readings: pl.LazyFrame) -> Any:
    """The `summary` of a run's output, to be compared by `==`: counts and bounds exactly, moments to `RELATIVE`."""
    value = pl.col("value")
    statistics = readings.group_by("series").agg(
        count=value.count(), mean=value.mean(), std=value.std(), min=value.min(), max=value.max()
    )
    rows = {row.pop("series"): row for row in statistics.collect().to_dicts()}
    return {
        series: {
            **row,
            "mean": pytest.approx(row["mean"], rel=RELATIVE),
            "std": pytest.approx(row["std"], rel=RELATIVE),
        }
        for series, row in rows.items()
    }


def windows(start: str, end: str, count: int) -> list[tuple[str, str]]:
    """Returns contiguous windows as the app writes them, for spans that divide into whole seconds."""
    first, step = moment(start), (moment(end) - moment(start)) / count
    bounds = [first + step * position for position in range(count + 1)]
    assert step % timedelta(seconds=1) == timedelta(0), "the expected windows are for whole seconds"
    texts = [f"{bound:%Y-%m-%dT%H:%M:%SZ}" for bound in bounds]
    return list(pairwise(texts))
