"""Files made by pyarrow, pandas, DuckDB and Polars: read as DuckDB reads them, or refused with their name and a reason.

DuckDB is the independent reader; it gets the columns by name and casts them itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source
from shared_code.results import ChunkResult
from tests.unit.conftest import START

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NAIVE = START.replace(tzinfo=None)
AT = [NAIVE + number * MINUTE for number in range(4)]
SERIES = ["a", "b", "a", "b"]
VALUES = [1.25, -2.0, None, 1e9]


def process(location: Path | str, *, start: datetime = START, end: datetime = START + HOUR, **more: str) -> ChunkResult:
    chunk = ChunkInput(chunk_id=0, start=start, end=end, total_chunks=1, time=START)
    return process_chunk(chunk, open_source({"READINGS": str(location), **more}))


def by_duckdb(relation: str, start: datetime = START, end: datetime = START + HOUR) -> dict[str, Any]:
    """Rows, finite values, extremes and mean per series, of a file as DuckDB reads it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            f"""
            WITH readings AS (
              SELECT coalesce(CAST(series AS VARCHAR), '') AS series, CAST(value AS DOUBLE) AS value
              FROM {relation}
              WHERE CAST(timestamp AS TIMESTAMPTZ) >= CAST(? AS TIMESTAMPTZ)
                AND CAST(timestamp AS TIMESTAMPTZ) < CAST(? AS TIMESTAMPTZ))
            SELECT series, count(*), count(value) FILTER (isfinite(value)), min(value) FILTER (isfinite(value)),
              max(value) FILTER (isfinite(value)), fsum(value) FILTER (isfinite(value))
            FROM readings GROUP BY series
            """,
            [start.isoformat(), end.isoformat()],
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


def assert_like_duckdb(
    location: Path, relation: str | None = None, *, start: datetime = START, end: datetime = START + HOUR
) -> ChunkResult:
    result = process(location, start=start, end=end)
    expected = by_duckdb(relation or f"'{location}'", start, end)
    assert set(result.statistics) == set(expected)
    for name, one in result.statistics.items():
        rows, count, least, most, total = expected[name]
        assert (one.count + one.nulls + one.non_finite, one.count, one.min, one.max) == (rows, count, least, most)
        assert one.mean == (pytest.approx(total / count, rel=1e-12) if count else None)
    return result


def arrow(**columns: Any) -> Any:
    return pa.table({"timestamp": AT, "series": SERIES, "value": VALUES, **columns})


def write(path: Path, table: Any, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def copy_of(path: Path, select: str, options: str = "FORMAT parquet") -> Path:
    """A file that DuckDB writes; `r` are the readings."""
    with duckdb.connect() as connection:
        connection.register("r", arrow())
        connection.execute(f"COPY ({select}) TO '{path}' ({options})")
    return path


def refusal(location: Path, **more: Any) -> str:
    with pytest.raises(ReadingsError) as caught:
        process(location, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert "panicked" not in message
    assert "unwrap" not in message
    assert caught.value.is_permanent, message
    return message


class TestWriters:
    @pytest.mark.parametrize(
        "select",
        [
            "SELECT * FROM r",
            "SELECT timestamp::TIMESTAMPTZ AS timestamp, series, value FROM r",
            "SELECT timestamp::TIMESTAMP_NS AS timestamp, series, value FROM r",
            "SELECT timestamp::TIMESTAMP_MS AS timestamp, series, value FROM r",
            "SELECT timestamp::TIMESTAMP_S AS timestamp, series, value FROM r",
            "SELECT timestamp, series::ENUM('b', 'a') AS series, value::FLOAT AS value FROM r",
            "SELECT timestamp, series, value::DECIMAL(38, 10) AS value FROM r",
            "SELECT timestamp, series, value::DECIMAL(4, 0) AS value FROM r WHERE value < 1000",
            "SELECT timestamp, series, value::HUGEINT AS value FROM r",
            "SELECT timestamp, series, abs(value)::UBIGINT AS value FROM r",
            "SELECT value, timestamp, {'x': [1, 2]} AS nested, series FROM r",
            "SELECT *, INTERVAL 1 DAY AS interval, uuid() AS id, '10'::BIT AS bits, MAP {'a': 1} AS map FROM r",
            "SELECT strftime(timestamp, '%Y-%m-%dT%H:%M:%SZ') AS timestamp, series, value FROM r",
            "SELECT * FROM r WHERE value > 0 ORDER BY timestamp DESC",
        ],
    )
    def test_files_of_duckdb(self, tmp_path: Path, select: str) -> None:
        assert_like_duckdb(copy_of(tmp_path / "x.parquet", select))

    @pytest.mark.parametrize("options", ["FORMAT parquet, PARQUET_VERSION v2", "FORMAT parquet, CODEC brotli"])
    def test_files_of_duckdb_with_options(self, tmp_path: Path, options: str) -> None:
        assert_like_duckdb(copy_of(tmp_path / "x.parquet", "SELECT * FROM r", options))

    @pytest.mark.parametrize(
        "change",
        [
            lambda frame: frame,
            lambda frame: frame.astype({"series": "category"}),
            lambda frame: frame.astype({"series": "string", "value": "Float64"}),
            lambda frame: frame.assign(timestamp=frame["timestamp"].dt.tz_localize("Europe/Berlin")),
            lambda frame: frame.assign(timestamp=frame["timestamp"].dt.tz_localize("-03:30")),
            lambda frame: frame.assign(value=frame["value"].fillna(0).astype("int64").astype("Int64")),
            lambda frame: frame.set_index("timestamp"),
            lambda frame: frame[frame["value"] > 0],
            lambda frame: frame.assign(value=[Decimal("1.5"), None, Decimal("2"), Decimal("-7.25")]),
        ],
    )
    def test_files_of_pandas(self, tmp_path: Path, change: Callable[[Any], Any]) -> None:
        path = tmp_path / "x.parquet"
        frame = pd.DataFrame({"timestamp": pd.to_datetime(AT), "series": SERIES, "value": VALUES})
        change(frame).to_parquet(path)
        assert_like_duckdb(path, start=START - 12 * HOUR, end=START + 12 * HOUR)

    @pytest.mark.parametrize(
        "change",
        [
            lambda frame: frame,
            lambda frame: frame.with_columns(pl.col("series").cast(pl.Categorical)),
            lambda frame: frame.with_columns(pl.col("series").cast(pl.Enum(["a", "b", "c"]))),
            lambda frame: frame.with_columns(pl.col("value").cast(pl.Decimal(38, 4))),
            lambda frame: frame.with_columns(pl.col("timestamp").dt.replace_time_zone("Asia/Kathmandu")),
            lambda frame: frame.with_columns(pl.col("timestamp").cast(pl.Datetime("ns"))),
            lambda frame: frame.select("value", "series", "timestamp", more=pl.struct("value")),
        ],
    )
    def test_files_of_polars(self, tmp_path: Path, change: Callable[[Any], Any]) -> None:
        path = tmp_path / "x.parquet"
        change(pl.DataFrame({"timestamp": AT, "series": SERIES, "value": VALUES})).write_parquet(path)
        assert_like_duckdb(path, start=START - 12 * HOUR, end=START + 12 * HOUR)

    @pytest.mark.parametrize(
        "series",
        [
            pa.array(SERIES, pa.large_string()),
            pa.array(SERIES, pa.string_view()),
            pa.array(SERIES).dictionary_encode(),
            pa.array(["a", None, "", "a"]),
            pa.nulls(4),
        ],
    )
    def test_series_of_pyarrow(self, tmp_path: Path, series: Any) -> None:
        assert_like_duckdb(write(tmp_path / "x.parquet", arrow(series=series)))

    @pytest.mark.parametrize(
        "value",
        [
            pa.array([1, 2, None, 4], pa.uint8()),
            pa.array([2**64 - 1, 0, None, 2**53 + 1], pa.uint64()),
            pa.array([Decimal("1.0000000001"), None, Decimal("-2"), Decimal("3")], pa.decimal128(38, 10)),
            pa.array([float("nan"), float("inf"), None, 1.5]),
            pa.array([1, 2, 2, 1]).dictionary_encode(),
            pa.nulls(4),
        ],
    )
    def test_values_of_pyarrow(self, tmp_path: Path, value: Any) -> None:
        assert_like_duckdb(write(tmp_path / "x.parquet", arrow(value=value)))

    @pytest.mark.parametrize(
        "options",
        [
            *({"compression": codec} for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")),
            {"data_page_version": "2.0"},
            {"write_statistics": False},
            {"write_page_index": True},
            {"use_dictionary": False, "column_encoding": {"timestamp": "DELTA_BINARY_PACKED"}},
            {"use_dictionary": False, "column_encoding": {"value": "BYTE_STREAM_SPLIT"}},
            {"use_dictionary": False, "column_encoding": {"series": "DELTA_BYTE_ARRAY"}},
            {"use_dictionary": False, "column_encoding": {"series": "DELTA_LENGTH_BYTE_ARRAY"}},
            {"row_group_size": 1},
            {"version": "1.0"},
            {"store_schema": False},
            {"write_page_checksum": True},
        ],
    )
    def test_codecs_and_encodings_of_pyarrow(self, tmp_path: Path, options: dict[str, Any]) -> None:
        path = write(tmp_path / "x.parquet", arrow(), **options)
        assert_like_duckdb(path)
        assert_like_duckdb(path, start=START + MINUTE, end=START + 3 * MINUTE)

    @pytest.mark.parametrize(
        "more",
        [
            {"nested": pa.array([{"timestamp": 1, "value": "x"}] * 4)},
            {"map": pa.array([[("value", 1)]] * 4, pa.map_(pa.string(), pa.int64()))},
            {"": pa.array([1] * 4), "a.b": pa.array([[1]] * 4)},
            {"wide": pa.array([Decimal(1)] * 4, pa.decimal256(60, 2))},
        ],
    )
    def test_columns_beside_those_of_readings(self, tmp_path: Path, more: dict[str, Any]) -> None:
        assert_like_duckdb(write(tmp_path / "x.parquet", arrow(**more)))

    def test_row_groups_without_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        table = arrow()
        with pq.ParquetWriter(path, table.schema) as writer:
            for part in (table.slice(0, 0), table.slice(0, 2), table.slice(0, 0), table.slice(2)):
                writer.write_table(part)
        assert assert_like_duckdb(path).records == 4

    def test_files_with_other_orders_of_columns_are_read_as_one(self, tmp_path: Path) -> None:
        table = arrow()
        write(tmp_path / "1.parquet", table)
        write(tmp_path / "2.parquet", table.select(["value", "series", "timestamp"]))
        write(tmp_path / "3.parquet", table.select(["series", "timestamp", "value"]))
        relation = f"read_parquet('{tmp_path}/*.parquet', union_by_name = true)"
        assert assert_like_duckdb(tmp_path, relation).records == 12


class TestTimestamps:
    def test_nanoseconds_with_an_offset(self, tmp_path: Path) -> None:
        at = pa.array([NAIVE + number * MINUTE for number in range(4)], pa.timestamp("ns", "-09:45"))
        assert_like_duckdb(write(tmp_path / "x.parquet", arrow(timestamp=at)))

    @pytest.mark.parametrize("dtype", ["timestamp", "timestamptz", "date", "varchar"])
    @pytest.mark.parametrize("year", [1, 1600, 1969, 1970, 2024, 2263, 9999])
    def test_far_years_and_leap_days(self, tmp_path: Path, dtype: str, year: int) -> None:
        texts = [f"{year:04}-02-28 23:59:59.999999", f"{year:04}-03-01 00:00:00", f"{year:04}-12-31 23:59:59"]
        rows = ", ".join(f"('{text}'::TIMESTAMP::{dtype}, 'a', 1.0)" for text in texts)
        path = copy_of(tmp_path / "x.parquet", f"SELECT * FROM (VALUES {rows}) AS t(timestamp, series, value)")
        first = datetime(year, 1, 1, tzinfo=timezone.utc)
        last = first.replace(month=12, day=31)
        bounds = [first, first.replace(month=3), last, last.replace(hour=23)]
        for start in bounds:
            for end in bounds:
                if start < end:
                    assert_like_duckdb(path, start=start, end=end)

    def test_the_leap_day_is_a_day_of_its_folder(self, tmp_path: Path) -> None:
        for day in ("2024/02/28", "2024/02/29", "2024/03/01"):
            (tmp_path / day).mkdir(parents=True)
            at = datetime.strptime(day, "%Y/%m/%d") + 12 * HOUR  # noqa: DTZ007
            write(tmp_path / day / "x.parquet", pa.table({"timestamp": [at], "series": ["a"], "value": [1.0]}))
        location = str(tmp_path) + "/{yyyy}/{MM}/{dd}/*.parquet"
        leap = datetime(2024, 2, 29, tzinfo=timezone.utc)
        assert process(location, start=leap, end=leap + 24 * HOUR).records == 1
        assert process(location, start=leap - HOUR, end=leap + 36 * HOUR).records == 1
        assert process(location, start=leap - 24 * HOUR, end=leap + 48 * HOUR).records == 3

    @pytest.mark.parametrize("dtype", [pa.timestamp("us"), pa.timestamp("ms"), pa.int64()])
    def test_instants_beyond_any_calendar_are_in_no_window(self, tmp_path: Path, dtype: Any) -> None:
        here = int(START.timestamp()) * (1_000_000 if dtype == pa.timestamp("us") else 1_000)
        at = pa.array([-(2**63), here, 2**63 - 1, None], dtype)
        path = write(tmp_path / "x.parquet", arrow(timestamp=at))
        first, last = (START.replace(year=year, month=1, day=1) for year in (1, 9999))
        assert process(path, start=first, end=last, READINGS_EPOCH="ms").records == 1

    def test_a_window_of_a_microsecond_has_what_is_in_it(self, tmp_path: Path) -> None:
        microsecond = timedelta(microseconds=1)
        at = [NAIVE, NAIVE + microsecond, NAIVE + 2 * microsecond]
        path = write(tmp_path / "x.parquet", pa.table({"timestamp": at, "series": ["a"] * 3, "value": [1.0, 2.0, 3.0]}))
        one = process(path, start=START + microsecond, end=START + 2 * microsecond).statistics["a"]
        assert (one.count, one.mean) == (1, 2.0)

    def test_epochs_that_are_no_instants_are_in_no_window(self, tmp_path: Path) -> None:
        at = pa.array([START.timestamp(), float("nan"), float("inf"), None])
        path = write(tmp_path / "x.parquet", arrow(timestamp=at))
        assert process(path, READINGS_EPOCH="s").records == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("column", "content", "found"),
        [
            ("timestamp", pa.array([time(10), time(11), None, time(12)]), "Time"),
            ("timestamp", pa.array([timedelta(1)] * 4), "Duration"),
            ("timestamp", pa.array([True] * 4), "Boolean"),
            ("series", pa.array([1, 2, 3, 4]), "Int64"),
            ("series", pa.array([b"a"] * 4), "Binary"),
            ("series", pa.array([b"aa"] * 4, pa.binary(2)), "Binary"),
            ("series", pa.array([["a"]] * 4), "List"),
            ("value", pa.array([True] * 4), "Boolean"),
            ("value", pa.array(["1"] * 4), "String"),
            ("value", pa.array([{"x": 1.0}] * 4), "Struct"),
            ("value", pa.array([[1.0]] * 4), "List"),
            ("value", pa.array([timedelta(1)] * 4), "Duration"),
        ],
    )
    def test_a_type_that_is_not_that_of_readings(self, tmp_path: Path, column: str, content: Any, found: str) -> None:
        path = write(tmp_path / "x.parquet", arrow(**{column: content}))
        message = refusal(path)
        assert message.startswith(f"column '{column}' of {path} is {found}")

    def test_decimals_beyond_128_bits(self, tmp_path: Path) -> None:
        value = pa.array([Decimal(1)] * 4, pa.decimal256(60, 2))
        path = write(tmp_path / "x.parquet", arrow(value=value))
        found = f"column 'value' of {path} is Decimal(precision=60, scale=2), not one of at most 38 digits"
        assert refusal(path) == refusal(path, READINGS_WIDE="true") == found

    @pytest.mark.parametrize("column", ["timestamp", "series", "value"])
    def test_two_columns_of_one_name(self, tmp_path: Path, column: str) -> None:
        table = arrow().append_column(column, arrow()[column])
        path = write(tmp_path / "x.parquet", table)
        assert str(path) in refusal(path)

    def test_two_columns_of_one_name_in_text(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("timestamp,series,value,value\n2025-06-17T10:00:00Z,a,1,2\n")
        assert "value" in refusal(path)

    @pytest.mark.parametrize("is_footer_plain", [True, False])
    def test_an_encrypted_file(self, tmp_path: Path, is_footer_plain: bool) -> None:
        encryption = pytest.importorskip("pyarrow.parquet.encryption")

        class Keys(encryption.KmsClient):  # type: ignore[misc, name-defined]
            def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
                return key_bytes

            def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
                return wrapped_key

        factory = encryption.CryptoFactory(lambda _: Keys())
        config = encryption.EncryptionConfiguration(
            footer_key="footer", column_keys={"value": ["value"]}, plaintext_footer=is_footer_plain
        )
        properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
        path = tmp_path / "x.parquet"
        with pq.ParquetWriter(path, arrow().schema, encryption_properties=properties) as writer:
            writer.write_table(arrow())
        assert str(path) in refusal(path)

    def test_a_folder_in_place_of_a_file_is_read_as_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").mkdir()
        write(tmp_path / "x.parquet" / "part-0.parquet", arrow())
        assert process(tmp_path / "x.parquet").records == 4


class TestText:
    HEADER = "timestamp,series,value,note\n"
    LINES = "2025-06-17T10:00:00Z,a,1.5,x\n2025-06-17 10:01:00,b,2,y\n2025-06-17T12:02:00+02:00,a,,z\n"

    def test_a_csv_of_a_spreadsheet(self, tmp_path: Path) -> None:
        """A byte order mark, line ends of Windows, and quoted text with commas, quotes and line ends."""
        rows = '2025-06-17T10:00:00Z,a,1.5,"a ""b"",\nc"\r\n2025-06-17T10:01:00Z,"b",-2e3,\r\n'
        path = tmp_path / "x.csv"
        path.write_bytes(b"\xef\xbb\xbf" + f"{self.HEADER.strip()}\r\n{rows}".encode())
        assert assert_like_duckdb(path).records == 2

    def test_a_csv_of_duckdb(self, tmp_path: Path) -> None:
        assert_like_duckdb(copy_of(tmp_path / "x.csv", "SELECT * FROM r", "FORMAT csv, HEADER"))

    def test_an_ndjson_of_duckdb(self, tmp_path: Path) -> None:
        path = copy_of(tmp_path / "x.ndjson", "SELECT * FROM r", "FORMAT json")
        assert_like_duckdb(path, f"read_json('{path}', format = 'newline_delimited')")

    def test_keys_that_lines_of_ndjson_lack_are_nulls(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        lines = ['{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1}']
        lines += ['{"timestamp": "2025-06-17T10:00:01Z", "value": 2}', '{"timestamp": "2025-06-17T10:00:02Z"}']
        lines += ['{"series": "a", "value": 3}', "", '{"timestamp": "2025-06-17T10:00:03Z", "series": "a"}']
        path.write_text("\n".join(lines))
        found = {name: (one.count, one.nulls) for name, one in process(path).statistics.items()}
        assert found == {"a": (1, 1), "": (1, 1)}

    def test_a_key_or_a_type_may_come_late(self, tmp_path: Path) -> None:
        line = '{"timestamp": "2025-06-17T10:00:00Z"'
        lines = [f"{line}}}"] * 2_000 + [f'{line}, "series": "a", "value": 5}}']
        (tmp_path / "x.ndjson").write_text("\n".join(lines))
        assert process(tmp_path).statistics["a"].mean == 5.0
        (tmp_path / "x.ndjson").unlink()
        first = int(START.timestamp())
        (tmp_path / "x.csv").write_text("timestamp,series,value\n" + f"{first},a,1\n" * 2_000 + f"{first}.5,a,1\n")
        assert process(tmp_path, READINGS_EPOCH="s").records == 2_001

    @pytest.mark.parametrize("value", ["null", "NA", '"1,5"', "0x1A", "1 000", "true", '{"x": 1}', "[1]", '"x"', "NaN"])
    @pytest.mark.parametrize("ending", ["csv", "ndjson"])
    def test_a_value_that_is_no_number_is_refused(self, tmp_path: Path, ending: str, value: str) -> None:
        path = tmp_path / f"x.{ending}"
        if ending == "csv":
            path.write_text(f"timestamp,series,value\n2025-06-17T10:00:00Z,a,{value}\n")
            is_number = value == "NaN"
        else:
            path.write_text(f'{{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": {value}}}\n')
            is_number = value == "null"
        if is_number:
            assert (process(path).records, process(path).statistics["a"].count) == (1, 0)
        else:
            assert str(path) in refusal(path)

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
    def test_text_in_another_encoding_is_refused(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "x.csv"
        path.write_text("timestamp,series,value\n2025-06-17T10:00:00Z,café,1\n", encoding)
        message = refusal(path)
        assert str(path) in message
        assert encoding != "utf-16" or message.endswith("it is not UTF-8, but perhaps UTF-16")

    def test_lines_of_ndjson_without_any_key_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text("{}\n{}\n")
        assert str(path) in refusal(path)

    def test_a_byte_order_mark_in_ndjson_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text('{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1}\n', "utf-8-sig")
        assert refusal(path).endswith("no valid JSON at its beginning, which is a byte order mark")

    @pytest.mark.parametrize("separator", [";", "\t", "|"], ids=["semicolon", "tab", "bar"])
    def test_another_separator_is_named(self, tmp_path: Path, separator: str) -> None:
        path = tmp_path / "x.csv"
        path.write_text("timestamp,series,value\n2025-06-17T10:00:00Z,a,1\n".replace(",", separator))
        assert refusal(path) == f"cannot read {path}: its columns are separated by {separator!r}, not by commas"

    @pytest.mark.parametrize(
        "line", ["2025-06-17T10:00:00Z,a,1.5,x,more", '2025-06-17T10:00:00Z,a,1.5,"x', "17.06.2025 10:00,a,1.5,x"]
    )
    def test_a_line_that_is_none_is_refused(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "x.csv"
        path.write_text(f"{self.HEADER}{self.LINES}{line}\n")
        assert str(path) in refusal(path)

    def test_lines_that_end_with_cr_alone_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_bytes((self.HEADER + self.LINES).replace("\n", "\r").encode())
        assert refusal(path) == f"cannot read {path}: its lines end with CR alone"

    def test_a_header_alone_is_a_file_without_rows(self, tmp_path: Path) -> None:
        (tmp_path / "none.csv").write_text(self.HEADER)
        (tmp_path / "some.csv").write_text(self.HEADER + self.LINES)
        result = process(tmp_path)
        assert (result.records, result.warnings) == (3, [f"{tmp_path}/none.csv has no rows"])

    @pytest.mark.parametrize("ending", [".csv.gz", ".CSV", ".ndjson.gz", ".NDJSON", ".jsonl.gz"])
    def test_endings_in_a_folder(self, tmp_path: Path, ending: str) -> None:
        content = (self.HEADER + self.LINES).encode()
        if "json" in ending.lower():
            content = b'{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1}\n' * 3
        (tmp_path / f"x{ending}").write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
        assert process(tmp_path).records == 3

    def test_an_ending_in_capitals_is_the_same(self, tmp_path: Path) -> None:
        write(tmp_path / "X.PARQUET", arrow())
        assert process(tmp_path).records == 4

    def test_formats_are_mixed_in_one_folder(self, tmp_path: Path) -> None:
        (tmp_path / "1.csv").write_text(self.HEADER + self.LINES)
        line = '{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1.0}\n'
        (tmp_path / "2.ndjson").write_text(line * 2)
        text = pa.table({"timestamp": ["2025-06-17T10:00:00Z"], "series": ["a"], "value": [1.0]})
        write(tmp_path / "3.parquet", text)
        assert process(tmp_path).records == 6

    def test_what_other_programs_leave_in_a_folder_is_no_readings(self, tmp_path: Path) -> None:
        write(tmp_path / "x.parquet", arrow())
        for name in ("_SUCCESS", ".x.parquet.crc", "_metadata", "_common_metadata.parquet", "_delta_log/0.parquet"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("no readings")
        assert process(tmp_path).records == 4
