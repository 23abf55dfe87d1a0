"""Describes an exception of user code as data.

The traceback begins in user code: the frames of durablehost, of its library and of Python before it would not help its
author. Without a frame of user code there is no traceback: the function or its result is wrong, not a line of it.
"""

from __future__ import annotations

import os
import traceback
from itertools import dropwhile
from pathlib import Path

from durablehost.app.invocation import Failure

_OWN_FOLDER = str(Path(__file__).parent)
_PYTHON_FOLDER = str(Path(traceback.__file__).parent)
_LIBRARY = f"{os.sep}azure{os.sep}functions{os.sep}"


def describe(error: BaseException) -> Failure:
    """Never raises, whatever the exception's own methods do: without a result, the call would never end."""
    return Failure(type_name=_type_name(error), message=_text(error), stack=_stack(error))


def _type_name(error: BaseException) -> str:
    try:
        return str(type(error).__name__)
    except BaseException:
        return "BaseException"


def _text(error: BaseException) -> str:
    try:
        return _printable(str(error))
    except BaseException as unprintable:
        return f"<str() of the exception raised {type(unprintable).__name__}>"


def _stack(error: BaseException) -> str:
    try:
        described = traceback.TracebackException.from_exception(error)
        link: traceback.TracebackException | None = described
        while link is not None:
            link.stack[:] = dropwhile(_is_foreign, link.stack)
            link = link.__cause__ or link.__context__
        return _printable("".join(described.format()))
    except BaseException as unprintable:
        return f"<formatting the traceback raised {type(unprintable).__name__}>"


def _is_foreign(frame: traceback.FrameSummary) -> bool:
    name = frame.filename
    is_of_python = name.startswith((_PYTHON_FOLDER, "<frozen ")) and "site-packages" not in name
    return is_of_python or name.startswith(_OWN_FOLDER) or _LIBRARY in name


def _printable(text: str) -> str:
    """Escapes lone surrogates, which cannot be encoded."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
