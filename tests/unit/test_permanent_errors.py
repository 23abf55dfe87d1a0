"""Which errors of activities are permanent: those that another attempt would meet again, and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shared_code.activities import prepare_run, run_chunk
from shared_code.contracts import ChunkInput, RunName, RunPlan, RunStart
from shared_code.failures import ActivityError
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsChanged, ReadingsError, naming
from shared_code.readings import Source, open_source
from tests.unit.conftest import START, WriteReadings

RUN = RunName(instance_id="mine", started=START)
HOUR = ChunkInput(chunk_id=0, start=START, end=START + timedelta(hours=1), total_chunks=1, time=START)
UNREACHABLE = "AccountName=acct;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/acct"


def error_of(settings: dict[str, str]) -> ActivityError:
    with pytest.raises(ActivityError) as caught:
        run_chunk(HOUR, settings)
    return caught.value


def truncated(good: str) -> dict[str, str]:
    path = Path(good)
    path.write_bytes(path.read_bytes()[:-7])
    return {"READINGS": good}


PERMANENT: dict[str, Callable[[str], dict[str, str]]] = {
    "a location of an unknown form": lambda good: {"READINGS": "s3://bucket/x.parquet"},
    "a location with a signature": lambda good: {"READINGS": "az://readings/x.parquet?sig=secret"},
    "a connection that is not set": lambda good: {"READINGS": "az://readings/x.parquet"},
    "a setting of the columns": lambda good: {"READINGS": good, "READINGS_COLUMNS": "nothing"},
    "a missing file": lambda good: {"READINGS": f"{good}.none"},
    "a missing column": lambda good: {"READINGS": good, "READINGS_COLUMNS": "value=other"},
    "a truncated file": truncated,
}


@pytest.mark.parametrize("kind", PERMANENT)
def test_what_is_wrong_with_a_file_or_a_setting_stays_wrong(write_readings: WriteReadings, kind: str) -> None:
    assert error_of(PERMANENT[kind](write_readings([1.0]))).is_permanent


def test_a_place_of_results_that_is_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ActivityError) as caught:
        prepare_run(RunStart(start=HOUR.start, end=HOUR.end, run=RUN), {"RESULTS": str(tmp_path / "file")})
    assert caught.value.is_permanent


def test_a_full_disk_may_have_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ActivityError, match="No space left") as caught:
        prepare_run(RunStart(start=HOUR.start, end=HOUR.end, run=RUN), {"RESULTS": str(tmp_path)})
    assert not caught.value.is_permanent


def test_an_account_that_cannot_be_reached_may_be_reached_later() -> None:
    error = error_of({"READINGS": "az://readings/*.parquet", "AzureWebJobsStorage": UNREACHABLE})
    assert not error.is_permanent


@pytest.mark.parametrize("is_remote", [True, False])
def test_polars_knows_no_difference_between_a_bad_file_and_a_bad_network(is_remote: bool) -> None:
    with pytest.raises(ReadingsError) as caught, naming("x", is_remote=is_remote):
        raise pl.exceptions.ComputeError("error sending request")
    assert caught.value.is_permanent is not is_remote


def replacing(monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes) -> None:
    """Replaces the file each time after it was listed."""
    real = Source.open

    def opened(source: Source, *more: Any) -> Any:
        reading = real(source, *more)
        path.with_name("new").write_bytes(content)
        path.with_name("new").replace(path)
        return reading

    monkeypatch.setattr(Source, "open", opened)


def test_a_file_that_a_writer_keeps_replacing_may_come_to_rest(
    write_readings: WriteReadings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(write_readings([1.0]))
    replacing(monkeypatch, path, path.read_bytes())
    with pytest.raises(ReadingsChanged) as caught:
        process_chunk(HOUR, open_source({"READINGS": str(path)}))
    assert not caught.value.is_permanent


def test_a_file_of_the_listing_that_was_replaced_stays_replaced(write_readings: WriteReadings) -> None:
    path = Path(write_readings([1.0]))
    source = open_source({"READINGS": str(path)})
    listing = source.listing(HOUR.window)
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)
    with pytest.raises(ReadingsChanged) as caught:
        process_chunk(HOUR.model_copy(update={"plan": RunPlan()}), source, listing)
    assert caught.value.is_permanent
