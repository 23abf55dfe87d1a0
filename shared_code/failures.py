"""Reads the class and the text of an activity's exception from the one that the durable SDK raises in the orchestrator.

Mirrors the extension's `Activity function '...' failed:  Type: message`, to which the SDK appends the details; and the
functions host's `Result: Failure / Exception: ... / Stack: ...` if the extension passes that on whole.
"""

from __future__ import annotations

import re
from typing import Final

from shared_code.results import ChunkError

MAX_MESSAGE_LENGTH: Final = 500
# The type if the text names none: a crashed worker, a timeout, a sub-orchestration terminated from outside.
UNNAMED_TYPE: Final = "ChunkFailed"
# The type if the chunk was not done within the chunk_timeout of the request.
TIMEOUT_TYPE: Final = "ChunkTimeout"

_PREFIX: Final = re.compile(r"\A(?:Activity|Orchestrator) function '[^']*' failed:\s*")
_HOST_TEXT: Final = re.compile(r"Result: Failure\s*Exception: (?P<text>.*?)(?:\s*Stack: |\Z)", re.DOTALL)
_DETAILS: Final = " \n "  # as the SDK joins reason and details
_TYPED: Final = re.compile(r"\A(?P<type>[A-Za-z_]\w*(?:\.\w+)*)(?:: ?(?P<message>.*))?\Z", re.DOTALL)


def read_failure(failure: BaseException) -> ChunkError:
    """The activity's own exception, as far as the text has it; the message is bounded, as each chunk stores one.

    A TimeoutError is no activity's: those arrive as plain exceptions.
    """
    if isinstance(failure, TimeoutError):
        return ChunkError(type=TIMEOUT_TYPE, message=str(failure))
    text = _PREFIX.sub("", str(failure))
    host_text = _HOST_TEXT.search(text)
    text = host_text["text"] if host_text else text.partition(_DETAILS)[0]
    typed = _TYPED.match(text.strip())
    if typed is None:
        return ChunkError(type=UNNAMED_TYPE, message=bounded(text.strip()))
    return ChunkError(type=typed["type"], message=bounded((typed["message"] or "").strip()))


def bounded(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
