"""An exception of user code as data.

The traceback begins in user code: the frames of devhost, and of the executor or the import system between them, say
nothing to its author.
"""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from types import TracebackType

from devhost.app.invocation import Failure

_OWN_FOLDER = str(Path(__file__).parent)
_IMPORT_FOLDER = str(Path(importlib.__file__).parent)


def describe(error: BaseException) -> Failure:
    """Never raises, whatever the exception's own methods do."""
    return Failure(type_name=type(error).__name__, message=_text(error), stack=_stack(error))


def _text(error: BaseException) -> str:
    try:
        return _printable(str(error))
    except Exception as unprintable:
        return f"<str() of the exception raised {type(unprintable).__name__}>"


def _stack(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _user_frames(error.__traceback__))
        return _printable("".join(lines))
    except Exception as unprintable:
        return f"<formatting the traceback raised {type(unprintable).__name__}>"


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    first = frames
    while first is not None and _is_foreign(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    # All of them are ours where the result, not the call, is at fault.
    return first or frames


def _is_foreign(file_name: str) -> bool:
    return file_name.startswith((_OWN_FOLDER, _IMPORT_FOLDER, "<frozen importlib"))


def _printable(text: str) -> str:
    """Lone surrogates, which no encoding takes, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
