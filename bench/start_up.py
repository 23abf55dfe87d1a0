"""Measures the time until a host is ready, against the time that the imports of its processes take.

Rule of this file: the imports are those of the two processes of a host, run in parallel, as fast as a host could be.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.errors import BenchError
from bench.figures import Measured, Say
from bench.stack import ROOT, running_azurite, running_host

_IMPORTS = (
    "import durablehost.cli, durablehost.host.host",
    "import durablehost.worker.child, azure.functions, azure.durable_functions",
)


def measure_start_up(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    ready, imports = [], []
    with running_azurite(folder) as azurite:
        for run in range(runs + 1):
            imports_seconds = _imports_seconds()
            began = time.perf_counter()
            with running_host(azurite.ports, folder):
                ready_seconds = time.perf_counter() - began
            # The first run creates the hub, and reads every file for the first time.
            if run:
                ready.append(ready_seconds)
                imports.append(imports_seconds)
                say(f"start-up, run {run}: ready after {ready_seconds:.2f} s, imports alone {imports_seconds:.2f} s")
    beyond = statistics.median(each - alone for each, alone in zip(ready, imports, strict=True))
    yield (
        "start-up",
        "ready",
        {
            "seconds": statistics.median(ready),
            "imports_seconds": statistics.median(imports),
            "seconds_beyond_imports": beyond,
            "runs": runs,
        },
    )


def _imports_seconds() -> float:
    """Until both processes have imported what they need, and ended."""
    began = time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-c", imports], cwd=ROOT) for imports in _IMPORTS]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise BenchError(f"The imports of a host ended with the exit codes {codes}.")
    return time.perf_counter() - began
