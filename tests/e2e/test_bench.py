"""The short form of `dev.py bench`: that it measures, not how fast anything is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="the bench needs requirements-dev.txt")

from durablehost.host.worker_id import is_process_alive
from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.e2e.processes import children_of
from packages.durablehost.tests.eventually import eventually_blocking

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
    # The messages of completed activities are deleted after the completion.
    assert fan_out["settled_seconds"] > fan_out["seconds"]
    assert fan_out["peak_rss_mb"].keys() == fan_out["cpu_seconds"].keys() == {"host", "workers", "azurite"}
    assert all(megabytes > 0 for megabytes in fan_out["peak_rss_mb"].values())
    # The put and the delete of a request; fewer would mean that the host stores nothing or the proxy miscounts.
    assert fan_out["storage_requests_per_chunk"] >= 2
    assert fan_out["most_messages_stored"] > 0
    assert sum(fan_out["storage_requests"].values()) == 10 * fan_out["storage_requests_per_chunk"]
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text("utf-8")).items() >= document.items()


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent a Ctrl+C of its own there")
def test_ctrl_c_ends_all_started_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--only", "limit,fanout", "--chunks", "10000", "--runs", "1", "--json"]
    with subprocess.Popen(
        [*command, "--results", str(tmp_path)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bench:
        started = eventually_blocking(lambda: children_of(bench.pid))

        bench.send_signal(signal.SIGINT)
        said = bench.communicate(timeout=60)

    assert bench.returncode == 130
    assert said == ("", "bench: stopped\n")
    assert not any(is_process_alive(pid) for pid in started)
