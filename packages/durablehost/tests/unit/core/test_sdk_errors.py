"""The explanations that follow exceptions of the SDK itself."""

from __future__ import annotations

import pytest

from durablehost.core.sdk_errors import explained


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("'NoneType' object has no attribute 'is_played'", "The orchestrator has yielded None, which is no task."),
        ("'int' object has no attribute '_is_scheduled'", "has yielded a value of type int, which is no task."),
        ("'datetime.date' object has no attribute '_is_scheduled'", "has yielded a value of type datetime.date, which"),
        (
            "type object 'object' has no attribute '_is_scheduled'",
            "has yielded a value of type object, which is no task.",
        ),
        ("'OrchestrationContext' object has no attribute 'get_input'", "no `main = df.Orchestrator.create(...)`?"),
        ("'EntityContext' object has no attribute 'get_state'", "no `main = df.Entity.create(...)`?"),
    ],
)
def test_an_error_caused_by_misuse_is_explained(message: str, meaning: str) -> None:
    text = explained("AttributeError", message)
    assert text.startswith(f"AttributeError: {message}. ")
    assert meaning in text


def test_any_other_error_is_reported_unchanged() -> None:
    assert explained("ValueError", "'int' object has no attribute 'is_played'") == (
        "ValueError: 'int' object has no attribute 'is_played'"
    )
    assert explained("AttributeError", "'Chunk' object has no attribute 'id'") == (
        "AttributeError: 'Chunk' object has no attribute 'id'"
    )
