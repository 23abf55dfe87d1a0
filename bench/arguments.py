"""The arguments of `dev.py bench`.

Standard library only: `dev.py` checks the arguments by it before it sets anything up.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from demo.arguments import OneLineParser

SECTIONS = ("limit", "fanout", "latency", "many", "workloads", "start-up", "restart", "compute", "console", "peers")
# 500 and 5,000 show whether the cost of a chunk grows with N.
CHUNKS = (1, 10, 100, 500, 1000, 5000)
PEER_CHUNKS = (100, 1000)
MOST_CHUNKS = 10_000
MOST_RUNS = 100
RESULTS_FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    sections: tuple[str, ...]
    chunks: tuple[int, ...]
    peer_chunks: tuple[int, ...]
    runs: int
    as_json: bool
    results: Path


def parse_arguments(arguments: list[str]) -> Arguments:
    """Ends the program with one line and exit code 2 if an argument is wrong."""
    parser = OneLineParser(prog="dev.py bench", description="Measures durablehost against what its storage costs.")
    parser.add_argument(
        "--only",
        type=_sections,
        default=SECTIONS,
        metavar="SECTION,...",
        help=f"sections to measure, out of {', '.join(SECTIONS)}; default: all",
    )
    parser.add_argument(
        "--chunks",
        type=_numbers_of_chunks,
        metavar="N,...",
        help=f"chunks of limit, fanout and peers; default {_listed(CHUNKS)}, for peers {_listed(PEER_CHUNKS)}",
    )
    parser.add_argument("--runs", type=_runs, default=5, metavar="N", help="runs per measurement; default 5")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON document on stdout")
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS_FOLDER,
        metavar="FOLDER",
        help="folder for the figures; default bench/results",
    )
    given = parser.parse_args(arguments)
    return Arguments(
        sections=given.only,
        chunks=given.chunks or CHUNKS,
        peer_chunks=given.chunks or PEER_CHUNKS,
        runs=given.runs,
        as_json=given.json,
        results=given.results,
    )


def _sections(text: str) -> tuple[str, ...]:
    named = text.split(",")
    for name in named:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"there is no section {name!r}; there are: {', '.join(SECTIONS)}")
    # In the order in which they are measured, each once.
    return tuple(section for section in SECTIONS if section in named)


def _numbers_of_chunks(text: str) -> tuple[int, ...]:
    return tuple(sorted({_number(each, MOST_CHUNKS) for each in text.split(",")}))


def _runs(text: str) -> int:
    return _number(text, MOST_RUNS)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
