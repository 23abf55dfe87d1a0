"""The output for people: the progress of the run, and the result as tables.

Plain ASCII, so that every terminal and every log file shows it; on a terminal, the progress is a live table (`live`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Protocol, TextIO

# With more chunks, the table shows only both ends and every failed chunk between them.
MOST_ROWS = 40

_BAR_WIDTH = 30


class Progress(Protocol):
    """Shows each status of the run."""

    def show(self, status: dict[str, Any]) -> None: ...


def open_progress(stream: TextIO, total: int) -> AbstractContextManager[Progress]:
    """A live table on a terminal; lines, if the output goes elsewhere. `total`: the number of chunks."""
    if not stream.isatty():
        return nullcontext(ProgressLines(stream, total))
    # Imported late: only this view needs rich.
    from demo.live import LiveProgress

    return LiveProgress(stream)


class ProgressLines:
    """Writes one line for each change."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._started_at = time.monotonic()
        self._last = ""

    def show(self, status: dict[str, Any]) -> None:
        line = progress_line(status, self._total)
        if line == self._last:
            return
        self._stream.write(f"{line}  {time.monotonic() - self._started_at:.1f} s\n")
        self._stream.flush()
        self._last = line


def progress_line(status: dict[str, Any], total: int) -> str:
    """The bar of one status: `[##########--------------------]  4/12 chunks  processing, 9 readings, 3 s left`."""
    runtime_status = str(status.get("runtimeStatus"))
    done = total if runtime_status == "Completed" else int(_custom(status).get("chunks_done") or 0)
    filled = _BAR_WIDTH * done // max(total, 1)
    bar = ("#" * filled).ljust(_BAR_WIDTH, "-")
    state = state_of(status) if runtime_status == "Running" else runtime_status
    return f"[{bar}] {done:>{len(str(total))}}/{total} chunks  {state}"


def state_of(status: dict[str, Any]) -> str:
    """The phase of the run with its numbers; the runtime status if it reports no phase."""
    custom = _custom(status)
    if not custom.get("phase"):
        return str(status.get("runtimeStatus"))
    parts = [str(custom["phase"])]
    if failed := custom.get("chunks_failed"):
        parts.append(f"{failed} failed")
    if records := custom.get("records"):
        parts.append(f"{records:,} readings")
    if (end := custom.get("estimated_end")) and custom.get("phase") == "processing":
        # Both are times of the host, in whole seconds.
        left = moment(end) - moment(status["lastUpdatedTime"])
        parts.append(f"about {max(0, round(left.total_seconds()))} s left")
    return ", ".join(parts)


def _custom(status: dict[str, Any]) -> dict[str, Any]:
    shown = status.get("customStatus")
    return shown if isinstance(shown, dict) else {}


def moment(text: str) -> datetime:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def result_tables(output: dict[str, Any]) -> str:
    """The chunks, then the summary per series, then a line about the whole, and one about the stored results."""
    closing = "\n".join([closing_line(output), *stored_lines(output)])
    # Stored results of many chunks are not in the output.
    chunks = [chunk_table(output["results"])] if output["results"] else []
    return "\n\n".join([*chunks, summary_table(output["summary"]), closing])


def chunk_table(results: Sequence[dict[str, Any]]) -> str:
    shown = shorten(results)
    rows = [_chunk_row(each) if each else ["..."] * 5 for each in shown]
    return table(["chunk", "start", "end", "records", "seconds"], rows, left=(1, 2))


def shorten(results: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """All results if there are few; else both ends and the failed ones, and None for each gap."""
    if len(results) <= MOST_ROWS:
        return list(results)
    shown: list[dict[str, Any] | None] = []
    for position, result in enumerate(results):
        from_an_end = min(position, len(results) - 1 - position)
        if from_an_end < MOST_ROWS // 2 or result["status"] != "success":
            shown.append(result)
        elif shown[-1] is not None:
            shown.append(None)
    return shown


def _chunk_row(result: dict[str, Any]) -> list[str]:
    window = [str(result["chunk_id"]), result["start"], result["end"]]
    if result["status"] == "success":
        return [*window, f"{result['records']:,}", f"{result['processing_time']:.3f}"]
    error = result["error"]
    return [*window, "failed", f"{error['type']}: {error['message']}"]


def summary_table(summary: dict[str, dict[str, Any]]) -> str:
    columns = ["mean", "std", "min", "max"]
    rows = [
        [series, f"{values['count']:,}", *(_number(values[column]) for column in columns)]
        for series, values in sorted(summary.items())
    ]
    return table(["series", "count", *columns], rows, left=(0,))


def closing_line(output: dict[str, Any]) -> str:
    stored = output.get("stored")
    records = stored["records"] if stored else sum(result.get("records", 0) for result in output["results"])
    return (
        f"{output['status']}: {output['succeeded']} of {output['total_chunks']} chunks succeeded, "
        f"{records:,} records from {output['start']} to {output['end']}"
    )


def stored_lines(output: dict[str, Any]) -> list[str]:
    stored = output.get("stored")
    return [f"stored: {stored['location']} ({stored['files']} files)"] if stored else []


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int]) -> str:
    """Aligned columns, to the right except those in `left`."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rendered = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([rendered[0], "  ".join("-" * width for width in widths), *rendered[1:]])


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.3f}"
