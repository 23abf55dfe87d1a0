"""The arguments of `dev.py demo`.

Standard library only: `dev.py` checks the arguments by it before it sets anything up.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from typing import NoReturn

MOST_CHUNKS = 10_000


@dataclass(frozen=True, kw_only=True)
class Arguments:
    start: datetime
    end: datetime
    chunks: int
    as_json: bool

    def request(self) -> dict[str, str | int]:
        """The body for `starter_function`."""
        return {"start": to_iso(self.start), "end": to_iso(self.end), "total_chunks": self.chunks}


def parse_arguments(arguments: list[str]) -> Arguments:
    """Ends the program with one line and exit code 2 if an argument is wrong."""
    parser = OneLineParser(prog="dev.py demo", description="Runs the durable orchestration over the sample data.")
    parser.add_argument(
        "--chunks", type=_chunks, default=12, metavar="N", help="number of chunks, 1 to 10000; default 12"
    )
    parser.add_argument(
        "--start", type=_moment, default="2013-01-01", metavar="TIME", help="start of the window; default 2013-01-01"
    )
    parser.add_argument(
        "--end", type=_moment, default="2013-04-01", metavar="TIME", help="end of the window; default 2013-04-01"
    )
    parser.add_argument("--json", action="store_true", help="print the output document alone on stdout")
    given = parser.parse_args(arguments)
    if given.start >= given.end:
        parser.error(f"--start ({to_iso(given.start)}) must be before --end ({to_iso(given.end)})")
    return Arguments(start=given.start, end=given.end, chunks=given.chunks, as_json=given.json)


def to_iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage that argparse puts before it."""
        self.exit(2, f"{self.prog}: {message}\n")


def _chunks(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_CHUNKS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_CHUNKS}")
    return int(text)


def _moment(text: str) -> datetime:
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time.min, timezone.utc)
    try:
        # Python 3.10 does not read the Z.
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a date nor an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} needs a UTC offset or Z")
    return moment
