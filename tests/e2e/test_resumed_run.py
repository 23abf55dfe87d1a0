"""A terminated run is resumed on a real host: it ends as a run that was never disturbed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import Orchestration, start_run
from packages.durablehost.tests.eventually import eventually_blocking
from tests.e2e import expected

# A year in chunks of whole seconds, one group after another: the groups take seconds.
START, END = "2025-06-17T00:00:00Z", "2026-06-17T00:00:00Z"
CHUNKS = 300
REQUEST = {"start": START, "end": END, "total_chunks": CHUNKS, "max_parallel": 100}
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def terminated(app_url: str) -> Orchestration:
    """A run that was terminated after its first group of chunks."""
    run = start_run(app_url, REQUEST)

    def has_a_group() -> bool:
        return bool((run.status()["customStatus"] or {}).get("chunks_done", 0) >= 100)

    eventually_blocking(has_a_group, timeout_seconds=TIMEOUT_SECONDS, interval_seconds=0.02)
    run.terminate("not needed")
    assert run.end(TIMEOUT_SECONDS)["runtimeStatus"] == "Terminated"
    return run


def refused_fields(app_url: str, body: dict[str, object]) -> list[str]:
    answer = call("POST", f"{app_url}/api/starter_function", body)
    assert answer.status == 400, answer.body
    return [detail["target"] for detail in answer.document["error"]["details"]]


def test_a_terminated_run_is_resumed_with_the_groups_that_were_done(app_url: str, terminated: Orchestration) -> None:
    run = start_run(app_url, {"resume_of": terminated.id})

    output: Any = run.output(TIMEOUT_SECONDS)

    assert output.pop("resume_of") == terminated.id
    assert (output["status"], output["succeeded"], output["failed"]) == ("completed", CHUNKS, 0)
    shown = [(result["start"], result["end"]) for result in output["results"]]
    assert shown == expected.windows(START, END, CHUNKS)
    assert output["summary"] == expected.summary(expected.synthetic(START, END))
    status = run.status()
    kept = {result["chunk_id"] for result in json.loads(status["input"])["kept"]["results"]}
    assert kept >= set(range(100))
    assert status["customStatus"]["chunks_done"] == CHUNKS


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"end": "2025-06-19T00:00:00Z"}, "end"),
        ({"total_chunks": 12}, "total_chunks"),
        ({"resume_of": "nobody"}, "resume_of"),
        ({"resume_of": None}, "resume_of"),
        ({"chunk_ids": [1]}, "chunk_ids"),
    ],
)
def test_what_does_not_fit_the_earlier_run_is_refused_by_field(
    app_url: str, terminated: Orchestration, more: dict[str, object], field: str
) -> None:
    assert refused_fields(app_url, {"resume_of": terminated.id, **more}) == [field]


def test_a_run_is_resumed_from_its_end_until_it_is_purged(app_url: str) -> None:
    def refusal(instance_id: str) -> str:
        answer = call("POST", f"{app_url}/api/starter_function", {"resume_of": instance_id})
        assert answer.status == 400, answer.body
        return str(answer.document["error"]["details"][0]["message"])

    # A year of readings in a chunk takes seconds.
    year = {"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z", "total_chunks": 2, "max_parallel": 1}
    first = start_run(app_url, year)
    assert "not finished" in refusal(first.id)
    first.terminate("not needed")
    first.end(TIMEOUT_SECONDS)
    second = start_run(app_url, {"resume_of": first.id})
    assert "not finished" in refusal(second.id)
    second.terminate("not needed")
    second.end(TIMEOUT_SECONDS)
    third = start_run(app_url, {"resume_of": second.id})
    output: Any = third.output(TIMEOUT_SECONDS)

    assert (output["resume_of"], output["succeeded"]) == (second.id, 2)
    assert sum(result["records"] for result in output["results"]) == 3 * 366 * 86_400
    assert "all succeeded" in refusal(third.id)
    assert second.purge().status == 200
    assert "names no instance" in refusal(second.id)


def test_a_chunk_that_takes_too_long_fails_by_name(app_url: str) -> None:
    # A year of readings takes a second or more.
    year = {"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z", "total_chunks": 1}

    run = start_run(app_url, {**year, "chunk_timeout": 0.01})

    assert "1 of 1 chunks failed: chunk 0: ChunkTimeout: not done within 0.01 seconds" in run.failure()


def test_a_run_with_limits_that_are_kept_ends_as_one_without(app_url: str) -> None:
    day_end = "2025-06-18T00:00:00Z"
    request = {**REQUEST, "end": day_end, "total_chunks": 12, "max_parallel": 3, "chunk_timeout": 3_600}

    output = start_run(app_url, request).output(TIMEOUT_SECONDS)

    assert (output["status"], output["succeeded"]) == ("completed", 12)
    assert output["summary"] == expected.summary(expected.synthetic(START, day_end))
