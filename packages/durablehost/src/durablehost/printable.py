"""Makes texts from outside safe to print: characters that control a terminal are shown as escapes, secrets as `***`.

Names, ids and messages of callers could otherwise set the title of the terminal, write to the clipboard, hide lines or
reorder what a person reads. And an error repeats the value that is wrong, which may be a connection string in the
wrong place.
"""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType

# C0 except tab, newline and carriage return; DEL; C1; the characters that reorder text (as in CVE-2021-42574); the
# separators that end a line for some programs; halves of surrogate pairs, which no encoding has.
_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff"
# A line break before what looks like the time of a log record: one record must not look like several. Each line is
# looked at once: a caller can send a million of them.
_FORGED_RECORD = r"\n(?=[^\S\n]*\[\d{4}-\d\d-\d\dT)"
_UNSAFE = re.compile(rf"[{_CONTROLS}\r]|{_FORGED_RECORD}")
_UNSAFE_IN_OUTPUT = re.compile(rf"(\x1b\[[0-9;:]*m)|[{_CONTROLS}]|{_FORGED_RECORD}")
_RESET = "\x1b[0m"

# What stands in connection strings, signatures, addresses and headers. A password ends at a semicolon only; a key is
# recognised without its name if it is Base64 of 32 bytes or more.
_SECRET = re.compile(
    r"\b(pass(?:word|wd)|pwd)\s*=\s*[^;\"\n]+"
    r"|\b(accountkey|sharedaccesskey|sharedaccesssignature|sig|(?:client_?)?secret|api[_-]?key)\s*=\s*[^\s;&\"']+"
    r"|(://)[^\s/?#@:\"]*:[^\s/?#\"]*@"
    r"|(?<![\w+/-])[\w+/-]{42,}={1,2}(?![\w=])",
    re.IGNORECASE,
)
_HIDDEN = "***"


def printable(text: str) -> str:
    """The text with escapes such as `\\u001b` for characters that control a terminal; newlines and tabs stay.

    JSON stays JSON of the same value.
    """
    return _UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))


def printable_output(text: str) -> str:
    """As `printable`, for the output of a program: colours and carriage returns stay, and colours end with the text."""
    shown = _UNSAFE_IN_OUTPUT.sub(lambda match: match[1] or _escaped(match), text)
    return f"{shown}{_RESET}" if "\x1b" in shown and not shown.endswith((_RESET, "\x1b[m")) else shown


def without_secrets(text: str) -> str:
    """The text with `***` for what looks like a key, a signature or a password."""
    return _SECRET.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    return f"{name}={_HIDDEN}" if name else f"{match[3]}{_HIDDEN}@" if match[3] else _HIDDEN


def print_exception(type_: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints an exception that nobody has handled, as `sys.excepthook` does."""
    sys.stderr.write(printable(without_secrets("".join(traceback.format_exception(type_, error, trace)))))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
