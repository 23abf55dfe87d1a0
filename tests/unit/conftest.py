"""Fixtures of the app's unit tests: settings without the machine's own, and Parquet files of readings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)

WriteReadings = Callable[..., str]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("READINGS", "READINGS_CONNECTION", "RESULTS", "RESULTS_CONNECTION", "AzureWebJobsStorage"):
        monkeypatch.delenv(setting, raising=False)


@pytest.fixture
def write_readings(tmp_path: Path) -> WriteReadings:
    """Writes readings, one a minute from START on, as a Parquet file; columns may be replaced or (None) left out."""

    def write(values: list[Any], *, name: str = "readings.parquet", **columns: pl.Series | list[Any] | None) -> str:
        frame = pl.DataFrame(
            {
                "timestamp": [START + timedelta(minutes=minute) for minute in range(len(values))],
                "series": ["a"] * len(values),
                "value": values,
            }
        )
        frame = frame.with_columns(**{key: pl.Series(column) for key, column in columns.items() if column is not None})
        frame = frame.drop([key for key, column in columns.items() if column is None])
        frame.write_parquet(tmp_path / name)
        return str(tmp_path / name)

    return write
