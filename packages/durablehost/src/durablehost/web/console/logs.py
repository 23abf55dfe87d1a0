"""The log lines of an instance as the console needs them."""

from __future__ import annotations

from durablehost.core.history_json import format_time
from durablehost.engine.instance_logs import InstanceLogs, LogLine
from durablehost.types import JsonValue


def show_logs(logs: InstanceLogs | None, instance_id: str, *, after: int) -> JsonValue:
    """The lines that this process has kept, with larger numbers than `after`. `logs` None: it runs no functions."""
    if logs is None:
        return {"isKept": False, "lines": [], "logged": 0}
    kept = logs.of(instance_id, after=after)
    return {"isKept": True, "lines": [_show(line) for line in kept.lines], "logged": kept.logged}


def _show(line: LogLine) -> JsonValue:
    return {
        "number": line.number,
        "at": format_time(line.at),
        "level": line.level,
        "function": line.function,
        "task": line.task_id,
        "text": {"text": line.text, "length": line.length},
    }
