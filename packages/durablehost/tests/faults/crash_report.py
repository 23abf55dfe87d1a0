"""The measurements of the crash tests, and the tables of docs/durability.md that they write.

Rule of this file: a table is written from one complete soak run, or not at all.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from packages.durablehost.tests.faults.crash import Outcome
from packages.durablehost.tests.faults.crash_cases import CASES

DOCUMENT = Path(__file__).parents[2] / "docs" / "durability.md"
TABLE = re.compile(r"(?<=<!-- crash table -->\n).*?(?=<!-- end of the crash table -->)", re.DOTALL)
HEADINGS = ("crash", "what is stored", "what happens next", "what repeats", "crashes", "ran again", "lost")


@dataclass
class Tally:
    """Counts crashes in one place, the activities repeated because of them, and the runs that did not end exactly."""

    crashes: int = 0
    repeated: int = 0
    lost: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.crashes + other.crashes, self.repeated + other.repeated, self.lost + other.lost)

    @property
    def cells(self) -> tuple[str, str, str]:
        return (str(self.crashes), str(self.repeated), str(self.lost))


@dataclass
class CrashReport:
    """One run of the crash tests. `calls` maps the purpose of a storage call to the crashes at such calls."""

    cases: dict[str, Tally] = field(default_factory=dict)
    calls: dict[str, Tally] = field(default_factory=dict)

    @contextmanager
    def of_case(self, crash: str, count: int) -> Iterator[list[Outcome]]:
        """Counts the outcomes that the block adds; the difference to `count` is the number of lost runs."""
        outcomes: list[Outcome] = []
        try:
            yield outcomes
        finally:
            repeated = sum(outcome.repeated for outcome in outcomes)
            self.cases[crash] = Tally(count, repeated, count - len(outcomes))

    def add_call(self, operation: str, outcome: Outcome | None) -> None:
        """Counts one crash; without an outcome its run did not end exactly."""
        measured = Tally(1, outcome.repeated, 0) if outcome else Tally(1, 0, 1)
        self.calls[operation] = self.calls.get(operation, Tally()) + measured

    @property
    def is_complete(self) -> bool:
        return bool(self.calls) and all(case.crash in self.cases for case in CASES)

    def write(self) -> None:
        text = DOCUMENT.read_text("utf-8")
        DOCUMENT.write_text(TABLE.sub(lambda _: self.render(), text), "utf-8")

    def render(self) -> str:
        rows = [(case.crash, case.stored, case.next, case.repeats, *self.cases[case.crash].cells) for case in CASES]
        today, python, cores = datetime.now(timezone.utc).date(), platform.python_version(), os.cpu_count()
        by_call = [(operation, *tally.cells) for operation, tally in sorted(self.calls.items())]
        total = sum(self.calls.values(), Tally())
        return "\n".join(
            [
                *table(HEADINGS, rows),
                "",
                "A crash at every storage call of a run of 30 chunks, once before and once after the storage had "
                "served it:",
                "",
                *table(("the call at which the host died", *HEADINGS[-3:]), [*by_call, ("**all**", *total.cells)]),
                "",
                f"Measured on {today} with Python {python} on {cores} cores. *Ran again*: calls of activities beyond "
                "one for each chunk, over all crashes of the row. *Lost*: runs that did not end with exactly their "
                "output, each chunk in it once.",
                "",
            ]
        )


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_line(headings), "|" + "---|" * len(headings), *map(_line, rows)]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def documented_rows() -> list[tuple[str, ...]]:
    """Returns the rows of the first table between the markers."""
    found = TABLE.search(DOCUMENT.read_text("utf-8"))
    assert found is not None, f"the marks of the crash table are not in {DOCUMENT.name}"
    first_table = found[0].partition("\n\n")[0].splitlines()
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in first_table[2:]]
