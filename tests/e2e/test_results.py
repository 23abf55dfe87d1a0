"""Stored results of a run on a real host: written to a blob container, and read by the script of examples/."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

pytest.importorskip("azure.storage.blob")

from azure.storage.blob import BlobServiceClient

from durablehost.emulator.azurite import Azurite
from examples.read_results import opened, per_series, read_results
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.e2e.orchestration import start_run
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults import hosts
from packages.durablehost.tests.faults.proxy import Hold, proxy_in_thread
from packages.durablehost.tests.faults.storage_call import StorageCall
from tests.e2e import expected

START, END = "2025-06-17T10:00:00Z", "2025-06-17T14:00:00Z"
REQUEST: dict[str, Any] = {"start": START, "end": END, "total_chunks": 4}


@pytest.fixture
def place(azurite: Azurite) -> Iterator[str]:
    """A prefix in a container that does not exist yet."""
    container = f"results-{uuid.uuid4().hex[:12]}"
    yield f"az://{container}/app"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.delete_container(container)


def show(location: str, connection_string: str = "") -> str:
    """The output of the example script."""
    return subprocess.run(
        [sys.executable, CHECKOUT / "examples" / "read_results.py", location],
        env={**os.environ, "AzureWebJobsStorage": connection_string, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def test_the_results_of_each_run_are_complete_in_a_place_of_their_own(
    running_host: RunningHost, azurite: Azurite, place: str
) -> None:
    with running_host(CHECKOUT, environment={"RESULTS": place}) as host:
        # The same id again, then more chunks than the output lists.
        runs = [start_run(host.url, {**REQUEST, "instance_id": "nightly"})]
        outputs = [runs[0].output()]
        for chunks in (4, 120):
            run = start_run(host.url, {**REQUEST, "instance_id": "nightly", "total_chunks": chunks})
            outputs.append(run.output())

    places = [output["stored"]["location"] for output in outputs]
    assert all(each.startswith(f"{place}/nightly/") for each in places)
    assert len(set(places)) == 3
    assert [len(output["results"]) for output in outputs] == [4, 4, 0]
    assert [output["stored"]["files"] for output in outputs] == [4, 4, 120]
    whole = expected.summary(expected.synthetic(START, END))
    for output in outputs:
        with opened(output["stored"]["location"], azurite.connection_string) as read:
            manifest, rows = read_results(read)
        assert manifest["summary"] == output["summary"] == whole
        assert (manifest["records"], manifest["failed_chunks"]) == (3 * 4 * 3600, [])
        for row in per_series(rows).to_dicts():
            of_series = output["summary"][row.pop("series")]
            assert row == {**{name: of_series[name] for name in row}, "mean": pytest.approx(of_series["mean"])}
    shown = show(places[0], azurite.connection_string)
    assert shown.startswith(f"completed: {START} to {END}, 43,200 records\n")
    assert "humidity" in shown


def test_the_results_in_a_folder_are_read_by_the_same_script(running_host: RunningHost, tmp_path: Path) -> None:
    with running_host(CHECKOUT, environment={"RESULTS": str(tmp_path)}) as host:
        output = start_run(host.url, REQUEST).output()

    shown = show(output["stored"]["location"])

    assert shown.startswith(f"completed: {START} to {END}, 43,200 records\n")
    assert len(list(tmp_path.glob("*/*/*.parquet"))) == 4


def test_a_place_that_cannot_be_written_fails_the_run_by_name(running_host: RunningHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with running_host(CHECKOUT, environment={"RESULTS": str(tmp_path / "file")}) as host:
        failure = start_run(host.url, REQUEST).failure()

    assert f"the run could not begin: ResultsError: cannot write {tmp_path}/file/" in failure


def test_the_results_of_a_run_whose_host_is_killed_are_complete(running_host: RunningHost, tmp_path: Path) -> None:
    settings = {**hosts.SETTINGS, "RESULTS": str(tmp_path / "results")}
    with running_host(CHECKOUT, environment=settings) as host:
        port, run = host.port, hosts.begin_run(host, 100)
        run.wait_for_chunks(5)
        host.kill()
    with running_host(CHECKOUT, environment=settings, port=port):
        run.assert_exact()
        output = run.orchestration.output()

    with opened(output["stored"]["location"], "") as read:
        manifest, rows = read_results(read)
    assert [file["chunk_id"] for file in manifest["files"]] == list(range(100))
    assert rows["count"].sum() == manifest["records"] == sum(result["records"] for result in output["results"])
    # One folder, and in it nothing but the files of the manifest; a write that was cut off leaves a hidden file.
    (folder,) = (tmp_path / "results").glob("*/*")
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "run.json",
        "manifest.json",
        *(file["name"] for file in manifest["files"]),
    }


def test_a_resumed_run_whose_host_is_killed_while_it_copies_results_is_complete(
    running_host: RunningHost, azurite: Azurite, place: str
) -> None:
    chunks: list[str] = []
    written: list[str] = []
    is_copying, terminated, never = Event(), asyncio.Event(), asyncio.Event()

    def watch(call: StorageCall) -> Hold | None:
        """Holds chunks of the earlier run until it is terminated, and the tenth copy until the host is dead."""
        name = call.path.partition("?")[0].rpartition("/")[2]
        if call.method == "PUT" and "/app/earlier/" in call.path:
            chunks.append(name)
            return Hold(terminated) if len(chunks) > 20 else None
        if call.method == "PUT" and "/app/resumed/" in call.path:
            written.append(name)
            if len(written) > 10 and not is_killed:
                is_copying.set()
                return Hold(never)
        return None

    is_killed = False
    with proxy_in_thread(azurite.ports) as proxy:
        proxy.rule = watch
        connection = {"RESULTS_CONNECTION": "Results", "Results": proxy.connection_string}
        settings = {**hosts.SETTINGS, "RESULTS": place, **connection}
        with running_host(CHECKOUT, environment=settings) as host:
            earlier = hosts.begin_run(host, 40, instance_id="earlier")
            earlier.wait_for_chunks(15)
            earlier.orchestration.terminate("not needed")
            assert earlier.orchestration.end()["runtimeStatus"] == "Terminated"
            proxy.release(terminated)
            run = hosts.resume_run(host, earlier, instance_id="resumed")
            eventually_blocking(is_copying.is_set, timeout_seconds=hosts.TIMEOUT_SECONDS)
            port = host.port
            host.kill()
            is_killed = True
        copied = len(written)
        with running_host(CHECKOUT, environment=settings, port=port):
            run.assert_exact()
            output = run.orchestration.output()

    assert written.count("manifest.json") == 1
    assert written[-1] == "manifest.json"
    assert len(written) > copied
    with opened(output["stored"]["location"], azurite.connection_string) as read:
        manifest, rows = read_results(read)
    assert [file["chunk_id"] for file in manifest["files"]] == list(range(40))
    assert rows["count"].sum() == manifest["records"] == sum(result["records"] for result in output["results"])


def test_a_resumed_run_has_complete_results_of_its_own(
    running_host: RunningHost, azurite: Azurite, place: str, tmp_path: Path
) -> None:
    day = tmp_path / "readings" / "2025-06-18.parquet"
    day.parent.mkdir()
    for date in ("2025-06-17", "2025-06-18"):
        readings = expected.synthetic(f"{date}T00:00:00Z", f"{date}T01:00:00Z").collect()
        readings.write_parquet(day.with_name(f"{date}.parquet"))
    whole = day.read_bytes()
    day.write_bytes(b"not Parquet")
    settings = {"READINGS": f"{day.parent}/{{yyyy}}-{{MM}}-{{dd}}.parquet", "RESULTS": place}
    request = {"start": "2025-06-17T00:00:00Z", "end": "2025-06-19T00:00:00Z", "total_chunks": 2}
    with running_host(CHECKOUT, environment=settings) as host:
        earlier = start_run(host.url, request)
        partial = earlier.output()
        day.write_bytes(whole)
        output = start_run(host.url, {"resume_of": earlier.id, "allow_changed_readings": True}).output()

    assert (partial["status"], partial["stored"]["files"]) == ("partial", 1)
    assert (output["status"], output["stored"]["files"], output["stored"]["records"]) == ("completed", 2, 21_600)
    with opened(output["stored"]["location"], azurite.connection_string) as read:
        manifest, rows = read_results(read)
    assert (manifest["resume_of"], manifest["failed_chunks"], rows.height) == (earlier.id, [], 6)
    with opened(partial["stored"]["location"], azurite.connection_string) as read:
        assert read_results(read)[1].height == 3
