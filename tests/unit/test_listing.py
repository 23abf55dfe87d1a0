"""The listing of a run: what is kept of a file, and when two listings are the same."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from io import BytesIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared_code.columns import NO_BOUNDS, Bounds, Columns
from shared_code.files import ReadingsFile
from shared_code.formats import Contents
from shared_code.listing import Listing, read_listing
from shared_code.windows import Window

FILE = ReadingsFile(path="az://readings/x.parquet", version="0x1", size=7)
MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc)


def test_a_listing_reads_back_as_it_was_stored() -> None:
    schema: dict[str, pl.DataType] = {
        "timestamp": pl.Datetime("ns", "UTC"),
        "series": pl.Categorical(),
        "value": pl.Decimal(38, 2),
        "more": pl.List(pl.Struct({"x": pl.Int8()})),
        "none": pl.Null(),
        "text": pl.Enum(["a", "b"]),
    }
    contents = {
        FILE: Contents(schema=schema, has_rows=True, bounds=Bounds(1, 2)),
        ReadingsFile(path="a%20é?", version="0x2", size=1): Contents(schema={"x": pl.Int64()}, has_rows=False),
        ReadingsFile(path="none", version="0x2", size=1): Contents(schema=schema, has_rows=True, bounds=NO_BOUNDS),
    }
    not_looked_into = [ReadingsFile(path="\udcff.parquet", version="1-2", size=0)]
    listing = Listing(files=[*contents, *not_looked_into], contents=contents)

    read = read_listing(listing.to_parquet())

    assert read == listing
    assert read.version == listing.version


@pytest.mark.parametrize("precision", [39, 76])
def test_a_file_with_a_type_that_does_not_read_back_is_not_known(precision: int) -> None:
    """Polars sees the type in Parquet, and does not read it from anywhere else."""
    content = BytesIO()
    wide = pa.array([Decimal(1)], pa.decimal256(precision, 2))
    pq.write_table(pa.table({"timestamp": [1], "beside": wide}), content)
    other = ReadingsFile(path="other", version="0x1", size=7)
    contents = {
        FILE: Contents(schema=pl.scan_parquet(content.getvalue()).collect_schema(), has_rows=True),
        other: Contents(schema={"x": pl.Int64()}, has_rows=True),
    }

    read = read_listing(Listing(files=[FILE, other], contents=contents).to_parquet())

    assert read.files == [FILE, other]
    assert set(read.contents) == {other}


def test_a_listing_without_files_reads_back() -> None:
    assert read_listing(Listing(files=[]).to_parquet()) == Listing(files=[])


def test_the_version_depends_on_names_and_versions_alone() -> None:
    def version(path: str = "x", version: str = "1", size: int = 1) -> str:
        return Listing(files=[ReadingsFile(path=path, version=version, size=size)]).version

    assert version() == version(size=2)
    assert len({version(), version(path="y"), version(version="2"), Listing(files=[]).version}) == 4


@pytest.mark.parametrize(
    ("dtype", "epoch", "first", "expected"),
    [
        (pl.Datetime("us"), None, 1, 1),
        (pl.Datetime("ns", "UTC"), None, 1_999, 1),
        (pl.Datetime("ns"), None, -1, -1),
        (pl.Datetime("ms"), None, 1, 1_000),
        (pl.Date(), None, 1, 86_400_000_000),
        (pl.String(), None, 5, 5),
        (pl.Int64(), "s", 1, 1_000_000),
        (pl.UInt64(), "ns", 1_999, 1),
        (pl.Float64(), "s", 2.5, 1_500_000),  # a second early, because a float is not exact
    ],
)
def test_bounds_are_whole_microseconds(dtype: pl.DataType, epoch: str | None, first: float, expected: int) -> None:
    shape = Columns(epoch=epoch).timestamps_alone({"timestamp": dtype})

    assert shape is not None
    bounds = shape.to_bounds(first, first)
    assert bounds is not None
    assert bounds.first == expected


def test_a_file_is_outside_of_a_window_that_none_of_its_instants_is_in() -> None:
    window = Window(start=MICROSECOND, end=MICROSECOND.replace(microsecond=3))

    assert [Bounds(at, at).is_outside(window) for at in range(5)] == [True, False, False, True, True]
    assert not Bounds(0, 9).is_outside(window)
    assert NO_BOUNDS.is_outside(Window(start=MICROSECOND.replace(year=1), end=MICROSECOND.replace(year=9999)))
