"""Shows how far a run is, in the custom status.

The rule of this file: all comes from outcomes and from the clock of the history, so that replays agree; and the status
is as short for 10,000 chunks as for one. It is stored with episodes that happen anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared_code.contracts import JsonObject
from shared_code.durable import Context
from shared_code.instants import format_instant


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many chunks have ended, how many of them failed, and the readings in the others."""

    chunks: int = 0
    failed: int = 0
    records: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            chunks=self.chunks + other.chunks,
            failed=self.failed + other.failed,
            records=self.records + other.records,
        )


NONE: Final = Tally()


def count(outcome: Any, chunks: int) -> Tally:
    """Counts the outcome of a task for so many chunks: the JSON of one result or of a folded group, or an exception.

    The JSON is not checked here, because every replay counts again.
    """
    if isinstance(outcome, Exception):
        return Tally(chunks=chunks, failed=chunks)
    results: Sequence[Any] = outcome.get("results", [outcome]) if isinstance(outcome, dict) else ()
    return Tally(
        chunks=chunks,
        failed=sum(each["status"] == "failed" for each in results),
        records=sum(each.get("records", 0) for each in results),
    )


class Progress:
    """The progress of an orchestration with some `kept` chunks; it shows each change."""

    def __init__(self, context: Context, total: int, kept: Tally = NONE) -> None:
        self._context = context
        self._total = total
        self._began = context.current_utc_datetime
        self._first_ended: datetime | None = None
        self._kept = kept.chunks
        self._so_far = kept

    def begin(self) -> None:
        """Counts the time from now on."""
        self._began = self._context.current_utc_datetime
        self.show("processing")

    def add(self, more: Tally) -> None:
        self._first_ended = self._first_ended or self._context.current_utc_datetime
        self._so_far += more
        self.show("processing")

    def show(self, phase: str) -> None:
        end = self._estimated_end()
        status: JsonObject = {
            "phase": phase,
            "chunks_done": self._so_far.chunks,
            "chunks_failed": self._so_far.failed,
            "chunks_total": self._total,
            "records": self._so_far.records,
            "estimated_end": None if end is None else format_instant(end.replace(microsecond=0)),
        }
        self._context.set_custom_status(status)

    def _estimated_end(self) -> datetime | None:
        """When all is done if the others take as long as those so far.

        None until chunks have ended at two times: if all run at once, the first to end says nothing about the others.
        """
        done, left = self._so_far.chunks - self._kept, self._total - self._so_far.chunks
        now = self._context.current_utc_datetime
        if not done or (left and now == self._first_ended):
            return None
        try:
            return now + (now - self._began) * left / done
        except OverflowError:
            return None  # beyond the year 9999
