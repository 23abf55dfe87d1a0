"""A run of a thousand chunks: more than one history holds, so it goes through sub-orchestrations."""

from __future__ import annotations

from packages.durablehost.tests.e2e.orchestration import instances, start_run
from tests.e2e import expected

START, END = "2025-06-17T00:00:00Z", "2025-06-17T16:40:00Z"
CHUNKS = 1_000
SECONDS_PER_CHUNK = 60
TIMEOUT_SECONDS = 300


def test_a_thousand_chunks_each_come_back_once_and_in_order(app_url: str) -> None:
    run = start_run(app_url, {"start": START, "end": END, "total_chunks": CHUNKS})
    output = run.output(TIMEOUT_SECONDS)
    assert (output["status"], output["succeeded"], output["failed"]) == ("completed", CHUNKS, 0)
    assert [result["chunk_id"] for result in output["results"]] == list(range(CHUNKS))
    assert {(result["status"], result["records"]) for result in output["results"]} == {
        ("success", 3 * SECONDS_PER_CHUNK)
    }
    shown = [(result["start"], result["end"]) for result in output["results"]]
    assert shown == expected.windows(START, END, CHUNKS)
    assert output["summary"] == expected.summary(expected.synthetic(START, END))
    created = run.status()["createdTime"]
    # Its sub-orchestrations have finished before it and are still stored.
    assert {status["runtimeStatus"] for status in instances(app_url, createdTimeFrom=created)} == {"Completed"}
