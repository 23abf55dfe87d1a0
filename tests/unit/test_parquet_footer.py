"""The bounds of timestamps by the footer of a Parquet file, compared with the timestamps that pyarrow reads."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared_code.columns import NO_BOUNDS, Bounds
from shared_code.instants import to_microseconds
from shared_code.parquet_footer import find_bounds, read_end

TIMES = [datetime(2025, 6, 17, 10) + timedelta(seconds=7 * number, microseconds=number) for number in range(1_000)]  # noqa: DTZ001


def bounds(path: Path, column: str = "timestamp") -> Bounds | None:
    content = path.read_bytes()
    return find_bounds(read_end(lambda count: content[-count:], len(content)), column)


def expected(*times: datetime) -> Bounds:
    microseconds = [to_microseconds(time.replace(tzinfo=timezone.utc)) for time in times]
    return Bounds(min(microseconds), max(microseconds))


def write(path: Path, timestamps: Any, **options: Any) -> Path:
    table = pa.table({"other": pa.array([[1]] * len(timestamps)), "timestamp": timestamps})
    pq.write_table(table, path, **options)
    return path


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+05:30"])
@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 7}, {"version": "1.0"}, {"store_schema": False}, {"write_page_index": True}]
)
def test_timestamps_of_pyarrow(tmp_path: Path, unit: str, zone: str | None, options: dict[str, Any]) -> None:
    stored = pa.array(TIMES).cast(pa.timestamp(unit, zone), safe=False)
    found = bounds(write(tmp_path / "x.parquet", stored, coerce_timestamps=None, **options))

    first, last = (to_microseconds(time.replace(tzinfo=timezone.utc)) for time in (TIMES[0], TIMES[-1]))
    assert found is not None
    # Version 1.0 has no nanoseconds.
    assert (found.first, found.last) in {(first, last), (first // 1_000 * 1_000, last // 1_000 * 1_000)}


def test_files_of_polars_and_duckdb(tmp_path: Path) -> None:
    frame = pl.DataFrame({"timestamp": TIMES, "value": range(1_000)})
    frame.write_parquet(tmp_path / "polars.parquet", row_group_size=100)
    with duckdb.connect() as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute(f"COPY frame TO '{tmp_path}/duckdb.parquet' (FORMAT parquet, ROW_GROUP_SIZE 100)")
    for name in ("polars", "duckdb"):
        assert bounds(tmp_path / f"{name}.parquet") == expected(*TIMES)


def test_dates_and_times_before_1970(tmp_path: Path) -> None:
    days = pa.array([date(1969, 12, 31), None, date(1, 1, 1)])
    assert bounds(write(tmp_path / "x.parquet", days)) == expected(datetime(1, 1, 1), datetime(1969, 12, 31))  # noqa: DTZ001
    last = datetime(1969, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001
    assert bounds(write(tmp_path / "x.parquet", pa.array([last]))) == expected(last)


def test_row_groups_of_nulls_have_no_bounds(tmp_path: Path) -> None:
    nulls = pa.array([None, None, *TIMES[:2]], pa.timestamp("us"))
    assert bounds(write(tmp_path / "x.parquet", nulls, row_group_size=2)) == expected(*TIMES[:2])
    assert bounds(write(tmp_path / "x.parquet", nulls[:2])) == NO_BOUNDS
    assert bounds(write(tmp_path / "x.parquet", nulls[:0])) == NO_BOUNDS


@pytest.mark.parametrize(
    ("timestamps", "options"),
    [
        (pa.array(TIMES), {"write_statistics": False}),
        (pa.array(TIMES), {"use_deprecated_int96_timestamps": True}),
        (pa.array([str(time) for time in TIMES]), {}),
        (pa.array([1.5, 2.5]), {}),
        (pa.array([1, 2]), {}),
        (pa.array([{"timestamp": TIMES[0]}]), {}),
    ],
)
def test_other_columns_have_no_bounds(tmp_path: Path, timestamps: Any, options: dict[str, Any]) -> None:
    assert bounds(write(tmp_path / "x.parquet", timestamps, **options)) is None
    assert bounds(write(tmp_path / "x.parquet", pa.array(TIMES)), "none") is None


def test_a_long_footer_is_read_in_a_second_step(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", pa.array(TIMES), row_group_size=1)
    content, read = path.read_bytes(), []

    def end(count: int) -> bytes:
        read.append(count)
        return content[-count:]

    assert find_bounds(read_end(end, len(content)), "timestamp") == expected(*TIMES)
    assert len(read) == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff\xff\xff\xffPAR1", b"not Parquet", b"\x00\x00\x00\x00PARE"])
def test_what_ends_in_another_way_is_no_parquet_file(content: bytes) -> None:
    with pytest.raises(ValueError, match="truncated, encrypted, or none"):
        read_end(lambda count: content[-count:] if count else b"", len(content))


def test_a_damaged_footer_is_no_bounds(tmp_path: Path) -> None:
    assert find_bounds(b"\x1c" * 10_000 + (10_000).to_bytes(4, "little") + b"PAR1", "timestamp") is None
    content = bytearray(write(tmp_path / "x.parquet", pa.array(TIMES)).read_bytes())
    length = int.from_bytes(content[-8:-4], "little") + 8
    for at in range(len(content) - length, len(content) - 8, 7):
        damaged = content.copy()
        damaged[at] ^= 0xFF
        find_bounds(bytes(damaged[-length:]), "timestamp")  # raises nothing
