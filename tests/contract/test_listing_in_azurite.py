"""The listing of a run in a real blob service: made once, kept for later runs, and compared with the present files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shared_code import files, listing_store, readings
from shared_code.activities import prepare_run, run_chunk
from shared_code.contracts import ChunkInput, RunName, RunPlan, RunStart
from shared_code.formats import read_contents
from shared_code.listing_store import open_listings
from shared_code.reading_errors import ReadingsChanged, ReadingsError
from shared_code.readings import open_source
from shared_code.results import ChunkResult

storage_blob = pytest.importorskip("azure.storage.blob")

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
RUN = RunName(instance_id="nightly", started=START)


def parquet(value: float = 1.0, *, hour: int = 0) -> bytes:
    content = BytesIO()
    pl.DataFrame({"timestamp": [START + hour * HOUR], "series": ["a"], "value": [value]}).write_parquet(content)
    return content.getvalue()


@pytest.fixture
def container(azurite: Any, hub_name: str) -> Iterator[Any]:
    """Two files, of the first and the second hour."""
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        client = service.create_container(hub_name.lower())
        for hour in range(2):
            client.upload_blob(f"{hour}.parquet", parquet(hour=hour))
        yield client


@pytest.fixture
def settings(azurite: Any, container: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(listing_store, "_in_memory", {})
    location = f"az://{container.container_name}/*.parquet"
    return {"READINGS": location, "AzureWebJobsStorage": azurite.connection_string}


def plan_of(settings: dict[str, str], hours: int = 2) -> RunPlan:
    return prepare_run(RunStart(start=START, end=START + hours * HOUR, run=RUN), settings)


def run(settings: dict[str, str], plan: RunPlan, *, hour: int = 0, **more: Any) -> ChunkResult:
    more |= {"start": START + hour * HOUR, "end": START + (hour + 1) * HOUR}
    return run_chunk(ChunkInput(chunk_id=0, total_chunks=1, time=START, plan=plan, **more), settings)


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes functions of the readings fail."""

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("not needed")

    for name in names:
        monkeypatch.setattr(readings, name, fail)


def test_chunks_neither_list_nor_look_into_files(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(settings)
    forbid(monkeypatch, "list_files", "read_contents")

    results = [run(settings, plan, hour=hour) for hour in range(3)]

    assert [result.records for result in results] == [1, 1, 0]
    assert {(seen.files, seen.version) for result in results if (seen := result.readings)} == {(2, plan.listing)}


def test_a_later_run_looks_into_new_files_only(
    settings: dict[str, str], container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan_of(settings)
    monkeypatch.setattr(readings, "_contents_kept", {})  # as in another process
    looked_into: list[str] = []
    real = read_contents

    def read(file: Any, *more: Any) -> Any:
        looked_into.append(file.path)
        return real(file, *more)

    monkeypatch.setattr(readings, "read_contents", read)
    assert plan_of(settings) == first
    container.upload_blob("2.parquet", parquet(hour=2))
    later = plan_of(settings)

    assert looked_into == [f"az://{container.container_name}/2.parquet"]
    assert later != first
    assert [run(settings, plan, hour=2).records for plan in (first, later)] == [0, 1]


@pytest.mark.parametrize("most_looked_up", [0, 100])
def test_a_file_that_changes_during_a_run_fails_the_chunks_that_need_it(
    settings: dict[str, str], container: Any, monkeypatch: pytest.MonkeyPatch, most_looked_up: int
) -> None:
    """Replaced or removed; looked up by name, or in a listing if there are many."""
    monkeypatch.setattr(files, "_MOST_LOOKED_UP", most_looked_up)
    plan = plan_of(settings)
    container.upload_blob("0.parquet", parquet(7.0), overwrite=True)
    container.upload_blob("new.parquet", parquet(hour=1))

    with pytest.raises(ReadingsChanged, match=r"/0\.parquet was replaced or removed after the run began"):
        run(settings, plan)
    assert run(settings, plan, hour=1).records == 1  # without the new file
    allowed = run(settings, plan, allow_changed_readings=True)
    assert allowed.statistics["a"].mean == 7.0
    (warning,) = allowed.warnings
    assert warning.endswith("/0.parquet was replaced or removed after the run began")

    container.delete_blob("1.parquet")
    with pytest.raises(ReadingsChanged, match=r"/1\.parquet was replaced or removed after the run began"):
        run(settings, plan, hour=1)
    assert run(settings, plan, hour=1, allow_changed_readings=True).records == 1  # of the new file


def test_a_file_that_cannot_be_read_fails_the_chunks_that_may_need_it(settings: dict[str, str], container: Any) -> None:
    settings["READINGS"] = f"az://{container.container_name}/{{yyyy}}/{{MM}}/{{dd}}/*.parquet"
    container.upload_blob("2025/06/17/x.parquet", parquet())
    container.upload_blob("2025/06/18/x.parquet", b"not Parquet")
    plan = plan_of(settings, 24)

    assert run(settings, plan).records == 1
    with pytest.raises(ReadingsError, match=r"cannot read az://.*/2025/06/18/x\.parquet"):
        run(settings, plan, hour=14)


def test_empty_files_are_warnings_as_without_a_listing(settings: dict[str, str], container: Any) -> None:
    container.upload_blob("empty.parquet", b"")

    (warning,) = run(settings, plan_of(settings)).warnings

    assert warning == f"az://{container.container_name}/empty.parquet is empty (0 bytes)"


def test_local_files_are_recorded_as_well(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet())
    settings["READINGS"] = str(tmp_path)
    plan = plan_of(settings)

    assert run(settings, plan).records == 1
    other = tmp_path / "other"
    other.write_bytes(parquet(7.0))
    other.replace(path)
    with pytest.raises(ReadingsChanged, match=r"x\.parquet was replaced or removed"):
        run(settings, plan)


def test_a_location_that_cannot_be_listed_is_named(settings: dict[str, str]) -> None:
    settings["READINGS"] = "az://nothing-here/*.parquet"

    with pytest.raises(ReadingsError, match=r"cannot read az://nothing-here/\*\.parquet: there is no such file"):
        plan_of(settings)


def test_a_listing_that_is_gone_is_named(settings: dict[str, str], container: Any) -> None:
    plan = plan_of(settings)
    listing_store._in_memory.clear()
    open_listings(open_source(settings), settings).folder.forget(unchanged_for=timedelta(days=-1))

    with pytest.raises(ReadingsError, match=rf"the files of az://{container.container_name}/.* has recorded is gone"):
        run(settings, plan)


def test_only_listings_that_were_not_written_for_long_are_forgotten(settings: dict[str, str]) -> None:
    plan = plan_of(settings)
    listing_store._in_memory.clear()
    open_listings(open_source(settings), settings).folder.forget(unchanged_for=timedelta(days=1))

    assert run(settings, plan).records == 1


def test_other_settings_of_the_columns_have_listings_of_their_own(settings: dict[str, str]) -> None:
    plan = plan_of(settings)

    with pytest.raises(ReadingsError, match="has recorded is gone; if settings of the readings have changed"):
        run({**settings, "READINGS_WIDE": "true"}, plan)
