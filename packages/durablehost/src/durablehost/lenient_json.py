"""Reads JSON that people have written, as Json.NET does.

Comments, trailing commas, single quotes, names without quotes and line breaks in strings are accepted, in UTF-8 or
behind the byte order mark of UTF-16 or UTF-32.
"""

from __future__ import annotations

import codecs
import errno
import json
import re
import stat
from pathlib import Path
from typing import Any

_STRING = r'"(?:\\.|[^"\\])*"'
_SINGLE_QUOTED = r"'(?:\\.|[^'\\])*'"
_IN_SINGLE_QUOTES = re.compile(r'\\.|"', re.DOTALL)
_COMMENT = re.compile(rf"{_STRING}|{_SINGLE_QUOTED}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_BARE_NAME = re.compile(rf"{_STRING}|[A-Za-z_$][\w$]*(?=\s*:)", re.DOTALL)
_MOST_BYTES = 16 * 1024 * 1024
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
# UTF-32 first: its mark begins with that of UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(path: Path, *, are_numbers_texts: bool = False) -> Any:
    """The value of a file, its numbers as they are written if they are to be texts.

    Raises:
        ValueError: the file is not JSON, or not in a known encoding; the message contains the line and the column.
        OSError: the file cannot be read, is no regular file, or is larger than any configuration.
    """
    _check(path)
    content = path.read_bytes()
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"it is not {encoding.upper().removesuffix('-SIG')} text, save it as UTF-8 (line {line})"
        ) from error
    return parse(text, are_numbers_texts=are_numbers_texts)


def _check(path: Path) -> None:
    """Raises `OSError` for what reading would wait for, or never come to an end of."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file")
    if found.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST_BYTES // 1024**2} MiB")


def parse(text: str, *, are_numbers_texts: bool = False) -> Any:
    """The value of a JSON text, its numbers as they are written if they are to be texts.

    Raises:
        ValueError: the text is not JSON; the message contains the line and the column.
    """
    options: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": str} if are_numbers_texts else {}
    plain = _TRAILING_COMMA.sub(_blank, _COMMENT.sub(_blank, text))
    try:
        return json.loads(_BARE_NAME.sub(_quote, plain), strict=False, **options)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _blank(match: re.Match[str]) -> str:
    """Keeps a string and blanks out anything else, so that line and column numbers stay correct."""
    found = match.group()
    if found.startswith('"'):
        return found
    if found.startswith("'"):
        return '"' + _IN_SINGLE_QUOTES.sub(_double_quoted, found[1:-1]) + '"'
    return re.sub(r"[^\r\n]", " ", found)


def _double_quoted(match: re.Match[str]) -> str:
    found = match.group()
    return {r"\'": "'", '"': r"\""}.get(found, found)


def _quote(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith('"') else f'"{found}"'
