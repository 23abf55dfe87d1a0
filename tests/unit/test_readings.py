"""The locations of readings, and the errors about missing ones."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from shared_code.contracts import ChunkInput
from shared_code.files import ReadingsFile
from shared_code.listing import Listing
from shared_code.listing_store import ListingStore
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source
from tests.unit.conftest import START, WriteReadings

HOUR = ChunkInput(chunk_id=0, start=START, end=START + timedelta(hours=1), total_chunks=1, time=START)
CONNECTION = "AccountName=acct;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/acct"


def failure(**settings: str) -> str:
    with pytest.raises(ReadingsError) as caught:
        process_chunk(HOUR, open_source(settings))
    return str(caught.value)


def test_without_a_setting_readings_are_synthetic() -> None:
    assert open_source({}) == open_source({"READINGS": "synthetic"}) == open_source({"READINGS": " "})


def test_several_files_are_read_as_one(write_readings: WriteReadings) -> None:
    folder = Path(write_readings([1.0, 2.0], name="one.parquet")).parent
    write_readings([3.0], name="two.parquet", extra=[True])

    assert process_chunk(HOUR, open_source({"READINGS": str(folder / "*.parquet")})).records == 3


class Forgetful(dict[Any, Any]):
    """A memory from which another thread removes everything at once."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keeps nothing."""


def test_contents_that_another_thread_forgets_are_used_all_the_same(
    write_readings: WriteReadings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_code.readings._contents_kept", Forgetful())
    assert process_chunk(HOUR, open_source({"READINGS": write_readings([1.0])})).records == 1


def test_a_listing_that_another_thread_forgets_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared_code.listing_store._in_memory", Forgetful())
    listing = Listing(files=[ReadingsFile(path="x", version="1", size=1)])
    folder: Any = SimpleNamespace(place="az://here", read=lambda name: listing.to_parquet())
    assert ListingStore(source=open_source({}), folder=folder).load(listing.version) == listing


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for location in (tmp_path / "none.parquet", tmp_path / "*.parquet"):
        assert failure(READINGS=str(location)) == f"cannot read {location}: there is no such file, blob or container"


def test_an_empty_file_is_refused_as_parquet(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    path.touch()

    assert failure(READINGS=str(path)).startswith(f"cannot read {path}: ")


@pytest.mark.parametrize("content", [b"short", b"PAR1 this is not what a Parquet file looks like PAR1"])
def test_a_corrupt_file_is_named_among_others(write_readings: WriteReadings, content: bytes) -> None:
    good = Path(write_readings([1.0], name="a.parquet"))
    bad = good.with_name("b.parquet")
    bad.write_bytes(content)

    assert failure(READINGS=str(bad)).startswith(f"cannot read {bad}: ")
    assert failure(READINGS=str(good.with_name("*.parquet"))).startswith(f"cannot read {bad}: ")


def test_corrupt_pages_fail_the_chunk_that_needs_them_and_no_other(tmp_path: Path) -> None:
    timestamps = [START + timedelta(minutes=minute) for minute in range(4_000)]
    frame = pl.DataFrame(
        {"timestamp": timestamps, "series": "a", "value": [float(n * 7919 % 4001) for n in range(4_000)]}
    )
    path = tmp_path / "readings.parquet"
    frame.write_parquet(path, row_group_size=500, compression="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = os.urandom(200)
    path.write_bytes(content)
    source = open_source({"READINGS": str(path)})

    hours = [HOUR.model_copy(update={"start": at, "end": at + timedelta(hours=1)}) for at in timestamps[::1000]]
    assert process_chunk(hours[0], source).records == 60
    whole = HOUR.model_copy(update={"end": timestamps[-1]})
    with pytest.raises(ReadingsError, match=f"cannot read {path}"):
        process_chunk(whole, source)


@pytest.mark.parametrize("column", ["timestamp", "series", "value"])
def test_a_missing_column_is_named_with_the_file(write_readings: WriteReadings, column: str) -> None:
    location = write_readings([1.0], other=[0], **{column: None})

    assert failure(READINGS=location).startswith(f"{location} has no column '{column}'; it has ")


@pytest.mark.parametrize(
    ("column", "content", "found"),
    [("timestamp", [True], "Boolean"), ("series", [1], "Int64"), ("value", ["1.0"], "String")],
)
def test_a_column_of_the_wrong_type_is_named(
    write_readings: WriteReadings, column: str, content: list[object], found: str
) -> None:
    location = write_readings([1.0], **{column: content})

    assert failure(READINGS=location).startswith(f"column '{column}' of {location} is {found}, not a")


@pytest.mark.parametrize("location", ["az://readings", "az://", "az:///x.parquet", "s3://bucket/x.parquet"])
def test_a_location_of_unknown_form_is_refused(location: str) -> None:
    assert failure(READINGS=location, AzureWebJobsStorage=CONNECTION).startswith("the app setting READINGS must be")


def test_a_missing_connection_setting_is_named() -> None:
    assert "app setting AzureWebJobsStorage is missing" in failure(READINGS="az://readings/*.parquet")
    assert "app setting Elsewhere is missing" in failure(
        READINGS="az://readings/*.parquet", READINGS_CONNECTION="Elsewhere", AzureWebJobsStorage=CONNECTION
    )


def test_a_connection_string_in_place_of_its_name_is_not_repeated() -> None:
    message = failure(READINGS="az://readings/*.parquet", READINGS_CONNECTION=CONNECTION)

    assert message.endswith(
        "the app setting READINGS_CONNECTION must be the name of a setting, not a connection string"
    )


@pytest.mark.parametrize(
    "location",
    ["https://user:secret@acct.test/readings/x.parquet", "https://acct.test/readings/x.parquet?sv=1&sig=secret"],
)
def test_a_location_with_a_credential_is_refused_without_showing_the_credential(location: str) -> None:
    message = failure(READINGS=location)

    assert message.startswith("the app setting READINGS must be ")
    assert "acct.test/readings/x.parquet" in message
    assert "secret" not in message


@pytest.mark.parametrize("key", ["c2VjcmV0", "not base64 at all"])
def test_the_error_about_an_unreachable_account_does_not_show_its_key(key: str) -> None:
    message = failure(READINGS="az://readings/x.parquet", AzureWebJobsStorage=CONNECTION.replace("c2VjcmV0", key))

    assert message.startswith("cannot read az://readings/x.parquet: ")
    assert key not in message
