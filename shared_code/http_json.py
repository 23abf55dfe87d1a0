"""Reads the JSON bodies of both HTTP functions, and makes their answers.

The rule of this file: any bytes quickly become a contract or an `InvalidInput`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NoReturn

import azure.functions as func

from shared_code.contracts import MAX_PROBLEMS, MAX_TARGET_LENGTH, ContractT, InvalidInput, JsonObject, Problem

# Bodies here are a few hundred bytes. The size is checked before parsing, which is expensive for a hostile body.
MAX_BODY_BYTES: Final = 64 * 1024
# Half a character, which JSON can write as an escape; the parser joins the halves of a whole one.
_SURROGATE: Final = re.compile("[\\ud800-\\udfff]")


def read_body(body: bytes, read: Callable[[object], ContractT]) -> ContractT:
    """The contract that `read` makes of the JSON in `body`.

    Raises:
        InvalidInput: too long, not UTF-8, not JSON, not an object, or not as the contract asks.
    """
    if len(body) > MAX_BODY_BYTES:
        raise _refuse(f"must be at most {MAX_BODY_BYTES} bytes, not {len(body)}")
    return read(_parse(body))


def _parse(body: bytes) -> object:
    try:
        text = body.decode("utf-8-sig")  # editors on Windows begin text with a byte order mark
    except UnicodeDecodeError as error:
        raise _refuse(f"must be UTF-8 text; byte {error.start} is not") from None
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        raise _refuse(f"must be JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except InvalidInput:
        raise
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or nesting deeper than the interpreter's stack.
        raise _refuse("must be JSON of reasonable size and depth") from None


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(Problem(target="body", message=message))


def _refuse_constant(name: str) -> NoReturn:
    raise _refuse(f"must be JSON: {name} is not a JSON number")


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    counts = Counter(name for name, _ in pairs)
    wrong = {name: "must be given once" for name, count in counts.items() if count > 1}
    wrong |= {name: "is no valid Unicode text" for name in counts if _SURROGATE.search(name)}
    if wrong:
        raise InvalidInput(
            *(
                Problem(target=name[:MAX_TARGET_LENGTH], message=message)
                for name, message in list(wrong.items())[:MAX_PROBLEMS]
            )
        )
    return dict(pairs)


def json_response(document: JsonObject, status_code: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(document), status_code=status_code, mimetype="application/json")


def error_response(status_code: int, code: str, message: str, *details: Problem) -> func.HttpResponse:
    document: JsonObject = {
        "error": {
            "code": code,
            "message": message,
            "details": [{"target": detail.target, "message": detail.message} for detail in details],
        }
    }
    return json_response(document, status_code)


def bad_request(error: InvalidInput) -> func.HttpResponse:
    return error_response(
        400, "InvalidRequest", "The request body is not valid; details has every problem.", *error.problems
    )
