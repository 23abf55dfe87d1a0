"""Real hosts for fault tests: settings that make them recover quickly, and this project's own run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from packages.durablehost.tests.e2e.host_process import HostProcess
from packages.durablehost.tests.e2e.orchestration import Orchestration, start_run
from packages.durablehost.tests.eventually import eventually_blocking
from tests.e2e import expected

AT_ONCE = 4
SETTINGS = {
    f"AzureFunctionsJobHost__extensions__durableTask__{name}": value
    for name, value in {
        "maxConcurrentActivityFunctions": str(AT_ONCE),
        "storageProvider__workItemQueueVisibilityTimeout": "00:00:05",
        "storageProvider__maxQueuePollingInterval": "00:00:01",
    }.items()
}
# The visibility timeout of a control message, and a margin for a busy machine.
TIMEOUT_SECONDS = 300

# 900,000 seconds: 10,000 chunks are of whole seconds too, as the expected windows are.
START, END = "2025-06-01T00:00:00Z", "2025-06-11T10:00:00Z"
# 5 MB as an input, 1 MB each as a result: all of them in blobs.
LARGE_ITEMS = [letter * 1_000_000 for letter in "abcde"]
EXECUTING_CHUNK = "Executing 'Functions.process_chunk_activity'"
EXECUTED_CHUNK = "Executed 'Functions.process_chunk_activity'"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of this project's own orchestration over some ten days of readings."""

    orchestration: Orchestration
    chunks: int

    def wait_for_chunks(self, count: int) -> None:
        def has_done() -> bool:
            status = self.orchestration.status()["customStatus"]
            return bool(status and status["chunks_done"] >= count)

        eventually_blocking(has_done, timeout_seconds=TIMEOUT_SECONDS)
        assert self.orchestration.status()["runtimeStatus"] == "Running", "the run ended before it could be disturbed"

    def assert_exact(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Asserts that the output has each chunk once, in order, with the summary of one pass over the whole window."""
        output: Any = self.orchestration.output(timeout_seconds)
        assert (output["status"], output["succeeded"], output["failed"]) == ("completed", self.chunks, 0)
        assert [result["chunk_id"] for result in output["results"]] == list(range(self.chunks))
        shown = [(result["start"], result["end"]) for result in output["results"]]
        assert shown == expected.windows(START, END, self.chunks)
        assert output["summary"] == expected.summary(expected.synthetic(START, END))


def begin_run(host: HostProcess, chunks: int, **options: object) -> Run:
    request = {"start": START, "end": END, "total_chunks": chunks, **options}
    return Run(orchestration=start_run(host.url, request), chunks=chunks)


def resume_run(host: HostProcess, run: Run, **options: object) -> Run:
    request = {"resume_of": run.orchestration.id, **options}
    return Run(orchestration=start_run(host.url, request), chunks=run.chunks)


def let_pass(seconds: float) -> None:
    """Waits so long, for tests in which the elapsed time itself matters."""
    began = time.monotonic()
    eventually_blocking(lambda: time.monotonic() - began > seconds, timeout_seconds=2 * seconds + 10)
