"""What an entity function returns for a batch of operations: the JSON of the SDK as frozen values.

The rule of this file: what the SDK can ask for is read or refused by its name. Mirrors OutOfProcEntityShim.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from devhost.errors import UnsupportedFeatureError, UserCodeError


@dataclass(frozen=True, kw_only=True)
class OperationResult:
    """How one operation ended; `result` is JSON text, for an error that of its message."""

    result: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What one run of an entity function came to: a result for every operation, and the state behind the last one."""

    exists: bool
    state: str | None
    results: tuple[OperationResult, ...]


def parse_batch_result(text: str, count: int) -> BatchResult:
    """Reads what an entity function returned for so many operations.

    Raises:
        UnsupportedFeatureError: it asks for what devhost does not have.
        UserCodeError: it is not what the durable SDK returns.
    """
    try:
        document = json.loads(text)
        exists = bool(document["entityExists"])
        result = BatchResult(
            exists=exists,
            state=document.get("entityState") if exists else None,
            results=tuple(_operation_result(each) for each in document["results"]),
        )
        has_signals = bool(document.get("signals"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserCodeError("Out of proc entities must return a valid JSON schema") from error
    if has_signals:
        raise UnsupportedFeatureError("the entity sends signals, which devhost does not support yet")
    if len(result.results) != count:
        raise UserCodeError(f"The entity returned {len(result.results)} results for {count} operations")
    return result


def _operation_result(document: Any) -> OperationResult:
    result = document.get("result")
    return OperationResult(result="null" if result is None else str(result), is_error=bool(document.get("isError")))
