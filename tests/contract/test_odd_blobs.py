"""Readings in a real blob service: odd names, dates in names, public containers, and blobs that are replaced."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import polars as pl
import pytest

from shared_code import blob_download
from shared_code.contracts import ChunkInput
from shared_code.formats import SMALL
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsChanged, ReadingsError
from shared_code.readings import Source, open_source
from shared_code.results import ChunkResult

storage_blob = pytest.importorskip("azure.storage.blob")

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)
CSV = "timestamp,series,value\n2025-06-17T10:00:00Z,a,1.5\n2025-06-17T10:00:01Z,a,2.5\n"
LINE = '{"timestamp": "2025-06-17T10:00:00Z", "series": "a", "value": 1.5}\n'
NAMES = ("a%20b", "a b", "x#y", "é", "what?", "p+q", "100%", "a=b&c")


def parquet(value: float = 1.0) -> bytes:
    content = BytesIO()
    pl.DataFrame({"timestamp": [START], "series": ["a"], "value": [value]}).write_parquet(content)
    return content.getvalue()


def random_parquet(rows: int) -> bytes:
    content, numbers = BytesIO(), random.Random(1)
    values = [numbers.random() for _ in range(rows)]
    pl.DataFrame({"timestamp": [START] * rows, "series": ["a"] * rows, "value": values}).write_parquet(content)
    return content.getvalue()


@pytest.fixture
def container(azurite: Any, hub_name: str) -> Iterator[Any]:
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service.create_container(hub_name.lower())


def process(container: Any, path: str, connection: str, *, hours: int = 1) -> ChunkResult:
    chunk = ChunkInput(chunk_id=0, start=START, end=START + timedelta(hours=hours), total_chunks=1, time=START)
    location = f"az://{container.container_name}/{path}"
    return process_chunk(chunk, open_source({"READINGS": location, "AzureWebJobsStorage": connection}))


def test_any_name_of_a_blob_or_folder_is_read(azurite: Any, container: Any) -> None:
    for name in NAMES:
        container.upload_blob(f"{name}/{name}.parquet", parquet())
    for name in NAMES:
        for path in (f"{name}/{name}.parquet", f"{name}/*.parquet", name, f"{name}/"):
            result = process(container, path, azurite.connection_string)
            assert (result.records, result.readings.files if result.readings else None) == (1, 1), path


def test_blobs_that_stand_for_folders_are_no_readings(azurite: Any, container: Any) -> None:
    """As accounts with a hierarchical namespace list their folders, also one that is named like a file."""
    for name in ("lake", "lake/day.parquet", "lake/day.parquet/part-0.parquet", "lake/empty"):
        container.upload_blob(
            name, parquet() if "part" in name else b"", metadata={"hdi_isfolder": str("part" not in name)}
        )
    for path in ("lake", "lake/", "lake/**", "lake/*/*", "lake/day.parquet"):
        result = process(container, path, azurite.connection_string)
        assert (result.records, result.readings.files if result.readings else None) == (1, 1), path
        assert result.warnings == []


@pytest.mark.parametrize("end", ["", "/"])
def test_a_date_may_be_that_of_a_folder(azurite: Any, container: Any, end: str) -> None:
    for name in ("2025/06/17/a/b.parquet", "2025/06/17/_c.parquet", "2025/06/170/d.parquet", "2025/06/18/e.parquet"):
        container.upload_blob(name, parquet())
    for hours, records in ((1, 1), (24, 2)):
        result = process(container, f"{{yyyy}}/{{MM}}/{{dd}}{end}", azurite.connection_string, hours=hours)
        assert (result.records, result.warnings) == (records, [])


def test_a_folder_without_readings_is_not_called_missing(azurite: Any, container: Any) -> None:
    container.upload_blob("other/x.json", b"{}")
    for path, reason in (("other", "no name in this folder ends with"), ("oth", "there is no such file")):
        with pytest.raises(ReadingsError, match=reason):
            process(container, path, azurite.connection_string)


def test_a_name_like_a_date_can_be_written(azurite: Any, container: Any) -> None:
    container.upload_blob("{yyyy}.parquet", parquet())
    assert process(container, "[{]yyyy}.parquet", azurite.connection_string).records == 1


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_an_archived_blob_is_named_and_not_tried_again(azurite: Any, container: Any, ending: str, size: str) -> None:
    content = {"csv": CSV.encode(), "ndjson": LINE.encode(), "parquet": parquet()}[ending]
    if size == "large":
        content = {"parquet": random_parquet(150_000), "csv": CSV.encode() + 50_000 * CSV[23:].encode()}.get(
            ending, 20_000 * LINE.encode()
        )
    assert (len(content) > SMALL) is (size == "large")
    container.upload_blob(f"x.{ending}", content)
    container.upload_blob("good.parquet", parquet())
    container.get_blob_client(f"x.{ending}").set_standard_blob_tier("Archive")
    with pytest.raises(ReadingsError, match=rf"x\.{ending}: the storage service answered BlobArchived$") as caught:
        process(container, "*", azurite.connection_string)
    assert caught.value.is_permanent


def test_only_blobs_of_the_days_of_the_window_are_opened(azurite: Any, container: Any) -> None:
    container.upload_blob("2025/06/17/10.parquet", parquet())
    container.upload_blob("2025/06/18/10.parquet", b"not Parquet")
    assert process(container, "{yyyy}/{MM}/{dd}/*.parquet", azurite.connection_string).records == 1
    with pytest.raises(ReadingsError, match=r"2025/06/18/10\.parquet"):
        process(container, "{yyyy}/{MM}/{dd}/*.parquet", azurite.connection_string, hours=24)


def test_a_public_container_needs_no_key(azurite: Any, container: Any) -> None:
    container.set_container_access_policy(signed_identifiers={}, public_access="container")
    container.upload_blob("x.parquet", parquet())
    endpoint = container.url.rpartition("/")[0]
    assert process(container, "*.parquet", f"BlobEndpoint={endpoint}").records == 1


def test_an_account_that_refuses_the_key_is_named_without_it(azurite: Any, container: Any) -> None:
    container.upload_blob("x.parquet", parquet())
    endpoint = container.url.rpartition("/")[0]
    connection = f"BlobEndpoint={endpoint};AccountName=devstoreaccount1;AccountKey=bm90IHRoZSBrZXk="
    with pytest.raises(ReadingsError) as caught:
        process(container, "*.parquet", connection)
    assert str(caught.value) == (
        f"cannot read az://{container.container_name}/*.parquet: the storage service answered AuthorizationFailure"
    )
    assert caught.value.is_permanent


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "ndjson", "jsonl.gz"])
def test_text_is_read_in_blobs_of_any_size(azurite: Any, container: Any, ending: str, size: str) -> None:
    text = CSV if "csv" in ending else 2 * LINE
    if size == "large":
        # Of another day, and as random as it takes to be large when it is compressed.
        other, numbers = (CSV if "csv" in ending else LINE).splitlines()[-1], random.Random(1)
        value = "2.5" if "csv" in ending else "1.5"
        lines = (other.replace(value, repr(numbers.random())).replace("17T", "18T") for _ in range(150_000))
        text += "\n".join(lines)
    content = gzip.compress(text.encode(), 1) if ending.endswith("gz") else text.encode()
    assert (len(content) > SMALL) is (size == "large")
    container.upload_blob(f"x.{ending}", content)

    result = process(container, f"x.{ending}", azurite.connection_string)

    assert result.records == 2


@pytest.mark.parametrize("rows", [100, 150_000])
def test_a_truncated_blob_is_named_and_stays_truncated(azurite: Any, container: Any, rows: int) -> None:
    container.upload_blob("good.parquet", parquet())
    container.upload_blob("odd.parquet", random_parquet(rows)[:-9])
    with pytest.raises(ReadingsError, match=r"^cannot read az://[^ ]*/odd\.parquet: ") as caught:
        process(container, "*.parquet", azurite.connection_string)
    assert caught.value.is_permanent


def test_a_blob_of_many_batches_is_read_once_for_each_of_them(
    azurite: Any, container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        container.upload_blob(f"{number}.parquet", parquet(float(number)))
    monkeypatch.setattr("shared_code.small_blobs._BATCH", len(parquet()) * 2)
    downloads: list[str] = []
    real = blob_download.downloading

    @contextmanager
    def counted(*place: Any) -> Iterator[Any]:
        with real(*place) as download:

            def read(file: Any, last: int) -> bytes:
                downloads.append(file.path)
                return download(file, last)

            yield read

    monkeypatch.setattr("shared_code.small_blobs.downloading", counted)
    assert process(container, "*.parquet", azurite.connection_string).statistics["a"].mean == 2.0
    assert len(downloads) == len(set(downloads)) == 5


def test_a_blob_that_is_replaced_while_it_is_read_is_read_again(
    azurite: Any, container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.upload_blob("x.parquet", parquet())
    real, left = Source.open, [1]

    def opened(source: Source, *window: Any) -> Any:
        reading = real(source, *window)
        if left[0]:
            left[0] -= 1
            container.upload_blob("x.parquet", parquet(7.0 + left[0]), overwrite=True)
        return reading

    monkeypatch.setattr(Source, "open", opened)
    assert process(container, "*.parquet", azurite.connection_string).statistics["a"].mean == 7.0
    left[0] = 2
    with pytest.raises(ReadingsChanged, match=r"x\.parquet was replaced while it was read"):
        process(container, "*.parquet", azurite.connection_string)
