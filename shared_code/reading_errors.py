"""The errors about readings: one exception that names the file, whatever Polars and the storage raise.

The rule of this file: a message never contains a credential, and an error is permanent only if its class or the code of
the storage service says so; the wording of other libraries is only shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import polars as pl

from shared_code.blob_connection import ConnectionSettingError, NoToken
from shared_code.failures import LASTING_OS_ERRORS, ActivityError
from shared_code.files import LASTING_CODES, StorageError

_MAX_CAUSE_LENGTH: Final = 300
# Where Polars begins to explain its plan and to give advice to programmers.
_ADVICE: Final = re.compile(
    r"; note: if you are using Python|Resolved plan until|This error occurred|You might want to|Consider setting"
)

# How Polars calls text that is no JSON, such as NaN, and a byte order mark.
_PLAIN_WORDS: Final = {
    "InternalError(TapeError)": "no valid JSON",
    "at character 0 ('ï')": "at its beginning, which is a byte order mark",
}
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")


class ReadingsError(ActivityError):
    """The readings of a window cannot be read; the message names the file, the location or the setting."""


class ReadingsChanged(ReadingsError):
    """A file is no longer as it was when the run listed it, or was replaced while it was read, twice."""


# A fault inside Polars raises PanicException, which is no subclass of Exception.
_POLARS_ERRORS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
READ_ERRORS: Final = (*_POLARS_ERRORS, ConnectionSettingError, StorageError, OSError, ValueError)


@contextmanager
def naming(place: str, secrets: tuple[str, ...] = (), *, is_remote: bool = False) -> Iterator[None]:
    """Converts what Polars and the storage raise inside the block to a `ReadingsError` that names `place`.

    `is_remote`: Polars reads from the storage service itself, so its errors may be those of the network.
    """
    try:
        yield
    except READ_ERRORS as error:
        text = f"cannot read {place}: {_cause(error, secrets)}"
        raise ReadingsError(text, is_permanent=_is_permanent(error, is_remote)) from None


def _is_permanent(error: BaseException, is_remote: bool) -> bool:
    if isinstance(error, StorageError):
        return error.is_permanent
    if isinstance(error, _POLARS_ERRORS):
        return not is_remote or _code(error) in LASTING_CODES
    if isinstance(error, OSError):
        if isinstance(error, LASTING_OS_ERRORS) or _code(error) in LASTING_CODES:
            return True
        return _is_about_content(error) and not is_remote
    return not isinstance(error, NoToken)


def _is_about_content(error: OSError) -> bool:
    """Whether Polars could not decompress a file: that of the operating system has a number."""
    return type(error) is OSError and error.errno is None and "os error" not in str(error)


def _code(error: BaseException) -> str | None:
    """The error code of the storage service, which Polars passes on."""
    code = _CODE.search(str(error))
    return code[1] if code else None


def _cause(error: BaseException, secrets: tuple[str, ...]) -> str:
    text = str(error)
    if code := _code(error):
        return f"the storage service answered {code}"
    if isinstance(error, pl.exceptions.PanicException):
        return "Polars fails on it; the log of the worker process has the details"
    if isinstance(error, FileNotFoundError) or "expanded paths were empty" in text:
        return "there is no such file, blob or container"
    if isinstance(error, PermissionError):
        return "access denied"
    if isinstance(error, ConnectionError):
        return "the storage service cannot be reached"
    for secret in secrets:
        text = text.replace(secret, "***")
    for wording, plain in _PLAIN_WORDS.items():
        text = text.replace(wording, plain)
    return " ".join(_ADVICE.split(text, maxsplit=1)[0].split())[:_MAX_CAUSE_LENGTH]
