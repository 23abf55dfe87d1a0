"""The errors of activities, and how the orchestrator reads them back from the text of what the durable SDK raises.

An orchestrator gets only the text of an exception. So an error that another attempt would meet again is marked in its
text when it leaves the activity.

Reading mirrors the extension's `Activity function '...' failed:  Type: message`, to which the SDK appends the details;
and the functions host's `Result: Failure / Exception: ... / Stack: ...` if the extension passes that on whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared_code.results import ChunkError

MAX_MESSAGE_LENGTH: Final = 500
# The type if the text names none: a crashed worker, a timeout, a sub-orchestration terminated from outside.
UNNAMED_TYPE: Final = "ChunkFailed"
# The type if the chunk was not done within the chunk_timeout of the request.
TIMEOUT_TYPE: Final = "ChunkTimeout"
# What the operating system refuses for a reason that another attempt would meet again.
LASTING_OS_ERRORS: Final = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    FileExistsError,
)

_PREFIX: Final = re.compile(r"\A(?:Activity|Orchestrator) function '[^']*' failed:\s*")
_HOST_TEXT: Final = re.compile(r"Result: Failure\s*Exception: (?P<text>.*?)(?:\s*Stack: |\Z)", re.DOTALL)
_DETAILS: Final = " \n "  # as the SDK joins reason and details
_TYPED: Final = re.compile(r"\A(?P<type>[A-Za-z_]\w*(?:\.\w+)*)(?:: ?(?P<message>.*))?\Z", re.DOTALL)
# At the beginning of the message, because its end may be cut off.
_PERMANENT: Final = "[permanent] "


class ActivityError(Exception):
    """An error of an activity, with a message for users.

    `is_permanent`: another attempt would meet it again, so the orchestrator makes none.
    """

    def __init__(self, message: str, *, is_permanent: bool = True) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


@contextmanager
def leaving_activity() -> Iterator[None]:
    """Marks a permanent error that leaves the block in its text."""
    try:
        yield
    except ActivityError as error:
        if error.is_permanent:
            error.args = (f"{_PERMANENT}{error}",)
        raise


def is_permanent(failure: BaseException) -> bool:
    """Whether the activity has marked its exception as one that another attempt would meet again."""
    return _type_and_message(failure)[1].startswith(_PERMANENT)


def read_failure(failure: BaseException) -> ChunkError:
    """The activity's own exception, as far as the text has it; the message is bounded, as each chunk stores one.

    A TimeoutError is no activity's: those arrive as plain exceptions.
    """
    if isinstance(failure, TimeoutError):
        return ChunkError(type=TIMEOUT_TYPE, message=str(failure))
    type_name, message = _type_and_message(failure)
    return ChunkError(type=type_name, message=bounded(message.removeprefix(_PERMANENT)))


def _type_and_message(failure: BaseException) -> tuple[str, str]:
    text = _PREFIX.sub("", str(failure))
    host_text = _HOST_TEXT.search(text)
    text = host_text["text"] if host_text else text.partition(_DETAILS)[0]
    typed = _TYPED.match(text.strip())
    if typed is None:
        return UNNAMED_TYPE, text.strip()
    return typed["type"], (typed["message"] or "").strip()


def bounded(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
