"""The names of external events in the code of an orchestrator, read without running it."""

from __future__ import annotations

import ast
from pathlib import Path

_METHOD = "wait_for_external_event"


def event_names(script_file: Path) -> tuple[str, ...]:
    """The names that a script waits for as it writes them down; others may be computed or in other files.

    Empty if there are none, or if the file cannot be read.
    """
    try:
        tree = ast.parse(script_file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = (_name(call) for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == _METHOD)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _name(call: ast.Call) -> str | None:
    argument = call.args[0] if call.args else next((each.value for each in call.keywords if each.arg == "name"), None)
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    return None
