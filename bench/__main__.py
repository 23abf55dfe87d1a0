"""Runs the measurements: one section after another, then the report; everything it starts has ended by then."""

from __future__ import annotations

from durablehost.system.interruption import INTERRUPTED, end_at_once_on_ctrl_c

if __name__ == "__main__":
    # The imports below take a second.
    end_at_once_on_ctrl_c()

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from bench.arguments import Arguments, parse_arguments
from bench.errors import BenchError
from bench.fan_out import measure_fan_outs, measure_limits, measure_many
from bench.figures import Measured
from bench.latency import measure_latency
from bench.peers.measure import measure_peers
from bench.report import Document, markdown
from bench.restart import measure_restarts
from bench.stack import ROOT
from bench.start_up import measure_start_up
from bench.workloads import measure_workloads
from demo.ending import end_on_signals, run_program

DATA_FOLDER = ROOT / ".local" / "bench"


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    end_on_signals()
    folder = _run_folder()
    document: Document = {}
    try:
        failed = measure(arguments, folder, document)
    except KeyboardInterrupt:
        say("stopped")
        if document:
            keep(document, arguments.results)
        shutil.rmtree(folder, ignore_errors=True)
        return INTERRUPTED
    keep(document, arguments.results)
    if arguments.as_json:
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        sys.stdout.write(f"Measured on {_today()}, {_machine()}.\n\n{markdown(document)}\n")
    if failed:
        say(f"Not measured, or not all of it: {', '.join(failed)}. Logs and data of this run: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def measure(arguments: Arguments, folder: Path, document: Document) -> list[str]:
    """Fills `document` as figures come in, and returns the sections that failed."""
    failed = []
    for section in arguments.sections:
        if section in document:  # if both limit and fanout are wanted, the first of them measures both
            continue
        try:
            for name, key, figures in SECTIONS[section](arguments, folder):
                document.setdefault(name, {})[key] = figures
        except BenchError as error:
            say(f"{section}: {error}")
            failed.append(section)
    return failed


def _fan_outs(arguments: Arguments, folder: Path) -> Iterator[Measured]:
    measured = measure_fan_outs if "fanout" in arguments.sections else measure_limits
    return measured(folder, arguments.chunks, arguments.runs, say)


def _compute(arguments: Arguments, folder: Path) -> Iterator[Measured]:
    # Imported here, because Polars takes a moment to import.
    from bench.compute import measure_compute

    return measure_compute(folder, arguments.runs, say)


def _console(arguments: Arguments, folder: Path) -> Iterator[Measured]:
    # Imported here, because it drives a browser as the tests do, with what they need.
    from bench.console import measure_console

    return measure_console(folder, arguments.runs, say)


SECTIONS: dict[str, Callable[[Arguments, Path], Iterator[Measured]]] = {
    "limit": _fan_outs,
    "fanout": _fan_outs,
    "latency": lambda arguments, folder: measure_latency(folder, say),
    "many": lambda arguments, folder: measure_many(folder, arguments.runs, say),
    "workloads": lambda arguments, folder: measure_workloads(folder, arguments.runs, say),
    "start-up": lambda arguments, folder: measure_start_up(folder, arguments.runs, say),
    "restart": lambda arguments, folder: measure_restarts(folder, arguments.runs, say),
    "compute": _compute,
    "console": _console,
    "peers": lambda arguments, folder: measure_peers(folder, arguments.peer_chunks, arguments.runs, say),
}


def keep(document: Document, folder: Path) -> None:
    """Writes the figures and the plot into the folder, under the present time."""
    now = datetime.now(timezone.utc)
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    results.write_text(
        json.dumps({"measured_at": now.isoformat(), "machine": _machine(), **document}, indent=2), "utf-8"
    )
    say(f"the figures are in {results}")
    draw_plot(document, f"{_today()}, {_machine()}", results.with_suffix(".png"))


def draw_plot(document: Document, title: str, file: Path) -> None:
    """Draws the plot beside the figures, if there is something to draw and matplotlib is installed."""
    if document.keys().isdisjoint(("limit", "fanout", "peers")):
        return
    try:
        from bench.plot import draw
    except ImportError:
        say("no plot: matplotlib is not installed; `python3 dev.py bench` installs it")
        return
    draw(document, title, file)
    say(f"the plot is in {file}")


def _today() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%d}"


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}, Python {platform.python_version()}"


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def _run_folder() -> Path:
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=DATA_FOLDER))


if __name__ == "__main__":
    run_program(main)
