"""Only the app settings decide where readings come from: no field of a request changes the location."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import cycle
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

import polars as pl
from azure.storage.blob import BlobServiceClient

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.host_process import Answer, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.hostile.conftest import Target
from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source

# The series that only the forbidden readings have.
CANARY = "canary"
SPAN = {"start": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:00:03Z"}
RUN: dict[str, Any] = {**SPAN, "total_chunks": 1, "time": SPAN["start"], "max_failed_chunks": 0}
CHUNK: dict[str, Any] = {**SPAN, "chunk_id": 0, "total_chunks": 1, "time": SPAN["start"]}
NAMES = (
    "READINGS",
    "readings",
    "READINGS_CONNECTION",
    "RESULTS",
    "prepare",
    "plan",
    "source",
    "location",
    "path",
    "url",
    "connection",
    "settings",
)


@pytest.fixture(scope="module")
def places(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Readings that a request could name: a file, the same as a URL, a blob."""
    file = tmp_path_factory.mktemp("readings") / "canary.parquet"
    pl.DataFrame(
        {"timestamp": [datetime(2025, 1, 1, tzinfo=timezone.utc)], "series": [CANARY], "value": [1.0]}
    ).write_parquet(file)
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container("canary").upload_blob("canary.parquet", file.read_bytes())
    return [str(file), file.as_uri(), "az://canary/canary.parquet"]


def variants(valid: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """Returns the document with the location in each field and in extra fields, alone or nested."""
    forms = cycle((place, [place], {"READINGS": place}, f"{place},"))
    for name in (*valid, *NAMES):
        yield {**valid, name: next(forms)}


def of_headers_and_query(place: str) -> tuple[dict[str, str], str]:
    return dict.fromkeys(NAMES, place), "&".join(f"{name}={quote(place, safe='')}" for name in NAMES)


def shows_nothing(answer: Answer | Any) -> None:
    text = answer.body.decode() if isinstance(answer, Answer) else json.dumps(answer)
    assert CANARY not in text.replace("canary.parquet", "").replace("az://canary/", ""), text


def test_the_settings_can_name_these_places(places: list[str], azurite: Azurite) -> None:
    for place in places:
        settings = {"READINGS": place, "AzureWebJobsStorage": azurite.connection_string}
        if place.startswith("file:"):
            with pytest.raises(ReadingsError, match="READINGS"):
                open_source(settings)
        else:
            assert set(process_chunk(ChunkInput.from_json(CHUNK), open_source(settings)).statistics) == {CANARY}


class TestSingleChunk:
    def test_reads_from_the_location_of_the_settings(self, target: Target, places: list[str]) -> None:
        url = f"{target.host.url}/api/test_activity_function"
        for place in places:
            for body in variants(CHUNK, place):
                answer = call("POST", url, body)
                assert answer.status == 400, (body, answer)
                shows_nothing(answer)
            headers, query = of_headers_and_query(place)
            answer = call("POST", f"{url}?{query}", CHUNK, headers=headers)
            assert set(answer.document["statistics"]) == {"humidity", "pressure", "temperature"}


class TestRun:
    def test_reads_from_the_location_of_the_settings(self, target: Target, places: list[str]) -> None:
        url = f"{target.host.url}/api/starter_function"
        for place in places:
            for body in variants(RUN, place):
                answer = call("POST", url, body)
                assert answer.status == 400, (body, answer)
                shows_nothing(answer)
            headers, query = of_headers_and_query(place)
            assert_synthetic(accepted(call("POST", f"{url}?{query}", RUN, headers=headers)))


class TestManagementApi:
    """The management API starts the orchestrator with any input; only the reaction of the app matters."""

    def test_an_orchestration_reads_from_the_location_of_the_settings(self, target: Target, places: list[str]) -> None:
        url = f"{target.host.url}{MANAGEMENT}/orchestrators/orchestrator_function"
        runs = [accepted(call("POST", url, body)) for place in places for body in variants(RUN, place)]
        # The SDK's client sends the input as a string with JSON in it.
        runs += [accepted(call("POST", url, json.dumps({**RUN, "READINGS": place}))) for place in places]
        for run in runs:
            status = run.end()
            assert status["runtimeStatus"] == "Failed", status
            shows_nothing(run.status(showHistory="true", showHistoryOutput="true")["output"])

    def test_an_activity_run_from_outside_reads_from_the_location_of_the_settings(
        self, target: Target, places: list[str]
    ) -> None:
        before, url = len(target.host.output), f"{target.host.url}/admin/functions/process_chunk_activity"
        bodies = [body for place in places for body in variants(CHUNK, place)]
        for body in bodies:
            assert call("POST", url, {"input": json.dumps(body)}).status == 202

        def ended() -> bool:
            log = target.host.output[before:]
            # A chunk succeeds only if it was read.
            assert "Executed 'Functions.process_chunk_activity' (Succeeded" not in log
            return log.count("Executed 'Functions.process_chunk_activity' (Failed") == len(bodies)

        eventually_blocking(ended)


def assert_synthetic(run: Orchestration) -> None:
    assert set(run.output()["summary"]) == {"humidity", "pressure", "temperature"}
