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
    return bounds_of(content, column)


def bounds_of(content: bytes, column: str = "timestamp") -> Bounds | None:
    end = read_end(lambda count: content[-count:], len(content))
    assert end is not None
    return find_bounds(end, column)


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

    found = read_end(end, len(content))
    assert found is not None
    assert find_bounds(found, "timestamp") == expected(*TIMES)
    assert len(read) == 2


def test_a_footer_that_says_it_is_very_long_is_not_read() -> None:
    def end(count: int) -> bytes:
        assert count <= 65_536
        return bytes(count - 8) + (2**31).to_bytes(4, "little") + b"PAR1"

    assert read_end(end, 2**33) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff\xff\xff\xffPAR1", b"not Parquet", b"\x00\x00\x00\x00PARE"])
def test_what_ends_in_another_way_is_no_parquet_file(content: bytes) -> None:
    with pytest.raises(ValueError, match="truncated, encrypted, or none"):
        read_end(lambda count: content[-count:] if count else b"", len(content))


def with_footer(footer: bytes) -> bytes:
    return footer + len(footer).to_bytes(4, "little") + b"PAR1"


# Lists are one byte for the field, one for the count and the type of the elements; a structure ends with a zero.
@pytest.mark.parametrize(
    "footer",
    [
        pytest.param(bytes.fromhex("29 25 00 00 29 05 00"), id="columns that are integers"),
        pytest.param(
            bytes.fromhex("29 2c 00") + b"\x48\x09timestamp" + bytes.fromhex("6c 8c 2c 00 00 00 00 29 0c 00"),
            id="timestamps of no unit",
        ),
    ],
)
def test_a_footer_of_another_form_is_no_bounds(footer: bytes) -> None:
    assert find_bounds(with_footer(footer), "timestamp") is None


def test_an_integer_of_more_than_64_bits_is_no_bounds(tmp_path: Path) -> None:
    """Reading it would take time with the square of its length."""
    content = write(tmp_path / "x.parquet", pa.array(TIMES)).read_bytes()
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
    # The first field is the version, a number below 64.
    field, version, rest = footer[:1], footer[1], footer[2:]
    for more, found in ((0, expected(*TIMES)), (8, expected(*TIMES)), (9, None)):
        longer = bytes([version | 128]) + b"\x80" * more + b"\x00"
        assert bounds_of(with_footer(field + longer + rest)) == found


def test_a_damaged_footer_is_no_bounds(tmp_path: Path) -> None:
    assert find_bounds(b"\x1c" * 10_000 + (10_000).to_bytes(4, "little") + b"PAR1", "timestamp") is None
    content = bytearray(write(tmp_path / "x.parquet", pa.array(TIMES)).read_bytes())
    length = int.from_bytes(content[-8:-4], "little") + 8
    for at in range(len(content) - length, len(content) - 8, 7):
        damaged = content.copy()
        damaged[at] ^= 0xFF
        find_bounds(bytes(damaged[-length:]), "timestamp")  # raises nothing
