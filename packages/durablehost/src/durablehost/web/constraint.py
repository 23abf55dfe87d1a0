"""The inline constraints of route templates: `{id:int:min(1)}`.

Mirrors Microsoft.AspNetCore.Routing.Constraints. A constraint looks at the decoded text of one route value; it never
converts it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from durablehost.web.times import read_time

Constraint = Callable[[str], bool]

_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
# Written so that there is one way to match: a text that does not match must not be tried in all ways.
_NUMBER = r"(?:\d[\d,]*(?:\.\d*)?|\.\d+)"
_DECIMAL = re.compile(rf"(?:[+-]\s*)?{_NUMBER}|{_NUMBER}\s*[+-]", re.ASCII)
_FLOAT = re.compile(rf"[+-]?{_NUMBER}(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_NOT_FINITE = frozenset({"nan", "infinity", "-infinity", "∞", "-∞"})
_DASHED = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GUID = re.compile(rf"[0-9a-f]{{32}}|{_DASHED}|\{{{_DASHED}\}}|\({_DASHED}\)", re.IGNORECASE)
_INT32 = 2**31
_INT64 = 2**63
_LONGEST_INTEGER = 40  # a longer text is no 64-bit integer, and Python refuses to convert very long ones


def build_constraint(name: str, arguments: str | None) -> Constraint:
    """The constraint written as `name` or `name(arguments)`.

    Raises:
        ValueError: there is no such constraint, or its arguments do not fit.
    """
    key = name.lower()
    if arguments is None and key in _PLAIN:
        return _PLAIN[key]
    if arguments is not None and key == "regex":
        return _regex(arguments)
    numbers = [int(part) for part in (arguments or "").split(",") if part.strip()]
    build = _WITH_NUMBERS.get((key, len(numbers)))
    if build is None:
        raise ValueError(f"the constraint '{name}' is not known with these arguments")
    return build(*numbers)


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _LONGEST_INTEGER and _INTEGER.fullmatch(text) else None


def _is_int(text: str) -> bool:
    number = _integer(text)
    return number is not None and -_INT32 <= number < _INT32


def _is_long(text: str) -> bool:
    number = _integer(text)
    return number is not None and -_INT64 <= number < _INT64


def _is_bool(text: str) -> bool:
    return text.strip().lower() in {"true", "false"}


def _is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text.strip()) is not None


def _is_float(text: str) -> bool:
    return _FLOAT.fullmatch(text.strip()) is not None or text.strip().lower() in _NOT_FINITE


def _is_guid(text: str) -> bool:
    return _GUID.fullmatch(text.strip()) is not None


def _is_datetime(text: str) -> bool:
    return read_time(text.strip()) is not None


def _regex(pattern: str) -> Constraint:
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"the regular expression '{pattern}' is not valid: {error}") from error
    return lambda text: compiled.search(text) is not None


def _in_range(low: float, high: float) -> Constraint:
    def is_in_range(text: str) -> bool:
        number = _integer(text)
        return number is not None and _is_long(text) and low <= number <= high

    return is_in_range


def _has_length(low: float, high: float) -> Constraint:
    return lambda text: low <= len(text) <= high


_PLAIN: dict[str, Constraint] = {
    "int": _is_int,
    "long": _is_long,
    "bool": _is_bool,
    "datetime": _is_datetime,
    "decimal": _is_decimal,
    "double": _is_float,
    "float": _is_float,
    "guid": _is_guid,
    "alpha": lambda text: re.fullmatch(r"[a-z]*", text, re.IGNORECASE | re.ASCII) is not None,
    "required": lambda text: text != "",
}
_WITH_NUMBERS: dict[tuple[str, int], Callable[..., Constraint]] = {
    ("length", 1): lambda n: _has_length(n, n),
    ("length", 2): _has_length,
    ("minlength", 1): lambda n: _has_length(n, math.inf),
    ("maxlength", 1): lambda n: _has_length(0, n),
    ("min", 1): lambda n: _in_range(n, math.inf),
    ("max", 1): lambda n: _in_range(-math.inf, n),
    ("range", 2): _in_range,
}
