"""The course of the measurements: one section after another, then the report; what was started has ended by then."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from bench.arguments import Arguments, parse_arguments
from bench.errors import BenchError
from bench.fan_out import measure_fan_outs, measure_limits, measure_many
from bench.latency import measure_latency
from bench.peers.measure import measure_peers
from bench.report import Document, markdown
from bench.stack import ROOT
from bench.start_up import measure_start_up
from demo.ending import end_on_signals

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
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    report(document, arguments)
    if failed:
        say(f"Not measured: {', '.join(failed)}. Logs and data of this run: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def measure(arguments: Arguments, folder: Path, document: Document) -> list[str]:
    """Fills `document`, section by section, and returns the sections that failed."""
    failed = []
    for section in arguments.sections:
        if section in document:  # the limit, where it was measured beside the fan-outs
            continue
        try:
            document.update(SECTIONS[section](arguments, folder))
        except BenchError as error:
            say(f"{section}: {error}")
            failed.append(section)
    return failed


def _limit(arguments: Arguments, folder: Path) -> Document:
    if "fanout" in arguments.sections:
        return _fan_out(arguments, folder)
    return {"limit": measure_limits(folder, arguments.chunks, arguments.runs, say)}


def _fan_out(arguments: Arguments, folder: Path) -> Document:
    limits, fan_outs = measure_fan_outs(folder, arguments.chunks, arguments.runs, say)
    return {"limit": limits, "fanout": fan_outs}


def _compute(arguments: Arguments, folder: Path) -> Document:
    # Polars takes a moment to import, which is not for those who do not ask for it.
    from bench.compute import measure_compute

    return {"compute": measure_compute(folder, arguments.runs, say)}


SECTIONS: dict[str, Callable[[Arguments, Path], Document]] = {
    "limit": _limit,
    "fanout": _fan_out,
    "latency": lambda arguments, folder: {"latency": measure_latency(folder, say)},
    "many": lambda arguments, folder: {"many": measure_many(folder, arguments.runs, say)},
    "start-up": lambda arguments, folder: {"start-up": measure_start_up(folder, arguments.runs, say)},
    "compute": _compute,
    "peers": lambda arguments, folder: {"peers": measure_peers(folder, arguments.peer_chunks, arguments.runs, say)},
}


def report(document: Document, arguments: Arguments) -> None:
    now = datetime.now(timezone.utc)
    machine = f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    arguments.results.mkdir(parents=True, exist_ok=True)
    results = arguments.results / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    results.write_text(json.dumps({"measured_at": now.isoformat(), "machine": machine, **document}, indent=2), "utf-8")
    say(f"the figures are in {results}")
    draw_plot(document, f"{now:%Y-%m-%d}, {machine}", results.with_suffix(".png"))
    if arguments.as_json:
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        sys.stdout.write(f"Measured on {now:%Y-%m-%d}, {machine}.\n\n{markdown(document)}\n")


def draw_plot(document: Document, title: str, file: Path) -> None:
    """The plot beside the figures, where there is something to draw and something to draw it with."""
    if document.keys().isdisjoint(("limit", "fanout", "peers")):
        return
    try:
        from bench.plot import draw
    except ImportError:
        say("no plot: matplotlib is not installed; `python3 dev.py bench` installs it")
        return
    draw(document, title, file)
    say(f"the plot is in {file}")


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def _run_folder() -> Path:
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=DATA_FOLDER))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
