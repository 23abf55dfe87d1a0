"""The live table of `durable watch`, drawn by rich. All texts of the hub are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from durablehost.commands.watching import Seen
from durablehost.core.progress import progress_of
from durablehost.core.status import RuntimeStatus
from durablehost.engine.explanation import Kind, Reason
from durablehost.printable import printable

_STYLES = {
    RuntimeStatus.PENDING: "yellow",
    RuntimeStatus.RUNNING: "cyan",
    RuntimeStatus.SUSPENDED: "yellow",
    RuntimeStatus.COMPLETED: "green",
    RuntimeStatus.FAILED: "red",
    RuntimeStatus.TERMINATED: "red",
    RuntimeStatus.CANCELED: "red",
}
_BAR_WIDTH = 16
# In characters. On a narrower terminal, columns would break every word of an explanation.
_LEAST_WIDTH = 76


class LiveTable:
    """Redraws the table in place, and leaves its last state on the terminal."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveTable:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def show(self, instances: Sequence[Seen]) -> None:
        self._live.update(table(instances, datetime.now(timezone.utc), self._console.width), refresh=True)


def table(instances: Sequence[Seen], now: datetime, width: int) -> RenderableType:
    """The instances as a table; as paragraphs on a narrow terminal; a line if there are none."""
    if not instances:
        return Text("No instances match now. Ctrl+C ends.", style="dim")
    common = _common_reason(instances)
    shown = _columns(instances, now, common) if width >= _LEAST_WIDTH else _paragraphs(instances, now, common)
    return Group(Text(printable(common), style="yellow"), shown) if common else shown


def _columns(instances: Sequence[Seen], now: datetime, common: str | None) -> RenderableType:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Status", "Instance", "Progress", "Age", "Why"):
        rows.add_column(heading, header_style="bold", no_wrap=heading in ("Status", "Age"))
    for seen in instances:
        record = seen.record
        name = Text(printable(record.name), overflow="fold")
        name.append(f"\n{printable(record.instance_id)}", style="dim")
        why = Text(printable(_why(seen, common)), overflow="fold")
        rows.add_row(_status(seen), name, _bar(record.custom_status), _age(seen, now), why)
    return rows


def _paragraphs(instances: Sequence[Seen], now: datetime, common: str | None) -> RenderableType:
    parts: list[RenderableType] = []
    for seen in instances:
        record = seen.record
        head = Text.assemble(_status(seen), f"  {_age(seen, now)}  {printable(record.name)}")
        parts += [head, Text(printable(record.instance_id), style="dim", overflow="fold")]
        if progress_of(record.custom_status):
            parts.append(_bar(record.custom_status))
        parts += [Text(printable(_why(seen, common)), overflow="fold"), Text()]
    return Group(*parts[:-1])


def _status(seen: Seen) -> Text:
    status = seen.record.runtime_status
    return Text(status.value, style=_STYLES.get(status, ""))


def _common_reason(instances: Sequence[Seen]) -> str | None:
    """The absence of hosts, if it is a reason for several instances: it is shown once."""
    texts = [reason.text for seen in instances for reason in _reasons(seen) if reason.kind == Kind.NO_HOST.value]
    return texts[0] if len(texts) > 1 and len(set(texts)) == 1 else None


def _reasons(seen: Seen) -> tuple[Reason, ...]:
    return seen.explanation.reasons if seen.explanation else ()


def _why(seen: Seen, common: str | None) -> str:
    return " ".join(reason.text for reason in _reasons(seen) if reason.text != common) or "..."


def _bar(custom_status: str | None) -> RenderableType:
    progress = progress_of(custom_status)
    if progress is None:
        return Text("")
    # Named colours: those of rich are all grey on terminals with 16 colours.
    bar = ProgressBar(
        total=progress.total,
        completed=progress.done,
        width=_BAR_WIDTH,
        style="bright_black",
        complete_style="cyan",
        finished_style="yellow" if progress.failed else "green",
    )
    cell = Table.grid()
    cell.add_row(bar)
    cell.add_row(str(progress))
    return cell


def _age(seen: Seen, now: datetime) -> str:
    """From the start of the instance to its end, or to now, as `h:mm:ss`."""
    seconds = max(((seen.record.completed_at or now) - seen.record.created_at).total_seconds(), 0)
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
