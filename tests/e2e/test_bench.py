"""The short form of `dev.py bench`: that it measures, not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.host_process import CHECKOUT

pytestmark = pytest.mark.azurite


def test_the_short_form_prints_one_document_of_figures_and_keeps_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--only", "limit,fanout", "--chunks", "10", "--runs", "1", "--json"]

    ended = subprocess.run([*command, "--results", str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document.keys() == {"limit", "fanout"}
    assert document["limit"].keys() == document["fanout"].keys() == {"10"}
    limit, fan_out = document["limit"]["10"], document["fanout"]["10"]
    assert limit["seconds"] > 0
    assert limit["chunks_per_second"] > 0
    assert all(
        fan_out[name] > 0
        for name in ("seconds", "chunks_per_second", "ratio_to_limit", "milliseconds_per_chunk", "runs")
    )
    assert fan_out["peak_rss_mb"].keys() == fan_out["cpu_seconds"].keys() == {"host", "workers", "azurite"}
    assert all(megabytes > 0 for megabytes in fan_out["peak_rss_mb"].values())
    # A put and a delete of each of two messages: less would be a host that keeps nothing, or a proxy that cannot count.
    assert fan_out["storage_requests_per_chunk"] >= 4
    assert sum(fan_out["storage_requests"].values()) == 10 * fan_out["storage_requests_per_chunk"]
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text("utf-8")).items() >= document.items()
