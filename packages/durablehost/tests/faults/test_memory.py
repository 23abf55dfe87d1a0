"""Payloads of many megabytes: the memory of the host stays bounded, and the host keeps answering other callers."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import HostProcess, call
from packages.durablehost.tests.e2e.orchestration import Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.figures import Figures
from packages.durablehost.tests.faults.test_load import memory_megabytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its process lists are those of POSIX")

LONG_SECONDS = 600


class Watch:
    """Measures the response time of a host for another caller, and its memory."""

    def __init__(self, host: HostProcess) -> None:
        self._host = host
        self._is_over = threading.Event()
        self.most_megabytes = 0
        self.longest_ping = 0.0

    def run(self) -> None:
        while not self._is_over.wait(0.05):
            began = time.monotonic()
            call("GET", f"{self._host.url}/admin/host/ping")
            self.longest_ping = max(self.longest_ping, time.monotonic() - began)
            self.most_megabytes = max(self.most_megabytes, memory_megabytes(self._host))

    def stop(self) -> None:
        self._is_over.set()


@contextmanager
def watching(host: HostProcess) -> Iterator[Watch]:
    watch = Watch(host)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def start(host: HostProcess, name: str, value: object) -> Orchestration:
    """Starts an instance like the SDK's client, but with an input that no function has to produce."""
    url = f"{host.url}/runtime/webhooks/durabletask/orchestrators/{name}"
    return accepted(call("POST", url, json.dumps(json.dumps(value)).encode()))


def is_running(run: Orchestration) -> bool:
    return bool(run.status(showInput="false")["runtimeStatus"] == "Running")


class Zeros(BaseHTTPRequestHandler):
    """Answers with 300 MB of zeros."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        # The host ends the connection at its limit.
        with suppress(OSError):
            for _ in range(300):
                self.wfile.write(bytes(1_000_000))

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_response_without_an_end_fails_its_call_and_the_host_goes_on(running_host: RunningHost) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Zeros)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running_host(FEATURES_APP) as host:
            request = {"method": "GET", "uri": f"http://127.0.0.1:{server.server_address[1]}/"}
            failure = App(host.url).start("fetched", request).failure()
            assert "is larger than 104857600 bytes, the limit of call_http" in failure
            assert App(host.url).start("fanned", [1, 2]).output(30) == [1, 2]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.soak
def test_waiting_instances_with_large_inputs_fit_into_memory(running_host: RunningHost, soak_figures: Figures) -> None:
    with (
        running_host(FEATURES_APP) as host,
        soak_figures.of("40 waiting instances with inputs of 20 MB") as figures,
        watching(host) as watch,
    ):
        waiting = [start(host, "awaited", ["Never", "x" * 20_000_000]) for _ in range(40)]
        for run in waiting:
            eventually_blocking(partial(is_running, run), timeout_seconds=LONG_SECONDS)
        # Memory is given back once the last episodes have ended.
        time.sleep(10)
        at_rest = memory_megabytes(host)
        figures += [f"memory of the host {at_rest} MB at rest, {watch.most_megabytes} MB at most"]
        assert at_rest < 450


@pytest.mark.soak
def test_large_results_leave_the_host_responsive(running_host: RunningHost, soak_figures: Figures) -> None:
    with (
        running_host(FEATURES_APP) as host,
        soak_figures.of("20 runs with 2 results of 5 MB each, at once") as figures,
        watching(host) as watch,
    ):
        runs = [start(host, "enlarged", {"text": "", "length": 5_000_000}) for _ in range(20)]
        for run in runs:
            assert len(run.output(LONG_SECONDS)["results"]) == 2
        figures += [
            f"memory of the host {watch.most_megabytes} MB at most",
            f"longest answer to another caller {watch.longest_ping:.1f} s",
        ]


@pytest.mark.soak
def test_a_large_event_leaves_the_host_responsive(running_host: RunningHost, soak_figures: Figures) -> None:
    with (
        running_host(FEATURES_APP) as host,
        soak_figures.of("1 event of 99 MiB, in three million numbers") as figures,
    ):
        run = start(host, "awaited", ["Never"])
        event = b"[" + b"1234567890123456789012345678901234," * 2_965_000 + b"1]"
        assert len(event) <= 99 * 1024 * 1024
        with watching(host) as watch:
            assert run.raise_event("Go", event).status == 202
            assert App(host.url).start("fanned", [1, 2]).output(LONG_SECONDS) == [1, 2]
        figures += [
            f"memory of the host {watch.most_megabytes} MB at most",
            f"longest answer to another caller {watch.longest_ping:.1f} s",
        ]
