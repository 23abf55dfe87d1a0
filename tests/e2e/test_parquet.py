"""Real Parquet in a real blob service: results against Polars, files that are corrupt, containers that are missing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from durablehost.emulator.azurite import HOST, Azurite, Ports
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import CHECKOUT, call, environment_of
from packages.durablehost.tests.e2e.orchestration import start_run
from tests.e2e import expected

storage_blob = pytest.importorskip("azure.storage.blob")

SAMPLE = CHECKOUT / "sample_data" / "nyc_weather_2013.parquet"
START, FEBRUARY, MARCH, END = (f"2013-0{month}-01T00:00:00Z" for month in (1, 2, 3, 4))
CHUNKS = 12
REQUEST = {"start": START, "end": END, "total_chunks": CHUNKS}


def sample(start: str = START, end: str = END) -> pl.LazyFrame:
    at = pl.col("timestamp")
    inside = (at >= expected.moment(start)) & (at < expected.moment(end))
    return pl.read_parquet(SAMPLE).lazy().filter(inside)


def records(start: str, end: str) -> int:
    return int(sample(start, end).select(pl.len()).collect().item())


@pytest.fixture(scope="module")
def account(azurite: Azurite) -> Iterator[Any]:
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service


def new_container(account: Any) -> Any:
    return account.create_container(f"readings-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def sample_url(shared_host: RunningHost, account: Any) -> Iterator[str]:
    """A host that reads the sample data from a blob."""
    container = new_container(account)
    container.upload_blob(SAMPLE.name, SAMPLE.read_bytes())
    with shared_host(CHECKOUT, environment=reading(container.container_name)) as host:
        yield host.url


def reading(container_name: str) -> dict[str, str]:
    return {"READINGS": f"az://{container_name}/*.parquet"}


def corrupted(parquet: bytes) -> bytes:
    """Every page overwritten; the footer is whole, so the schema and the statistics are those of a good file."""
    footer_at = len(parquet) - 8 - int.from_bytes(parquet[-8:-4], "little")
    return parquet[:4] + b"\xff" * (footer_at - 4) + parquet[footer_at:]


@pytest.fixture
def months(account: Any) -> Any:
    """A container with a file for each of three months; that of February is corrupt."""
    container = new_container(account)
    bounds = [START, FEBRUARY, MARCH, END]
    for start, end in pairwise(bounds):
        content = BytesIO()
        sample(start, end).collect().write_parquet(content)
        parquet = content.getvalue()
        container.upload_blob(f"{start[:7]}.parquet", corrupted(parquet) if start == FEBRUARY else parquet)
    return container


def assert_is_the_sample(output: Any) -> None:
    """Asserts that the output equals the result of Polars over the whole window."""
    windows = expected.windows(START, END, CHUNKS)
    assert (output["status"], output["succeeded"], output["failed"]) == ("completed", CHUNKS, 0)
    assert [(result["start"], result["end"]) for result in output["results"]] == windows
    assert [result["records"] for result in output["results"]] == [records(*window) for window in windows]
    assert output["summary"] == expected.summary(sample())


def test_a_run_over_a_blob_equals_the_result_of_polars(sample_url: str) -> None:
    assert_is_the_sample(start_run(sample_url, REQUEST).output())


def test_a_window_without_rows_is_a_success_with_no_records(sample_url: str) -> None:
    request = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z", "total_chunks": 2}
    output = start_run(sample_url, request).output()
    assert [result["records"] for result in output["results"]] == [0, 0]
    assert (output["status"], output["summary"]) == ("completed", {})


def test_only_chunks_that_need_a_corrupt_file_fail(running_host: RunningHost, months: Any) -> None:
    windows = expected.windows(START, END, CHUNKS)
    good = [id for id, (start, end) in enumerate(windows) if end <= FEBRUARY or start >= MARCH]
    bad = [id for id in range(CHUNKS) if id not in good]
    assert good
    assert bad
    with running_host(CHECKOUT, environment=reading(months.container_name)) as host:
        partial = start_run(host.url, REQUEST)
        limited = start_run(host.url, {**REQUEST, "max_failed_chunks": len(bad) - 1})
        hopeless = start_run(host.url, {**REQUEST, "start": FEBRUARY, "end": MARCH, "total_chunks": 4})

        output = partial.output()
        assert (output["status"], output["succeeded"], output["failed"]) == ("partial", len(good), len(bad))
        assert [result["chunk_id"] for result in output["results"]] == list(range(CHUNKS))
        failures = [result for result in output["results"] if result["status"] == "failed"]
        assert [failure["chunk_id"] for failure in failures] == bad
        for failure in failures:
            assert failure.keys() == {"chunk_id", "status", "start", "end", "error"}
            assert (failure["start"], failure["end"]) == windows[failure["chunk_id"]]
            assert failure["error"]["type"] == "ReadingsError"
            assert f"az://{months.container_name}/2013-02.parquet" in failure["error"]["message"]
        # A damaged page stays damaged, so there was one attempt each.
        events = partial.status(showHistory="true")["historyEvents"]
        assert sum(event["EventType"] == "TaskFailed" for event in events) == len(bad)
        kept = pl.concat([sample(*windows[id]) for id in good])
        assert output["summary"] == expected.summary(kept)
        assert (output["readings"]["location"], output["readings"]["files"]) == (
            f"az://{months.container_name}/*.parquet",
            3,
        )
        assert [result["records"] for result in output["results"] if result["status"] == "success"] == [
            records(*windows[id]) for id in good
        ]

        too_many = limited.failure()
        named = f"{bad[0]}-{bad[-1]}"
        assert f"{len(bad)} of {CHUNKS} chunks failed (max_failed_chunks is {len(bad) - 1})" in too_many
        assert f"chunk {named}: ReadingsError: cannot read az://{months.container_name}/2013-02.parquet" in too_many
        assert "4 of 4 chunks failed: chunk 0-3: ReadingsError: cannot read az://" in hopeless.failure()


def test_a_partial_or_failed_run_is_resumed_when_the_file_is_mended(running_host: RunningHost, months: Any) -> None:
    with running_host(CHECKOUT, environment=reading(months.container_name)) as host:
        partial = start_run(host.url, REQUEST)
        failed = start_run(host.url, {**REQUEST, "max_failed_chunks": 0})
        assert partial.output()["status"] == "partial"
        failed.failure()
        content = BytesIO()
        sample(FEBRUARY, MARCH).collect().write_parquet(content)
        months.upload_blob("2013-02.parquet", content.getvalue(), overwrite=True)

        strict = start_run(host.url, {"resume_of": partial.id})
        runs = [
            start_run(host.url, {"resume_of": earlier.id, "allow_changed_readings": True})
            for earlier in (partial, failed)
        ]

        for run, earlier in zip(runs, (partial, failed), strict=True):
            output = run.output()
            assert_is_the_sample(output)
            assert output["resume_of"] == earlier.id
            events = run.status(showHistory="true")["historyEvents"]
            processed = [event for event in events if event.get("FunctionName") == "process_chunk_activity"]
            assert len(processed) == partial.output()["failed"]
        assert "ReadingsChanged" in strict.failure()
        again = call("POST", f"{host.url}/api/starter_function", {"resume_of": runs[0].id})
        assert again.status == 400
        assert "all succeeded" in again.document["error"]["details"][0]["message"]


def test_a_missing_container_is_named(running_host: RunningHost) -> None:
    with running_host(CHECKOUT, environment=reading("nothing-here")) as host:
        run = start_run(host.url, {**REQUEST, "total_chunks": 2})
        chunk = {"chunk_id": 0, "start": START, "end": FEBRUARY, "total_chunks": 1, "time": START}
        answer = call("POST", f"{host.url}/api/test_activity_function", chunk)
        assert answer.status == 500
        assert "az://nothing-here/*.parquet" in answer.document["error"]["message"]
        assert "the run could not begin: ReadingsError: cannot read az://nothing-here/*.parquet" in run.failure()


@contextmanager
def usual_ports_taken() -> Iterator[None]:
    """Runs the demonstration on free ports, to avoid conflicts with other programs on this machine."""
    with ExitStack() as stack:
        for port in (Ports().blob, 7071):
            taken = stack.enter_context(socket.socket())
            with suppress(OSError):  # the port is in use already, which is just as good
                taken.bind((HOST, port))
                taken.listen()
        yield


@pytest.mark.azurite
def test_the_demonstration_prints_the_output_alone(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--base-url"):
        pytest.skip("starts a host of its own")
    with usual_ports_taken():
        done = subprocess.run(
            [sys.executable, "-m", "demo", "--json"],
            env=environment_of(None, None, {}),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert_is_the_sample(json.loads(done.stdout))
