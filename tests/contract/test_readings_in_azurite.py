"""Readings in a real blob service: a chunk's window is read from the account, and missing blobs are named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source
from shared_code.results import ChunkResult

storage_blob = pytest.importorskip("azure.storage.blob")

SAMPLE = Path(__file__).parents[2] / "sample_data" / "nyc_weather_2013.parquet"
JANUARY = datetime(2013, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def container(azurite: Any, hub_name: str) -> Iterator[Any]:
    """A container of the test's own, holding the sample data twice: once whole, once with a corrupt middle."""
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        client = service.create_container(hub_name.lower())
        content = bytearray(SAMPLE.read_bytes())
        client.upload_blob("good/nyc.parquet", bytes(content))
        middle = len(content) // 2
        content[middle : middle + 4_000] = bytes(range(250)) * 16
        client.upload_blob("bad/nyc.parquet", bytes(content))
        yield client


def process(location: str, connection_string: str, *, start: datetime = JANUARY, days: int = 90) -> ChunkResult:
    chunk = ChunkInput(chunk_id=0, start=start, end=start + timedelta(days=days), total_chunks=1, time=start)
    return process_chunk(chunk, open_source({"READINGS": location, "AzureWebJobsStorage": connection_string}))


def test_a_window_of_a_blob_is_the_window_of_the_file(azurite: Any, container: Any) -> None:
    remote = process(f"az://{container.container_name}/good/*.parquet", azurite.connection_string)
    local = process(str(SAMPLE), "")

    assert remote.records == local.records > 50_000
    assert remote.statistics.keys() == local.statistics.keys()
    assert {name: one.count for name, one in remote.statistics.items()} == {
        name: one.count for name, one in local.statistics.items()
    }


def test_a_shared_access_signature_reads_as_well(azurite: Any, container: Any) -> None:
    signature = storage_blob.generate_container_sas(
        container.account_name,
        container.container_name,
        account_key=container.credential.account_key,
        permission=storage_blob.ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    endpoint = container.url.rpartition("/")[0]

    result = process(
        f"az://{container.container_name}/good/*.parquet",
        f"BlobEndpoint={endpoint};SharedAccessSignature={signature}",
    )

    assert result.records > 50_000


def test_corrupt_pages_fail_only_the_chunks_that_need_them(azurite: Any, container: Any) -> None:
    """So row groups outside the window are not fetched."""
    location = f"az://{container.container_name}/bad/nyc.parquet"

    assert process(location, azurite.connection_string, days=30).records > 0
    with pytest.raises(ReadingsError, match=f"cannot read {location}: "):
        process(location, azurite.connection_string, days=360)


def test_a_missing_container_or_blob_is_named(azurite: Any, container: Any) -> None:
    missing = f"az://{container.container_name}/none"
    for location in ("az://nocontainer/*.parquet", f"{missing}.parquet", f"{missing}/*.parquet"):
        with pytest.raises(ReadingsError) as caught:
            process(location, azurite.connection_string)
        assert str(caught.value).startswith(f"cannot read {location}: ")
