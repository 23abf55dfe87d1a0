"""Files that people have: each is read like its plain equal, or refused by name; pyarrow is the independent reader."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shared_code.contracts import ChunkInput
from shared_code.formats import scan_files
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsChanged, ReadingsError
from shared_code.readings import Source, open_source
from shared_code.results import ChunkResult
from shared_code.windows import Window
from tests.unit.conftest import START, WriteReadings

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NAIVE = START.replace(tzinfo=None)


def process(location: Path | str, *, start: datetime = START, end: datetime = START + HOUR, **more: str) -> ChunkResult:
    chunk = ChunkInput(chunk_id=0, start=start, end=end, total_chunks=1, time=START)
    return process_chunk(chunk, open_source({"READINGS": str(location), **more}))


def refusal(location: Path | str, **more: Any) -> str:
    with pytest.raises(ReadingsError) as caught:
        process(location, **more)
    assert "Result::unwrap" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def arrow(timestamps: Any = None, *, values: Any = None, series: Any = None, **more: Any) -> Any:
    """Three readings, one a minute from START on."""
    return pa.table(
        {
            "timestamp": timestamps
            if timestamps is not None
            else pa.array([NAIVE, NAIVE + MINUTE, NAIVE + 2 * MINUTE]),
            "series": series if series is not None else ["a", "a", "b"],
            "value": values if values is not None else [1.0, 2.5, 3.0],
            **more,
        }
    )


def write(path: Path, table: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def assert_like_pyarrow(result: ChunkResult, path: Path) -> None:
    """Compares counts, extremes and means with those that pyarrow computes from the file itself."""
    table = pq.ParquetFile(path).read()
    names = table["series"].cast(pa.string())
    values = table["value"].cast(pa.float64())
    assert result.records == table.num_rows
    assert set(result.statistics) == set(names.to_pylist())
    for name, one in result.statistics.items():
        own = values.filter(pc.equal(names, name))
        assert (one.count, one.min, one.max) == (len(own), pc.min(own).as_py(), pc.max(own).as_py())
        assert one.mean == pytest.approx(pc.mean(own).as_py(), rel=1e-15)


class TestTimestamps:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize("zone", [None, "UTC", "Z", "+05:30", "-08:00", "Europe/Berlin", "Nowhere/Land"])
    def test_any_unit_and_zone_is_the_same_instants(self, tmp_path: Path, unit: str, zone: str | None) -> None:
        timestamps = pa.array([NAIVE, NAIVE + MINUTE, NAIVE + 2 * MINUTE], pa.timestamp(unit, zone))
        path = write(tmp_path / "x.parquet", arrow(timestamps))
        assert_like_pyarrow(process(path), path)
        assert process(path, start=START + MINUTE, end=START + 2 * MINUTE).records == 1

    @pytest.mark.parametrize("store_schema", [True, False])
    def test_int96_beyond_nanoseconds_is_counted(self, tmp_path: Path, store_schema: bool) -> None:
        years = [datetime(1600, 1, 1), datetime(2025, 6, 17), datetime(2400, 1, 1)]  # noqa: DTZ001
        path = tmp_path / "x.parquet"
        table = arrow(pa.array(years, pa.timestamp("us")))
        write(path, table, use_deprecated_int96_timestamps=True, store_schema=store_schema)
        for year in years:
            at = year.replace(tzinfo=timezone.utc)
            assert process(path, start=at, end=at + HOUR).records == 1
            assert process(path, start=at + HOUR, end=at + 2 * HOUR).records == 0

    def test_the_first_and_the_last_nanosecond_are_counted(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow(pa.array([-(2**63), 0, 2**63 - 1], pa.timestamp("ns"))))
        assert process(path, start=START.replace(year=1), end=START.replace(year=9999)).records == 3
        last = datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=timezone.utc)
        assert process(path, start=last, end=last + timedelta(microseconds=1)).records == 1
        first = datetime(1677, 9, 21, 0, 12, 43, 145224, tzinfo=timezone.utc)
        assert process(path, start=first, end=first + timedelta(microseconds=1)).records == 1

    def test_a_date_is_its_midnight(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow(pa.array([date(2025, 6, day) for day in (16, 17, 18)])))
        day = START.replace(hour=0)
        assert process(path, start=day, end=day + HOUR).records == 1
        assert process(path, start=day + HOUR, end=day + 25 * HOUR).records == 1

    def test_text_is_iso_8601(self, tmp_path: Path) -> None:
        texts = [
            "2025-06-17T10:00:00Z",
            "2025-06-17 10:00:00",
            "2025-06-17T10:00",
            "2025-06-17T12:00:00.5+02:00",
            "2025-06-17T10:00:59.999999999",
            "2025-06-17",
            None,
        ]
        path = write(tmp_path / "x.parquet", arrow(pa.array(texts), values=[1.0] * 7, series=["a"] * 7))
        assert process(path, end=START + MINUTE).records == 5
        assert process(path, start=START.replace(hour=0), end=START.replace(hour=1)).records == 1

    @pytest.mark.parametrize(
        "text",
        [
            "2025-06-17T10:00Z",
            "2025-06-17 12:00+02:00",
            "2025-06-17 12:00:00.000+02",
            "2025-06-17T04:30:00-0530",
            "2025-06-17t10:00:00z",
            "+2025-06-17T10:00:00Z",
        ],
    )
    def test_an_offset_in_text_may_be_short(self, tmp_path: Path, text: str) -> None:
        """As PostgreSQL and DuckDB write it, and with times to the minute."""
        path = write(tmp_path / "x.parquet", arrow(pa.array([text] * 3)))
        assert process(path, end=START + timedelta(microseconds=1)).records == 3

    @pytest.mark.parametrize("text", ["25-06-17T10:00:00Z", "05-06-17 10:00:00", "17-06-25", "5-6-17T10:00"])
    def test_a_year_in_text_needs_four_digits(self, tmp_path: Path, text: str) -> None:
        """It would be one of the first century, and so in no window."""
        path = write(tmp_path / "x.parquet", arrow(pa.array([text] * 3)))
        assert refusal(path).startswith(f"cannot read {path}: '{text}' ")

    @pytest.mark.parametrize("largest_small", [2**20, 0])
    def test_text_may_be_categories(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_small: int) -> None:
        monkeypatch.setattr("shared_code.formats.SMALL", largest_small)
        texts = pa.array(["2025-06-17T10:00:00Z", None, "2025-06-17T10:01:00Z"])
        write(tmp_path / "1.parquet", arrow(texts.dictionary_encode()))
        frame = pl.DataFrame(pl.from_arrow(arrow(texts)))
        frame.with_columns(pl.col("timestamp").cast(pl.Categorical)).write_parquet(tmp_path / "2.parquet")
        write(tmp_path / "3.parquet", arrow(texts))
        assert process(tmp_path).records == 6
        assert process(tmp_path, end=START + MINUTE).records == 3

    @pytest.mark.parametrize("largest_small", [2**20, 0])
    def test_a_file_with_nothing_but_null_timestamps_has_no_readings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_small: int
    ) -> None:
        monkeypatch.setattr("shared_code.formats.SMALL", largest_small)
        write(tmp_path / "good.parquet", arrow())
        write(tmp_path / "nulls.parquet", arrow(pa.nulls(3)))
        (tmp_path / "nulls.ndjson").write_text('{"timestamp": null, "series": "a", "value": 1}\n' * 2)
        assert process(tmp_path).records == 3

    def test_text_that_is_no_instant_is_shown_with_its_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow(pa.array(["2025-06-17", "yesterday", None])))
        message = refusal(path)
        assert message.startswith(f"cannot read {path}: ")
        assert "yesterday" in message

    @pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
    @pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
    def test_an_epoch_needs_its_unit(self, tmp_path: Path, unit: str, ticks: int, dtype: str) -> None:
        epoch = int(START.timestamp())
        timestamps = pa.array([(epoch + 60 * minute) * ticks for minute in range(3)]).cast(dtype, safe=False)
        path = write(tmp_path / "x.parquet", arrow(timestamps))
        assert process(path, end=START + 2 * MINUTE, READINGS_EPOCH=unit).records == 2
        assert "READINGS_EPOCH" in refusal(path)
        assert refusal(path, READINGS_EPOCH="h") == "the app setting READINGS_EPOCH must be s, ms, us or ns"

    @pytest.mark.parametrize(
        ("timestamps", "epoch"),
        [
            (pa.array([NAIVE], pa.timestamp("ns")), ""),
            (pa.array([NAIVE], pa.timestamp("ms", "+05:30")), ""),
            (pa.array(["2025-06-17T12:00:00+02:00"]), ""),
            (pa.array([int(START.timestamp())]), "s"),
            (pa.array([int(START.timestamp()) * 10**9], pa.uint64()), "ns"),
            (pa.array([START.timestamp() * 1e3]), "ms"),
        ],
    )
    def test_readings_have_their_instants_in_utc(self, tmp_path: Path, timestamps: Any, epoch: str) -> None:
        path = write(tmp_path / "x.parquet", arrow(timestamps, values=[1.0], series=["a"]))
        source = open_source({"READINGS": str(path), "READINGS_EPOCH": epoch})
        (part,) = source.open(Window(start=START, end=START + MINUTE)).parts
        assert part.collect(lambda rows: rows).rows() == [(START, "a", 1.0)]


class TestValues:
    @pytest.mark.parametrize(
        "dtype", [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.decimal128(30, 3), pa.float16()]
    )
    def test_any_number_is_a_value(self, tmp_path: Path, dtype: Any) -> None:
        path = write(tmp_path / "x.parquet", arrow(values=pa.array([1, 2, 3]).cast(dtype)))
        assert_like_pyarrow(process(path), path)

    def test_files_of_different_types_are_read_as_one(self, tmp_path: Path) -> None:
        """Units, zones, numbers, dictionaries and columns beside those of readings."""
        write(tmp_path / "1.parquet", arrow())
        zoned = pa.array([NAIVE] * 3, pa.timestamp("ns", "+05:30"))
        write(tmp_path / "2.parquet", arrow(zoned, values=pa.array([1, 2, 3]), more=[True] * 3))
        write(tmp_path / "3.parquet", arrow(series=pa.array(["a", "a", "b"]).dictionary_encode(), other=["x"] * 3))
        write(
            tmp_path / "4.parquet", arrow(pa.array([NAIVE] * 3, pa.timestamp("ms")), values=pa.array([1.0, 2, 3], "f4"))
        )
        write(tmp_path / "5.parquet", arrow(values=pa.array([1, 2, 3]).cast(pa.decimal128(38, 1))))
        pl.from_arrow(arrow()).with_columns(pl.col("series").cast(pl.Categorical)).write_parquet(tmp_path / "6.parquet")  # type: ignore[union-attr]

        result = process(tmp_path / "*.parquet")

        assert result.records == 18
        assert result.readings is not None
        assert (result.readings.location, result.readings.files) == (str(tmp_path / "*.parquet"), 6)
        assert {name: one.count for name, one in result.statistics.items()} == {"a": 12, "b": 6}


class TestOneOddFile:
    LATER = START + timedelta(days=1)

    def odd(self, folder: Path, kind: str) -> Path:
        """A good file of START, and an odd one of a day later."""
        write(folder / "good.parquet", arrow())
        odd = folder / "odd.parquet"
        at = pa.array([NAIVE + timedelta(days=1)] * 3)
        if kind == "text":
            return write(odd, arrow(at, values=["1", "2", "x"]))
        if kind == "column":
            return write(odd, arrow(at).drop_columns(["value"]))
        write(odd, arrow(at))
        content = odd.read_bytes()
        footer = int.from_bytes(content[-8:-4], "little") + 8
        odd.write_bytes(content[:4] + b"\xff" * (len(content) - footer - 4) + content[-footer:])
        return odd

    @pytest.mark.parametrize("kind", ["text", "column", "page"])
    def test_fails_the_chunk_that_needs_it_and_no_other(self, tmp_path: Path, kind: str) -> None:
        odd = self.odd(tmp_path, kind)
        assert process(tmp_path / "*.parquet").records == 3
        assert str(odd) in refusal(tmp_path / "*.parquet", end=self.LATER + HOUR)

    @pytest.mark.parametrize("largest_small", [2**20, 0])
    def test_files_outside_the_window_are_not_opened_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_small: int
    ) -> None:
        """By the timestamps of small files, and by the statistics of large ones."""
        monkeypatch.setattr("shared_code.formats.SMALL", largest_small)
        days = [pa.array([NAIVE + timedelta(days=day) + n * MINUTE for n in range(3)]) for day in range(-2, 3)]
        for day, timestamps in enumerate(days):
            write(tmp_path / f"{day}.parquet", arrow(timestamps))
        process(tmp_path)
        opened: list[str] = []

        def scan(sources: Any, *more: Any) -> pl.LazyFrame:
            opened.extend(sources)
            return scan_files(sources, *more)

        monkeypatch.setattr("shared_code.readings.scan_files", scan)
        assert process(tmp_path).records == 3
        middle = START + MINUTE  # between the first and the last reading of a file
        assert process(tmp_path, start=middle, end=middle + timedelta(seconds=1)).records == 1
        assert set(opened) == {f"{tmp_path}/2.parquet"}

    @pytest.mark.parametrize("content", [b"PAR1", b"PAR1 this is none PAR1", b"not Parquet at all" * 10])
    def test_that_cannot_be_read_is_named(self, tmp_path: Path, content: bytes) -> None:
        write(tmp_path / "good.parquet", arrow())
        odd = tmp_path / "odd.parquet"
        odd.write_bytes(content)
        assert refusal(tmp_path / "*.parquet").startswith(f"cannot read {odd}: ")

    def test_that_is_truncated_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "good.parquet", arrow())
        odd = write(tmp_path / "odd.parquet", arrow())
        odd.write_bytes(odd.read_bytes()[:-10])
        assert refusal(tmp_path / "*.parquet").startswith(f"cannot read {odd}: ")

    def test_that_is_empty_is_a_warning(self, tmp_path: Path) -> None:
        write(tmp_path / "good.parquet", arrow())
        (tmp_path / "none.parquet").touch()
        write(tmp_path / "rows.parquet", arrow().slice(0, 0))

        result = process(tmp_path / "*.parquet")

        assert result.records == 3
        assert result.warnings == [
            f"{tmp_path}/none.parquet is empty (0 bytes)",
            f"{tmp_path}/rows.parquet has no rows",
        ]


class TestFolders:
    def test_the_columns_of_the_file_win_over_the_names_of_its_folders(self, tmp_path: Path) -> None:
        folder = tmp_path / "value=7" / "timestamp=2020-01-01" / "series=X"
        path = write(folder / "x.parquet", arrow())
        for location in (tmp_path, tmp_path / "**" / "*.parquet", path):
            assert_like_pyarrow(process(location), path)

    def test_a_folder_names_the_series_if_the_file_does_not(self, tmp_path: Path) -> None:
        for series in ("1", "b%20c", "__HIVE_DEFAULT_PARTITION__"):
            write(tmp_path / f"series={series}" / "x.parquet", arrow().drop_columns(["series"]))
        for location in (tmp_path, tmp_path / "*" / "*.parquet"):
            result = process(location)
            assert {name: one.count for name, one in result.statistics.items()} == {"1": 3, "b c": 3, "": 3}

    def test_a_folder_is_read_without_what_is_no_readings(self, tmp_path: Path) -> None:
        write(tmp_path / "deep" / "x.parquet", arrow())
        for name in ("_SUCCESS", "_delta_log/0.json", ".hidden/x.parquet", ".x.parquet.crc", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("no readings")
        assert process(tmp_path).records == 3

    def test_a_link_to_nothing_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "good.parquet", arrow())
        (tmp_path / "gone.parquet").symlink_to(tmp_path / "nothing")
        for location in (tmp_path, tmp_path / "*"):
            assert refusal(location) == f"cannot read {location}: {tmp_path}/gone.parquet is a link to nothing"
        (tmp_path / "gone.parquet").unlink()
        (tmp_path / "linked.parquet").symlink_to(tmp_path / "good.parquet")
        assert process(tmp_path).records == 6

    def test_a_linked_folder_is_read_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "elsewhere" / "day" / "x.parquet", arrow())
        readings = tmp_path / "readings"
        readings.mkdir()
        (readings / "linked").symlink_to(path.parents[1], target_is_directory=True)
        (path.parent / "loop").symlink_to(readings, target_is_directory=True)
        (readings / ".hidden").symlink_to(path.parents[1], target_is_directory=True)
        assert process(readings).records == 3

    def test_a_slash_after_the_name_of_a_file_changes_nothing(self, tmp_path: Path) -> None:
        assert process(f"{write(tmp_path / 'x.parquet', arrow())}/").records == 3

    @pytest.mark.parametrize("name", ["a%20b", "x#y", "é", "what?", "p+q", "[1]", "100%", "a=b&c"])
    def test_any_name_of_a_file_or_folder_is_read(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name / f"{name}.parquet", arrow())
        for location in (path, path.parent):
            assert process(location).records == 3
        if name != "[1]":
            assert process(path.parent / "*.parquet").records == 3

    def test_files_of_other_days_are_not_opened(self, tmp_path: Path) -> None:
        write(tmp_path / "2025/06/17/x.parquet", arrow())
        for other in ("2025/06/16", "2025/06/18", "2024/06/17"):
            folder = tmp_path / other
            folder.mkdir(parents=True)
            (folder / "x.parquet").write_text("not Parquet")
        location = str(tmp_path) + "/{yyyy}/{MM}/{dd}/*.parquet"

        assert process(location).records == 3
        assert "2025/06/18/x.parquet" in refusal(location, end=START + timedelta(days=1))
        assert process(location, start=START.replace(year=2020), end=START.replace(year=2021)).records == 0

    def test_a_date_needs_its_coarser_parts(self, tmp_path: Path) -> None:
        assert refusal(str(tmp_path) + "/{dd}/*.parquet").startswith("the app setting READINGS needs {yyyy}")


class TestColumns:
    def test_other_names_are_mapped(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow().rename_columns(["Time", "Sensor", "Reading"]))
        mapping = "timestamp=Time, series=Sensor, value=Reading"
        assert process(path, READINGS_COLUMNS=mapping).records == 3
        assert refusal(path, READINGS_COLUMNS="timestamp=When").startswith(f"{path} has no column 'When'; it has Time")

    @pytest.mark.parametrize("text", ["time=Time", "timestamp", "timestamp=", "value=a,value=b"])
    def test_a_mapping_that_is_none_is_refused(self, text: str) -> None:
        assert refusal("x.parquet", READINGS_COLUMNS=text).startswith("the app setting READINGS_COLUMNS must be like ")

    @pytest.mark.parametrize("text", ["value=timestamp", "series=value", "timestamp=x,value=x"])
    def test_one_column_for_two_things_is_refused(self, text: str) -> None:
        reason = "the app setting READINGS_COLUMNS gives two of timestamp, series, value the same column"
        assert refusal("x.parquet", READINGS_COLUMNS=text) == reason

    def test_each_numeric_column_of_a_wide_table_is_a_series(self, tmp_path: Path) -> None:
        at = pa.array([NAIVE, NAIVE + MINUTE])
        table = pa.table({"timestamp": at, "t": [1.0, None], "n": [1, 2], "site": ["x", "y"]})
        wide = process(write(tmp_path / "x.parquet", table), READINGS_WIDE="true")
        assert {name: (one.count, one.nulls) for name, one in wide.statistics.items()} == {"t": (1, 1), "n": (2, 0)}
        assert wide.records == 4
        named = process(tmp_path, READINGS_WIDE="true", READINGS_COLUMNS="series=site")
        assert set(named.statistics) == {"x.t", "x.n", "y.t", "y.n"}
        assert refusal(tmp_path, READINGS_WIDE="yes") == "the app setting READINGS_WIDE must be true or false"

    def test_a_wide_table_without_a_number_is_refused_with_its_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow().drop_columns(["value"]))
        assert refusal(path, READINGS_WIDE="true") == f"{path} has no numeric column; it has timestamp, series"

    def test_two_columns_of_a_wide_table_are_not_one_series(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("timestamp,t,t\n2025-06-17T10:00:00Z,1,2\n")
        assert refusal(path, READINGS_WIDE="true") == f"cannot read {path}: it has two columns 't'"

    def test_a_null_series_has_no_name(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow(series=pa.array(["a", None, None])))
        assert {name: one.count for name, one in process(path).statistics.items()} == {"a": 1, "": 2}


class TestText:
    ROWS = (("10:00", "7", "1"), ("10:01", "7", ""), ("10:02", "b", "2.5"))

    def test_csv_is_read_by_its_header(self, tmp_path: Path) -> None:
        lines = [f'2025-06-17T{at}:00Z,{series},{value},"x, y"' for at, series, value in self.ROWS]
        (tmp_path / "1.csv").write_text("\n".join(["timestamp,series,value,note", *lines]), "utf-8-sig")
        (tmp_path / "2.csv").write_text("value,timestamp,series\n4,2025-06-17T10:03:00Z,b\n")
        result = process(tmp_path)
        assert {name: (one.count, one.nulls) for name, one in result.statistics.items()} == {"7": (1, 1), "b": (2, 0)}
        assert result.statistics["b"].max == 4.0

    def test_a_value_that_is_no_number_is_shown_with_its_file(self, tmp_path: Path) -> None:
        rows = "\n".join(f"2025-06-17T10:00:00Z,a,{number}" for number in range(2_000))
        path = tmp_path / "x.csv"
        path.write_text(f"timestamp,series,value\n{rows}\n2025-06-17T10:00:00Z,a,broken\n")
        message = refusal(path)
        assert message.startswith(f"cannot read {path}: ")
        assert "broken" in message

    def test_ndjson_is_read_by_its_fields(self, tmp_path: Path) -> None:
        lines = ['{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1, "more": {"x": [1]}}']
        lines += ['{"value": 2.5, "timestamp": "2025-06-17T10:01:00Z", "series": "a"}']
        lines += ['{"timestamp": "2025-06-17T10:01:00Z", "series": "a", "value": null}']
        (tmp_path / "x.ndjson").write_text("\n".join(lines))
        one = process(tmp_path).statistics["a"]
        assert (one.count, one.nulls, one.max) == (2, 1, 2.5)

    def test_the_first_value_of_a_key_that_stands_twice_in_a_line_of_ndjson_counts(self, tmp_path: Path) -> None:
        lines = ['{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1, "value": 2.5}']
        lines += ['{"value": 3, "timestamp": "2025-06-17T10:01:00Z", "series": "a", "series": "b", "value": null}']
        (tmp_path / "x.ndjson").write_text("\n".join(lines))
        one = process(tmp_path).statistics["a"]
        assert (one.count, one.nulls, one.min, one.max) == (2, 0, 1.0, 3.0)

    @pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "ndjson", "jsonl.gz"])
    @pytest.mark.parametrize("content", [b"", b"\n\n"], ids=["nothing", "blank lines"])
    def test_text_with_nothing_in_it_is_a_warning(self, tmp_path: Path, ending: str, content: bytes) -> None:
        write(tmp_path / "good.parquet", arrow())
        path = tmp_path / f"none.{ending}"
        if ending.endswith(".gz"):
            content = gzip.compress(content)
        elif ending.endswith(".zst"):
            content = pa.compress(content, codec="zstd", asbytes=True)
        path.write_bytes(content)

        result = process(tmp_path)

        assert result.records == 3
        assert result.warnings == [f"{path} has no rows" if content else f"{path} is empty (0 bytes)"]

    @pytest.mark.parametrize("largest_small", [2**20, 0])
    def test_the_first_timestamps_may_be_null(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_small: int
    ) -> None:
        """Of a large file, the types are those of the first lines."""
        monkeypatch.setattr("shared_code.formats.SMALL", largest_small)
        line = '{"timestamp": null, "series": "a", "value": 1}\n'
        (tmp_path / "x.ndjson").write_text(line * 1_001 + line.replace("null", '"2025-06-17T10:00:00Z"'))
        (tmp_path / "x.csv").write_text("timestamp,series,value\n" + ",a,1\n" * 1_001 + "2025-06-17T10:00:00Z,a,1\n")
        assert process(tmp_path).records == 2

    @pytest.mark.parametrize("largest_small", [2**20, 0])
    @pytest.mark.parametrize("ending", ["csv", "ndjson"])
    def test_a_series_of_a_wide_table_may_begin_late(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_small: int, ending: str
    ) -> None:
        monkeypatch.setattr("shared_code.formats.SMALL", largest_small)
        at = "2025-06-17T10:00:00Z"
        if ending == "csv":
            text = "timestamp,early,late\n" + f"{at},1,\n" * 1_001 + f"{at},1,2.5\n"
        else:
            early = f'{{"timestamp": "{at}", "early": 1}}\n'
            text = early * 1_001 + early.replace("}", ', "late": 2.5}')
        path = tmp_path / f"x.{ending}"
        path.write_text(text)
        found = process(path, READINGS_WIDE="true").statistics
        assert {name: (one.count, one.max) for name, one in found.items()} == {"early": (1_002, 1.0), "late": (1, 2.5)}

    @pytest.mark.parametrize("value", ["NaN", "Infinity"])
    def test_ndjson_that_is_none_is_refused_in_plain_words(self, tmp_path: Path, value: str) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text(f'{{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": {value}}}\n')
        assert refusal(path).startswith(f"cannot read {path}: no valid JSON at character ")

    @pytest.mark.parametrize("ending", ["csv.gz", "ndjson.gz"])
    def test_a_compressed_file_that_is_truncated_is_refused_for_good(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"x.{ending}"
        path.write_bytes(gzip.compress(b"timestamp,series,value\n2025-06-17T10:00:00Z,a,1\n")[:-9])
        with pytest.raises(ReadingsError) as caught:
            process(path)
        assert str(path) in str(caught.value)
        assert caught.value.is_permanent


class TestReplacement:
    """Files that are replaced while they are read."""

    def replacing(self, monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
        """Replaces the file after its metadata has been read, the first `times` times."""
        real: Callable[..., Any] = Source.open
        left = [times]

        def opened(source: Source, *window: Any) -> Any:
            reading = real(source, *window)
            if left[0]:
                left[0] -= 1
                other = write(path.with_name("other"), arrow(values=[7.0, 7.0, 7.0 + left[0]]))
                other.replace(path)
            return reading

        monkeypatch.setattr(Source, "open", opened)

    def test_once_is_read_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "x.parquet", arrow())
        self.replacing(monkeypatch, path, 1)
        assert process(path).statistics["a"].mean == 7.0

    def test_again_and_again_fails_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "x.parquet", arrow())
        self.replacing(monkeypatch, path, 2)
        with pytest.raises(ReadingsChanged, match=f"{path} was replaced while it was read"):
            process(path)

    def test_of_a_file_that_the_window_does_not_need_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "needed.parquet", arrow())
        later = pa.array([NAIVE + timedelta(days=1)] * 3)
        other = write(tmp_path / "other.parquet", arrow(later))
        self.replacing(monkeypatch, other, 2)
        assert process(tmp_path / "*.parquet").records == 3

    def test_the_version_of_all_files_changes_with_each_of_them(self, tmp_path: Path) -> None:
        def version() -> str | None:
            seen = process(tmp_path / "*.parquet").readings
            return seen.version if seen else None

        write(tmp_path / "1.parquet", arrow())
        versions = [version(), version()]
        write(tmp_path / "2.parquet", arrow())
        versions.append(version())
        write(tmp_path / "new", arrow(values=[7.0, 7.0, 7.0])).replace(tmp_path / "1.parquet")
        versions.append(version())
        assert versions[0] == versions[1]
        assert None not in versions
        assert len(set(versions)) == 3
        assert process("synthetic").readings.version is None  # type: ignore[union-attr]

    def test_other_columns_of_the_same_files_are_another_version(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.parquet", arrow(other=[1.0, 1.0, 1.0]))
        seen = [process(path, READINGS_COLUMNS=text).readings for text in ("", "value=other", "value=value")]
        assert None not in seen
        assert len({one.version for one in seen if one}) == 2

    def test_a_file_that_appears_meanwhile_is_for_the_next_chunk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_readings: WriteReadings
    ) -> None:
        write(tmp_path / "1.parquet", arrow())
        real = Source.open

        def opened(source: Source, *window: Any) -> Any:
            reading = real(source, *window)
            write_readings([1.0], name="2.parquet")
            return reading

        monkeypatch.setattr(Source, "open", opened)
        assert process(tmp_path / "*.parquet").records == 3
