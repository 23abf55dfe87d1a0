"""The functions worker resolves the annotations of every entry point when it loads the app."""

from __future__ import annotations

import importlib
import typing

import pytest

FUNCTIONS = [
    "finish_run_activity",
    "orchestrator_function",
    "prepare_run_activity",
    "process_chunk_activity",
    "starter_function",
    "test_activity_function",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_annotations_of_an_entry_point_are_plain_classes(name: str) -> None:
    hints = typing.get_type_hints(importlib.import_module(name).main)
    assert all(isinstance(hint, type) for hint in hints.values()), hints
