"""The errors for names under which no function is registered: which names there are, and why this one is not."""

from __future__ import annotations

from collections.abc import Mapping

from durablehost.app.model import Function, FunctionsOfKind


def unknown_activity(name: str, functions: Mapping[str, Function]) -> str:
    """The extension has no error for it: there, the orchestration hangs."""
    return f"Activity function '{name}' does not exist.{why_absent(name, functions)} {_known('activity', functions)}"


def unknown_orchestrator(name: str, functions: Mapping[str, Function]) -> str:
    """The extension's error, and the reason."""
    return _unknown(name, "an orchestrator", functions)


def unknown_entity(name: str, functions: Mapping[str, Function]) -> str:
    """The extension's error, and the reason."""
    return _unknown(name, "an entity", functions)


def _unknown(name: str, kind: str, functions: Mapping[str, Function]) -> str:
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not {kind} function. Additional info: "
        f"{_known(kind.split()[1], functions)}{why_absent(name, functions)}"
    )


def _known(kind: str, functions: Mapping[str, Function]) -> str:
    names = ", ".join(f"'{function.registered_name}'" for function in functions.values())
    return (
        f"The following are the known {kind} functions: {names}."
        if names
        else f"No {kind} functions are currently registered!"
    )


def why_absent(name: str, functions: Mapping[str, Function]) -> str:
    """Why a function is not among these, as a sentence after a blank; empty if nothing is known about it."""
    reason = functions.absences.get(name.lower()) if isinstance(functions, FunctionsOfKind) else None
    return f" '{name}' {reason}" if reason else ""
