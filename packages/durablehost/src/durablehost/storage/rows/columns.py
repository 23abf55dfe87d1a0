"""Reads the columns of rows that other hosts may have written, or damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from durablehost.core.event_check import described, is_int32

T = TypeVar("T")


class Columns:
    """The columns of a row by type; None for one that is missing or of another type, which `problems` names."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        return self._of_type(name, str, "a text")

    def number(self, name: str) -> int | None:
        return self._of_type(name, int, "a whole number", is_int32)

    def flag(self, name: str) -> bool | None:
        return self._of_type(name, bool, "a boolean")

    def time(self, name: str) -> datetime | None:
        return self._of_type(name, datetime, "a time")

    def _of_type(
        self, name: str, kind: type[T], wanted: str, is_met: Callable[[Any], bool] = lambda value: True
    ) -> T | None:
        value = self._row.get(name)
        if value is None or (isinstance(value, kind) and is_met(value)):
            return value
        self.problems.append(f"{name} is {described(value)}, not {wanted}")
        return None
