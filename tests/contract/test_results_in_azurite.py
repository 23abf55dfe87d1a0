"""Stored results in a real blob service: a missing container is created, and whatever fails is named without a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared_code.activities import finish_run, run_chunk
from shared_code.contracts import ChunkInput, RunName, RunPlan
from shared_code.results import RunEnd
from shared_code.stored_results import ResultsError

storage_blob = pytest.importorskip("azure.storage.blob")

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)
RUN = RunName(instance_id="tenant:7~x@1", started=START)
FOLDER = "app/results/tenant~3A7~7Ex@1/20250617T100000.000000Z"
CHUNK = ChunkInput(
    chunk_id=0, start=START, end=START + timedelta(hours=1), total_chunks=1, time=START, plan=RunPlan(run=RUN)
)
OUTPUT = {"total_chunks": 1, "start": "2025-06-17T10:00:00Z", "end": "2025-06-17T11:00:00Z", "results": []}


@pytest.fixture
def container(azurite: Any, hub_name: str) -> Iterator[Any]:
    """A container that does not exist yet."""
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service.get_container_client(hub_name.lower())


def settings_for(container: Any, connection: str) -> dict[str, str]:
    return {
        "RESULTS": f"az://{container.container_name}/app/results/",
        "RESULTS_CONNECTION": "Other",
        "Other": connection,
    }


def test_the_first_chunk_creates_the_container_and_the_manifest_comes_last(azurite: Any, container: Any) -> None:
    settings = settings_for(container, azurite.connection_string)

    for _ in range(2):  # an activity may run again
        run_chunk(CHUNK, settings)
    assert [blob.name for blob in container.list_blobs()] == [f"{FOLDER}/00000.parquet"]
    stored = finish_run(RunEnd(run=RUN, output=OUTPUT, records=3), settings)

    assert stored["location"] == f"az://{container.container_name}/{FOLDER}"
    manifest = json.loads(container.download_blob(f"{FOLDER}/manifest.json").readall())
    (file,) = manifest["files"]
    assert file["bytes"] == len(container.download_blob(f"{FOLDER}/{file['name']}").readall())
    assert container.get_container_properties().public_access is None


def test_a_signature_that_may_not_write_is_named_and_not_shown(azurite: Any, container: Any) -> None:
    container.create_container()
    signature = storage_blob.generate_container_sas(
        container.account_name,
        container.container_name,
        account_key=container.credential.account_key,
        permission=storage_blob.ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    endpoint = container.url.rpartition("/")[0]

    with pytest.raises(ResultsError) as caught:
        run_chunk(CHUNK, settings_for(container, f"BlobEndpoint={endpoint};SharedAccessSignature={signature}"))

    assert str(caught.value).startswith(f"cannot write az://{container.container_name}/{FOLDER}/00000.parquet: ")
    assert "Authorization" in str(caught.value)
    assert "sig=" not in str(caught.value)


def test_a_signature_for_the_container_alone_is_enough(azurite: Any, container: Any) -> None:
    container.create_container()
    signature = storage_blob.generate_container_sas(
        container.account_name,
        container.container_name,
        account_key=container.credential.account_key,
        permission=storage_blob.ContainerSasPermissions(write=True, create=True, list=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    endpoint = container.url.rpartition("/")[0]
    settings = settings_for(container, f"BlobEndpoint={endpoint};SharedAccessSignature={signature}")

    run_chunk(CHUNK, settings)

    assert finish_run(RunEnd(run=RUN, output=OUTPUT, records=3), settings)["files"] == 1


def test_an_account_that_cannot_be_reached_is_named(container: Any) -> None:
    connection = "AccountName=acct;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/acct"

    with pytest.raises(ResultsError, match=r"cannot write az://.*: the storage service cannot be reached") as caught:
        run_chunk(CHUNK, settings_for(container, connection))

    assert "c2VjcmV0" not in str(caught.value)
