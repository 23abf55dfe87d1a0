"""Locations that people write: folders of dates, folders without readings, and names that mean another format."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from shared_code.reading_errors import ReadingsError
from tests.unit.conftest import START, WriteReadings
from tests.unit.test_processing import process

DAY = timedelta(days=1)


def refusal(location: Path | str) -> str:
    with pytest.raises(ReadingsError) as caught:
        process(str(location))
    assert caught.value.is_permanent
    return str(caught.value)


def write(folder: Path, name: str, day: str = "17") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"timestamp,series,value\n2025-06-{day}T10:00:00Z,a,1.5\n")


@pytest.mark.parametrize("end", ["", "/", "/**", "/*.csv"])
def test_a_date_may_be_that_of_a_folder(tmp_path: Path, end: str) -> None:
    write(tmp_path, "2025/06/17/x.csv")
    write(tmp_path, "2025/06/18/x.csv", "18")
    location = f"{tmp_path}/{{yyyy}}/{{MM}}/{{dd}}{end}"

    assert [process(location, end=START + days * DAY).records for days in (1, 2)] == [1, 2]
    assert process(location, end=START + DAY / 24).readings.files == 1  # type: ignore[union-attr]


def test_a_folder_of_a_date_is_read_as_other_folders_are(tmp_path: Path) -> None:
    write(tmp_path, "2025-06-17/series=b/x.csv")
    write(tmp_path, "2025-06-17/_tmp/x.csv")
    write(tmp_path, "2025-06-17/x.json")
    result = process(f"{tmp_path}/{{yyyy}}-{{MM}}-{{dd}}")
    assert (result.records, result.warnings) == (1, [])


def test_a_location_with_dates_and_no_file_at_all_is_a_warning(tmp_path: Path) -> None:
    result = process(f"{tmp_path}/{{yyyy}}/*.csv")
    assert result.warnings == [f"{tmp_path}/{{yyyy}}/*.csv has no files for the dates of the window"]


@pytest.mark.parametrize("part", ["{YYYY}", "{yy}", "{mm}", "{DD}", "{hh}", "{d}"])
def test_a_date_in_another_form_is_refused(tmp_path: Path, part: str) -> None:
    reason = f"can have {{yyyy}}, {{MM}}, {{dd}} and {{HH}}, but not {part}"
    assert reason in refusal(f"{tmp_path}/{{yyyy}}/{{MM}}/{part}/*.csv")


@pytest.mark.parametrize("name", ["{yyyy}.csv", "{mm}.csv", "{guid}.csv"])
def test_braces_in_a_name_can_be_written(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert process(f"{tmp_path}/[{{]{name[1:]}").records == 1


@pytest.mark.parametrize("pattern", ["**/*.csv", "**", "*/*.csv", "*/*/*.csv", ""])
def test_a_file_counts_once_however_links_lead_to_it(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "a/b/x.csv")
    write(tmp_path, "a/x.csv")
    (tmp_path / "a/b/again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "c").symlink_to(tmp_path / "a", target_is_directory=True)
    expected = 1 if pattern.startswith("*/") else 2
    assert process(f"{tmp_path}/{pattern}").records == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("pattern", ["", "/*"])
def test_a_name_that_is_not_utf_8_is_refused_in_printable_text(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, os.fsdecode(b"\xff.csv"))
    assert refusal(f"{tmp_path}{pattern}").endswith(rf"the name '{tmp_path}/\udcff.csv' is not UTF-8")


def test_a_folder_without_readings_is_not_called_missing(tmp_path: Path) -> None:
    write(tmp_path, "x.json")
    assert refusal(tmp_path).startswith(f"cannot read {tmp_path}: no name in this folder ends with .parquet, .csv,")
    assert refusal(tmp_path / "none") == f"cannot read {tmp_path}/none: there is no such file, blob or container"


@pytest.mark.parametrize("name", ["x.json", "x.csv.bz2", "x.tsv", "x"])
def test_a_file_with_another_ending_is_read_as_parquet_which_its_error_says(
    tmp_path: Path, name: str, write_readings: WriteReadings
) -> None:
    assert process(write_readings([1.0], name=name)).records == 1
    write(tmp_path, name)
    assert refusal(tmp_path / name).startswith(f"cannot read {tmp_path}/{name} as Parquet: ")
