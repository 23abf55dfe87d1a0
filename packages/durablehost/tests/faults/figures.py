"""The measurements of soak tests, by test: the rows of a table in docs/durability.md.

Rule of this file: only a test that has passed writes its row; the other rows stay unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "durability.md"
BLOCK = re.compile(r"(?<=<!-- soak figures -->\n).*?(?=<!-- end of the soak figures -->)", re.DOTALL)
HEAD = "| tried | measured | when |\n|---|---|---|\n"


class Figures:
    """The rows of one test run."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}

    @contextmanager
    def of(self, tried: str) -> Iterator[list[str]]:
        """Stores the figures that the block adds, if it ends without an error."""
        figures: list[str] = []
        yield figures
        when = f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores"
        self._rows[tried] = f"| {tried} | {'; '.join(figures)} | {when} |\n"

    def write(self) -> None:
        text = DOCUMENT.read_text("utf-8")
        DOCUMENT.write_text(BLOCK.sub(lambda _: self._merged(text), text), "utf-8")

    def _merged(self, text: str) -> str:
        return HEAD + "".join(({row.split(" | ")[0][2:]: row for row in documented_rows(text)} | self._rows).values())


def documented_rows(text: str) -> list[str]:
    found = BLOCK.search(text)
    assert found is not None, f"the marks of the soak figures are not in {DOCUMENT.name}"
    return found[0].splitlines(keepends=True)[2:]
