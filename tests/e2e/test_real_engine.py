"""The app on the real engine, the one that runs in Azure: its options, its progress and its resumed runs.

The engine runs no HTTP functions. So the tests do what `starter_function` does, with a client of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from azure.storage.blob import BlobServiceClient

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.host_process import CHECKOUT, call
from packages.durablehost.tests.e2e.orchestration import FINISHED, MANAGEMENT
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.proxy import Refuse, proxy_in_thread
from packages.durablehost.tests.interop.engine import VARIABLE, RealEngine
from shared_code.contracts import read_request
from shared_code.durable import Client
from shared_code.fan_out import MAX_ATTEMPTS
from shared_code.starting import start_run
from tests.e2e import expected

START, END, LATER = "2025-06-17T00:00:00Z", "2025-06-18T00:00:00Z", "2025-06-19T00:00:00Z"
REQUEST = {"start": START, "end": END, "total_chunks": 12}
TIMEOUT_SECONDS = 300


class EngineClient:
    """What the SDK's client asks of the extension, over its public API."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}{MANAGEMENT}"

    async def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
    ) -> Any:
        shown = f"showHistory={show_history}&showHistoryOutput={show_history_output}&showInput={show_input}"
        answer = call("GET", f"{self._url}/instances/{quote(instance_id)}?code=test&{shown}")
        return DurableOrchestrationStatus.from_json(answer.document if answer.body else "")

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any | None = None
    ) -> str:
        # The SDK's client encodes twice as well.
        body = json.dumps(json.dumps(client_input)).encode()
        answer = call("POST", f"{self._url}/orchestrators/{orchestration_function_name}?code=test", body)
        return str(answer.document["id"])

    def terminate(self, instance_id: str) -> None:
        assert call("POST", f"{self._url}/instances/{instance_id}/terminate?code=test&reason=enough").status == 202


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the readings of two days are, each in a folder of its own; the second file is no Parquet file."""
    for day in ("17", "18"):
        (tmp_path / "2025" / "06" / day).mkdir(parents=True)
    monkeypatch.setenv("READINGS", str(tmp_path / "{yyyy}" / "{MM}" / "{dd}" / "*.parquet"))
    expected.synthetic(START, END).collect().write_parquet(tmp_path / "2025" / "06" / "17" / "a.parquet")
    (tmp_path / "2025" / "06" / "18" / "a.parquet").write_bytes(b"no Parquet")
    return tmp_path / "2025" / "06"


@pytest.fixture
def unavailable(azurite: Azurite, hub_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Readings of two days in blobs; the storage answers every request for the second one with 503."""
    container = hub_name.lower()
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        client = service.create_container(container)
        for day, (start, end) in {"17": (START, END), "18": (END, LATER)}.items():
            content = BytesIO()
            expected.synthetic(start, end).collect().write_parquet(content)
            client.upload_blob(f"2025/06/{day}/a.parquet", content.getvalue())
    with proxy_in_thread(azurite.ports) as proxy:
        proxy.rule = lambda call: Refuse(status=503) if "/2025/06/18/" in call.path else None
        monkeypatch.setenv("READINGS", f"az://{container}/{{yyyy}}/{{MM}}/{{dd}}/*.parquet")
        monkeypatch.setenv("READINGS_CONNECTION", "Readings")
        monkeypatch.setenv("Readings", proxy.connection_string)
        yield


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs store their results."""
    monkeypatch.setenv("RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def client(azurite: Azurite, hub_name: str, tmp_path: Path) -> Iterator[EngineClient]:
    engine_folder = os.environ.get(VARIABLE)
    if not engine_folder:
        pytest.skip(f"{VARIABLE} names no folder with the real engine")
    with RealEngine(
        Path(engine_folder).resolve(),
        CHECKOUT,
        hub_name=hub_name,
        connection_string=azurite.connection_string,
        log_file=tmp_path / "engine.log",
    ) as engine:
        yield EngineClient(engine.url)


async def started(client: EngineClient, request: dict[str, object], settings: Mapping[str, str] | None = None) -> str:
    return await start_run(cast(Client, client), read_request(request), settings or {})


async def end(client: EngineClient, instance_id: str) -> Any:
    async def finished() -> Any:
        status = await client.get_status(instance_id, show_input=True)
        assert status.runtime_status.name in FINISHED
        return status

    return await eventually(finished, timeout_seconds=TIMEOUT_SECONDS)


async def failures(client: EngineClient, instance_id: str) -> int:
    """How many attempts have failed."""
    status = await client.get_status(instance_id, show_history=True)
    return sum(event["EventType"] == "TaskFailed" for event in status.historyEvents)


def assert_is_whole(output: Any, chunks: int, end: str = END) -> None:
    assert (output["status"], output["succeeded"], output["failed"]) == ("completed", chunks, 0)
    assert [result["chunk_id"] for result in output["results"]] == list(range(chunks))
    assert output["summary"] == expected.summary(expected.synthetic(START, end))


async def test_limits_and_progress(client: EngineClient) -> None:
    request = {**REQUEST, "max_parallel": 3, "chunk_timeout": 3_600}

    status = await end(client, await started(client, request))

    assert_is_whole(status.output, 12)
    shown = status.custom_status
    assert (shown["phase"], shown["chunks_done"], shown["chunks_failed"]) == ("completed", 12, 0)
    assert (shown["records"], shown["estimated_end"] is None) == (3 * 86_400, False)


async def test_a_chunk_that_takes_too_long(client: EngineClient) -> None:
    year = {"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z", "total_chunks": 1}

    status = await end(client, await started(client, {**year, "chunk_timeout": 0.01}))

    assert "1 of 1 chunks failed: chunk 0: ChunkTimeout: not done within 0.01 seconds" in status.output


@pytest.mark.parametrize("options", [
    pytest.param({}, marks=pytest.mark.soak),
    pytest.param({"max_parallel": 3}, marks=pytest.mark.soak),
    {"max_parallel": 3, "chunk_timeout": 3_600},
])  # fmt: skip
async def test_chunks_that_are_tried_again_do_not_disturb_the_others(
    unavailable: None, results: Path, client: EngineClient, options: dict[str, object]
) -> None:
    request = {**REQUEST, "end": LATER, **options}

    run = await started(client, request, os.environ)
    output = (await end(client, run)).output

    assert await failures(client, run) == 6 * MAX_ATTEMPTS
    assert (output["status"], output["succeeded"], output["failed"]) == ("partial", 6, 6)
    assert [result["chunk_id"] for result in output["results"]] == list(range(12))
    assert {result["error"]["type"] for result in output["results"][6:]} == {"ReadingsError"}
    assert output["summary"] == expected.summary(expected.synthetic(START, END))
    assert output["stored"]["records"] == 3 * 86_400
    assert output["stored"]["location"].startswith(str(results))


async def test_chunks_with_a_permanent_error_are_tried_once(folder: Path, client: EngineClient) -> None:
    run = await started(client, {**REQUEST, "end": LATER}, os.environ)
    output = (await end(client, run)).output

    assert await failures(client, run) == 6
    errors = [result["error"] for result in output["results"][6:]]
    assert all(error["message"].startswith(f"cannot read {folder}/18/a.parquet: ") for error in errors)
    assert output["summary"] == expected.summary(expected.synthetic(START, END))


async def test_a_terminated_run_is_resumed(client: EngineClient) -> None:
    earlier = await started(client, {**REQUEST, "total_chunks": 300, "max_parallel": 100})

    async def has_a_group() -> bool:
        return bool(((await client.get_status(earlier)).custom_status or {}).get("chunks_done", 0) >= 100)

    await eventually(has_a_group, timeout_seconds=TIMEOUT_SECONDS)
    client.terminate(earlier)
    assert (await end(client, earlier)).runtime_status.name == "Terminated"

    status = await end(client, await started(client, {"resume_of": earlier}))

    assert_is_whole(status.output, 300)
    assert status.output["resume_of"] == earlier
    assert len(json.loads(status.input_)["kept"]["results"]) >= 100


async def test_failed_chunks_are_processed_again_when_the_file_is_mended(folder: Path, client: EngineClient) -> None:
    earlier = await started(client, {**REQUEST, "end": LATER, "max_failed_chunks": 5})
    failed = await end(client, earlier)
    assert failed.runtime_status.name == "Failed"
    assert "6 of 12 chunks failed" in failed.output
    expected.synthetic(END, LATER).collect().write_parquet(folder / "18" / "a.parquet")

    status = await end(client, await started(client, {"resume_of": earlier}, os.environ))

    assert_is_whole(status.output, 12, LATER)
    assert len(json.loads(status.input_)["kept"]["results"]) == 6
