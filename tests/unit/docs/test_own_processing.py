"""The example of docs/your-own-processing.md, executed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shared_code import processing
from shared_code.contracts import ChunkInput
from shared_code.readings import open_source

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "sample_data" / "nyc_weather_2013.parquet"
START = datetime(2013, 1, 1, tzinfo=timezone.utc)
# Chunks that begin and end within days.
CHUNK = timedelta(hours=30)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the example writes; it is in the place of the app's own function."""
    document = (ROOT / "docs" / "your-own-processing.md").read_text("utf-8")
    examples = [code for code in re.findall(r"^```python\n(.*?)^```$", document, re.M | re.S) if "import" in code]
    assert len(examples) == 1
    names: dict[str, Any] = {}
    exec(compile(examples[0], "your-own-processing.md", "exec"), names)
    monkeypatch.setattr(processing, "summarize", names["summarize"])
    monkeypatch.setenv("CLEANED", str(tmp_path / "cleaned"))
    return tmp_path / "cleaned"


def test_the_example_writes_every_finite_reading_once(folder: Path) -> None:
    source = open_source({"READINGS": str(SAMPLE)})
    chunks = [
        ChunkInput(chunk_id=id, start=START + id * CHUNK, end=START + (id + 1) * CHUNK, total_chunks=4, time=START)
        for id in range(4)
    ]

    results = [processing.process_chunk(chunk, source) for chunk in [*chunks, chunks[2]]]

    inside = pl.read_parquet(SAMPLE).filter(
        pl.col("timestamp").is_between(START, START + 4 * CHUNK, closed="left"), pl.col("value").is_finite()
    )
    order = ("timestamp", "series", "value")
    written = pl.concat([pl.read_parquet(path) for path in folder.glob("*/*.parquet")])
    assert written.select(order).sort(order).rows() == inside.select(order).sort(order).rows()
    assert sum(result.records for result in results[:4]) == inside.height > 1_000
    for path in folder.glob("*/*"):
        days = pl.read_parquet(path)["timestamp"].dt.date().unique().to_list()
        assert [str(day) for day in days] == [path.parent.name]
