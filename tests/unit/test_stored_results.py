"""The stored results of a run in a folder of this machine: files of chunks, the manifest, and refused settings."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shared_code.activities import finish_run, prepare_run, run_chunk
from shared_code.contracts import ChunkInput, RunName, RunPlan, RunStart, StoredChunks
from shared_code.results import ChunkError, ChunkFailure, RunEnd
from shared_code.stored_results import ResultsError, open_results
from shared_code.windows import Window
from tests.unit.conftest import START, WriteReadings

STARTED = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=timezone.utc)
RUN = RunName(instance_id="nightly", started=STARTED)
WINDOW = Window(start=START, end=START + timedelta(hours=3))


def chunk_of(chunk_id: int, run: RunName | None = RUN) -> ChunkInput:
    window = WINDOW.part(chunk_id, 3)
    plan = RunPlan(run=run) if run else None
    return ChunkInput(chunk_id=chunk_id, start=window.start, end=window.end, total_chunks=3, time=START, plan=plan)


def end_of(*failed: int, run: RunName = RUN) -> RunEnd:
    failures = [
        ChunkFailure(
            chunk_id=chunk_id,
            start=WINDOW.part(chunk_id, 3).start,
            end=WINDOW.part(chunk_id, 3).end,
            error=ChunkError(type="ReadingsError", message="cannot read x"),
        ).to_json()
        for chunk_id in failed
    ]
    times = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T13:00:00Z"}
    output = {"status": "partial", "total_chunks": 3, **times, "results": failures, "readings": {"location": "x"}}
    return RunEnd(run=run, output=output, records=5)


def folder_of(root: Path, name: str = "nightly") -> Path:
    return root / name / "20260301T100000.123456Z"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"RESULTS": str(tmp_path / "results")}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_a_chunk_is_stored_with_a_row_per_series(
    settings: dict[str, str], results: Path, write_readings: WriteReadings
) -> None:
    location = write_readings([1.0, None, 3.0], series=["b", "a", "b"])

    result = run_chunk(chunk_of(0), {**settings, "READINGS": location})

    rows = pq.ParquetFile(folder_of(results) / "00000.parquet").read().to_pylist()
    a, b = rows
    assert (a["series"], a["count"], a["mean"], a["nulls"]) == ("a", 0, None, 1)
    assert (b["series"], b["count"], b["mean"], b["min"], b["max"]) == ("b", 2, 2.0, 1.0, 3.0)
    assert {name: b[name] for name in ("std", "mean_low", "nulls", "non_finite")} == {
        name: result.statistics["b"].to_json()[name] for name in ("std", "mean_low", "nulls", "non_finite")
    }
    assert {(row["chunk_id"], row["start"], row["end"]) for row in rows} == {(0, START, START + timedelta(hours=1))}


def test_a_chunk_without_readings_is_stored_without_rows(
    settings: dict[str, str], results: Path, write_readings: WriteReadings
) -> None:
    run_chunk(chunk_of(2), {**settings, "READINGS": write_readings([1.0])})

    table = pq.ParquetFile(folder_of(results) / "00002.parquet").read()
    assert (table.num_rows, table.schema.field("start").type.tz) == (0, "UTC")


def test_a_repeated_chunk_replaces_its_file_by_the_same_bytes(settings: dict[str, str], results: Path) -> None:
    run_chunk(chunk_of(0), settings)
    path = folder_of(results) / "00000.parquet"
    first = path.read_bytes()

    run_chunk(chunk_of(0), settings)

    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_manifest_names_all_that_belongs_to_the_run(settings: dict[str, str], results: Path) -> None:
    for chunk_id in range(3):  # the attempt of chunk 1 has written before it failed
        run_chunk(chunk_of(chunk_id), settings)
    assert not (folder_of(results) / "manifest.json").exists()

    stored = finish_run(end_of(1), settings)

    place = f"{results}/nightly/20260301T100000.123456Z"
    assert stored == {"location": place, "manifest": f"{place}/manifest.json", "files": 2, "records": 5}
    manifest = json.loads((folder_of(results) / "manifest.json").read_text("utf-8"))
    assert [(file["name"], file["chunk_id"], file["start"]) for file in manifest["files"]] == [
        ("00000.parquet", 0, "2025-06-17T10:00:00Z"),
        ("00002.parquet", 2, "2025-06-17T12:00:00Z"),
    ]
    assert all(file["bytes"] == (folder_of(results) / file["name"]).stat().st_size for file in manifest["files"])
    assert [(each["chunk_id"], each["error"]["message"]) for each in manifest["failed_chunks"]] == [
        (1, "cannot read x")
    ]
    assert manifest["readings"] == {"location": "x"}
    assert (manifest["version"], manifest["instance_id"], manifest["started"]) == (
        1,
        "nightly",
        "2026-03-01T10:00:00.123456Z",
    )
    assert (manifest["status"], manifest["total_chunks"], manifest["records"]) == ("partial", 3, 5)


def test_without_the_file_of_a_chunk_there_is_no_manifest(settings: dict[str, str], results: Path) -> None:
    run_chunk(chunk_of(0), settings)

    with pytest.raises(ResultsError, match=r"00001\.parquet is missing, although its chunk succeeded"):
        finish_run(end_of(), settings)

    assert not (folder_of(results) / "manifest.json").exists()


def test_a_later_run_with_the_same_instance_id_has_a_folder_of_its_own(settings: dict[str, str], results: Path) -> None:
    later = RunName(instance_id="nightly", started=STARTED + timedelta(microseconds=1))

    for run in (RUN, later):
        run_chunk(chunk_of(0, run), settings)

    assert len(list((results / "nightly").iterdir())) == 2


def test_no_instance_id_leads_out_of_the_folder_or_to_that_of_another(settings: dict[str, str], results: Path) -> None:
    ids = [".", "..", "../x", "a/b", "a\\b", "a:b", "a~3Ab", "a%3Ab", "é", "a.", "a~2E", "a b", "tenant:7~x@1", "*"]

    for instance_id in ids:
        run_chunk(chunk_of(0, RunName(instance_id=instance_id, started=STARTED)), settings)

    names = {path.name for path in results.iterdir()}
    assert len(names) == len(ids)
    assert {path.name for path in results.parent.iterdir()} == {"results"}
    assert not any(set(name) & set('\\/:*?"<>|% ') or name.endswith(".") for name in names)


def test_every_instance_id_is_short_enough_for_a_folder(settings: dict[str, str], results: Path) -> None:
    ids = ["x" * 256, f"{'x' * 255}y", "~" * 256, "x" * 200]

    for instance_id in ids:
        run_chunk(chunk_of(0, RunName(instance_id=instance_id, started=STARTED)), settings)

    names = [path.name for path in results.iterdir()]
    assert len(names) == len(ids)
    assert max(map(len, names)) <= 200
    assert "x" * 200 in names


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ResultsError, match=f"cannot write {tmp_path}/file/nightly/"):
        run_chunk(chunk_of(0), {"RESULTS": str(tmp_path / "file")})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"RESULTS": "az://results/x?sv=1&sig=secret"}, "RESULTS must be without a query; .* RESULTS_CONNECTION names"),
        ({"RESULTS": "az://user:secret@results/x"}, "RESULTS must be az://container/path or a path"),
        ({"RESULTS": "az://results"}, "RESULTS must be az://container/path or a path"),
        ({"RESULTS": "az://results/"}, "RESULTS must be az://container/path or a path"),
        ({"RESULTS": "az://results//"}, "RESULTS must name one folder"),
        ({"RESULTS": "az://results/{yyyy}"}, "RESULTS must name one folder"),
        ({"RESULTS": "az://results/a/../b"}, "RESULTS must name one folder"),
        ({"RESULTS": "results/*"}, "RESULTS must name one folder"),
        (
            {"RESULTS": "az://results/x"},
            "cannot write to az://results/x: the app setting AzureWebJobsStorage is missing",
        ),
        (
            {"RESULTS": "az://results/x", "RESULTS_CONNECTION": "AccountName=a;AccountKey=secret"},
            "RESULTS_CONNECTION must be the name of a setting",
        ),
    ],
)
def test_a_setting_that_is_not_valid_is_named_without_a_secret(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ResultsError, match=reason) as caught:
        open_results(settings)

    assert "secret" not in str(caught.value)


def test_without_the_setting_nothing_is_stored(results: Path) -> None:
    start = RunStart(start=START, end=START + timedelta(hours=1), run=RUN)

    assert open_results({}) is None
    assert prepare_run(start, {}) == RunPlan()
    assert run_chunk(chunk_of(0, None), {}).warnings == []


def test_a_plan_with_stored_results_begins_them(settings: dict[str, str], results: Path) -> None:
    start = RunStart(start=START, end=START + timedelta(hours=1), run=RUN)

    assert prepare_run(start, settings) == prepare_run(start, settings) == RunPlan(run=RUN)
    written = json.loads((folder_of(results) / "run.json").read_text("utf-8"))
    assert RunStart.from_json(written) == start


def test_a_run_without_a_plan_warns_that_its_results_are_not_stored(settings: dict[str, str], results: Path) -> None:
    (warning,) = run_chunk(chunk_of(0, None), settings).warnings

    assert '"prepare": true' in warning
    assert not results.exists()


def test_a_setting_that_is_gone_during_a_run_fails_the_chunk() -> None:
    with pytest.raises(ResultsError, match="the app setting RESULTS is missing, although this run has begun with it"):
        run_chunk(chunk_of(0), {})


def test_the_end_of_a_run_reads_back_from_json() -> None:
    end: Any = json.loads(json.dumps(end_of(1).to_json()))

    assert RunEnd.from_json(end) == end_of(1)


LATER = RunName(instance_id="again", started=STARTED + timedelta(days=1))


def resumed_start(*kept: int) -> RunStart:
    return RunStart(start=WINDOW.start, end=WINDOW.end, run=LATER, kept=StoredChunks(run=RUN, chunk_ids=list(kept)))


def test_a_resumed_run_begins_with_the_files_of_the_chunks_that_it_keeps(
    settings: dict[str, str], results: Path
) -> None:
    for chunk_id in (0, 2):
        run_chunk(chunk_of(chunk_id), settings)
    finish_run(end_of(1), settings)

    prepare_run(resumed_start(0, 2), settings)
    run_chunk(chunk_of(1, LATER), settings)
    stored = finish_run(end_of(run=LATER), settings)

    own = results / "again" / "20260302T100000.123456Z"
    assert stored["files"] == 3
    assert sorted(path.name for path in own.glob("*.parquet")) == ["00000.parquet", "00001.parquet", "00002.parquet"]
    assert (own / "00002.parquet").read_bytes() == (folder_of(results) / "00002.parquet").read_bytes()
    # What others have read of the earlier run stays true.
    assert len(json.loads((folder_of(results) / "manifest.json").read_text("utf-8"))["files"]) == 2
    assert len(list(folder_of(results).glob("*.parquet"))) == 2


def test_a_file_of_the_earlier_run_that_is_missing_is_named(settings: dict[str, str], results: Path) -> None:
    run_chunk(chunk_of(0), settings)

    with pytest.raises(ResultsError, match=f"{folder_of(results)}/00002.parquet of the earlier run is missing"):
        prepare_run(resumed_start(0, 2), settings)
