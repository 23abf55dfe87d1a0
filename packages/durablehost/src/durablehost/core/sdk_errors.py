"""Explains errors that the durable SDK raises when a function misuses it."""

from __future__ import annotations

import re

YIELD_ONLY_TASKS = (
    "Yield only what the call_..., create_timer, wait_for_external_event, task_all and task_any methods of the context "
    "return."
)

_NO_TASK = re.compile(r"(?:type object )?'([\w.]+)'(?: object)? has no attribute '(?:_is_scheduled|is_played)'")
_NOT_CREATED = re.compile(r"'(Orchestration|Entity)Context' object has no attribute '\w+'")
_KINDS = {"Orchestration": "Orchestrator", "Entity": "Entity"}


def explained(type_name: str, message: str) -> str:
    """An exception as text, with an explanation if the SDK's own message needs one."""
    text = f"{type_name}: {message}"
    if type_name != "AttributeError":
        return text
    if no_task := _NO_TASK.fullmatch(message):
        what = "None" if no_task[1] == "NoneType" else f"a value of type {no_task[1]}"
        return f"{text}. The orchestrator has yielded {what}, which is no task. {YIELD_ONLY_TASKS}"
    if not_created := _NOT_CREATED.fullmatch(message):
        return f"{text}. Has its script no `main = df.{_KINDS[not_created[1]]}.create(...)`?"
    return text
