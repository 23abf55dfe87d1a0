"""`durable watch`: shows instances on a terminal, as lines, or as JSON, until they end or Ctrl+C."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from typing import Protocol, TextIO

from durablehost.commands.watching import Seen, Watcher
from durablehost.console import Console
from durablehost.core.history_json import format_time
from durablehost.core.json_text import parse_or_text
from durablehost.core.progress import progress_of
from durablehost.core.status import RuntimeStatus
from durablehost.errors import DurableHostError, StorageUnavailable
from durablehost.printable import printable
from durablehost.types import JsonObject

POLL_SECONDS = 1.0


class View(Protocol):
    """Shows instances, each time as they are then."""

    def show(self, instances: Sequence[Seen]) -> None: ...


def open_view(out: TextIO, *, as_json: bool) -> AbstractContextManager[View]:
    """A table on a terminal; lines, if the output goes elsewhere or JSON is wanted."""
    if as_json:
        return nullcontext(ChangeLines(out, _json_line))
    if not out.isatty():
        return nullcontext(ChangeLines(out, _plain_line))
    # Imported late: only this view needs it.
    from durablehost.commands.watch_table import LiveTable

    return LiveTable(out)


async def watch(
    watcher: Watcher,
    view: View,
    notes: Console,
    *,
    until_end: bool,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> bool:
    """Shows what the watcher sees, again and again. With `until_end`, returns whether its one instance has completed.

    A storage that does not answer for a while is waited for.

    Raises:
        DurableHostError: the instance is unknown, the storage refuses, or the output cannot be written.
    """
    is_failing = False
    while True:
        try:
            instances = await watcher.look()
            is_failing = False
        except StorageUnavailable as error:
            if not is_failing:
                notes.line(f"The storage does not answer; watching goes on when it does: {error}")
            is_failing = True
        else:
            _show(view, instances)
            if until_end and instances[0].record.runtime_status.is_finished:
                return instances[0].record.runtime_status is RuntimeStatus.COMPLETED
        await pause(max(POLL_SECONDS, watcher.rest_seconds))


def _show(view: View, instances: Sequence[Seen]) -> None:
    try:
        view.show(instances)
    except OSError as error:
        raise DurableHostError(f"The result could not be written to stdout: {error.strerror}.") from error


class ChangeLines:
    """Writes one line for each instance that has changed since its last line."""

    def __init__(self, out: TextIO, line: Callable[[Seen], str]) -> None:
        self._out = out
        self._line = line
        self._shown: dict[str, tuple[object, ...]] = {}

    def show(self, instances: Sequence[Seen]) -> None:
        # A page is newest first; lines are read downwards.
        for seen in reversed(instances):
            if seen.explanation is not None and self._shown.get(seen.record.instance_id) != seen.essence:
                self._shown[seen.record.instance_id] = seen.essence
                self._out.write(f"{printable(self._line(seen))}\n")
        self._out.flush()


def _plain_line(seen: Seen) -> str:
    record = seen.record
    progress = progress_of(record.custom_status)
    parts = [
        f"{datetime.now(timezone.utc):%H:%M:%S}",
        record.runtime_status.value,
        f"{record.name} {record.instance_id}",
        *([str(progress)] if progress else []),
    ]
    return f"{'  '.join(parts)}: {seen.explanation.text if seen.explanation else ''}"


def _json_line(seen: Seen) -> str:
    record = seen.record
    document: JsonObject = {
        "time": format_time(datetime.now(timezone.utc)),
        "instanceId": record.instance_id,
        "name": record.name,
        "runtimeStatus": record.runtime_status.value,
        "createdTime": format_time(record.created_at),
        "lastUpdatedTime": format_time(record.last_updated_at),
        "customStatus": parse_or_text(record.custom_status),
        "explanation": seen.explanation.text if seen.explanation else None,
        "reasons": [{"kind": each.kind, "text": each.text} for each in seen.explanation.reasons]
        if seen.explanation
        else [],
    }
    return json.dumps(document, ensure_ascii=False)
