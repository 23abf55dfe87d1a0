"""A host is killed while runs with failing chunks are under way: the limits of failed chunks decide as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.e2e.orchestration import start_run
from packages.durablehost.tests.faults import hosts
from tests.e2e import expected

DAYS = [f"2025-06-{day:02}" for day in range(1, 11)]
BAD = {"2025-06-04", "2025-06-08"}
# A quarter of a day each; eight of them are of bad days.
CHUNKS = 40
WINDOW = {"start": "2025-06-01T00:00:00Z", "end": "2025-06-11T00:00:00Z"}
# One chunk after another, so that no run ends before the host is killed.
REQUEST: dict[str, Any] = {**WINDOW, "total_chunks": CHUNKS, "max_parallel": 1}
EXCEEDED: list[dict[str, object]] = [{"max_failed_chunks": 7}, {"max_failed_percent": 19.9}]
KEPT: list[dict[str, object]] = [{"max_failed_chunks": 8}, {"max_failed_percent": 20}]


@pytest.fixture
def readings(tmp_path: Path) -> str:
    """A file with an hour of readings for each day; those of two days are no Parquet files."""
    for day in DAYS:
        path = tmp_path / f"{day}.parquet"
        hour_of(day).collect().write_parquet(path)
        if day in BAD:
            path.write_bytes(b"not Parquet")
    return f"{tmp_path}/{{yyyy}}-{{MM}}-{{dd}}.parquet"


def hour_of(day: str) -> pl.LazyFrame:
    return expected.synthetic(f"{day}T00:00:00Z", f"{day}T01:00:00Z")


def test_the_limits_of_failed_chunks_decide_as_without_a_kill(running_host: RunningHost, readings: str) -> None:
    settings = {**hosts.SETTINGS, "READINGS": readings}
    with running_host(CHECKOUT, environment=settings) as host:
        port = host.port
        exceeded, kept = (
            [start_run(host.url, {**REQUEST, **limit}) for limit in limits] for limits in (EXCEEDED, KEPT)
        )
        hosts.Run(orchestration=kept[-1], chunks=CHUNKS).wait_for_chunks(2)
        host.kill()
    with running_host(CHECKOUT, environment=settings, port=port):
        outputs = [run.output(hosts.TIMEOUT_SECONDS) for run in kept]
        failures = [run.failure(hosts.TIMEOUT_SECONDS) for run in exceeded]

    good = expected.summary(pl.concat([hour_of(day) for day in DAYS if day not in BAD]))
    for output in outputs:
        assert (output["status"], output["succeeded"], output["failed"]) == ("partial", 32, 8)
        assert [result["chunk_id"] for result in output["results"]] == list(range(CHUNKS))
        assert {result["start"][:10] for result in output["results"] if result["status"] == "failed"} == BAD
        assert output["summary"] == good
    for failure, limit in zip(failures, ("max_failed_chunks is 7", "max_failed_percent is 19.9"), strict=True):
        assert f"8 of 40 chunks failed ({limit})" in failure
