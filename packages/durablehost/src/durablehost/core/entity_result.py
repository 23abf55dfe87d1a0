"""The JSON that the SDK returns for a batch of entity operations, as frozen values.

The rule of this file: everything that the SDK can ask for is read, or refused by name. Mirrors OutOfProcEntityShim.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from durablehost.errors import UnsupportedFeatureError, UserCodeError


@dataclass(frozen=True, kw_only=True)
class OperationResult:
    """The outcome of one operation; `result` is JSON text: of its value, or of its error message."""

    result: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The outcome of one run of an entity function: a result for every operation, and the state after the last one."""

    exists: bool
    state: str | None
    results: tuple[OperationResult, ...]


def parse_batch_result(text: str, count: int) -> BatchResult:
    """Reads what an entity function returned for so many operations.

    Raises:
        UnsupportedFeatureError: it uses a feature that durablehost does not have.
        UserCodeError: the text is not what the durable SDK returns.
    """
    try:
        document = json.loads(text)
        exists = bool(document["entityExists"])
        result = BatchResult(
            exists=exists,
            state=_text_or_none(document.get("entityState")) if exists else None,
            results=tuple(_operation_result(each) for each in document["results"]),
        )
        has_signals = bool(document.get("signals"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserCodeError("Out of proc entities must return a valid JSON schema") from error
    if has_signals:
        raise UnsupportedFeatureError("the entity sends signals, which durablehost does not support yet")
    if len(result.results) != count:
        raise UserCodeError(f"The entity returned {len(result.results)} results for {count} operations")
    return result


def _text_or_none(value: Any) -> str | None:
    if not isinstance(value, (str, type(None))):
        raise TypeError("the state is not JSON text")
    return value


def _operation_result(document: Any) -> OperationResult:
    result = document.get("result")
    return OperationResult(result="null" if result is None else str(result), is_error=bool(document.get("isError")))
