"""Reads the JSON files of an app as Json.NET does: a byte order mark, comments and trailing commas are let pass."""

from __future__ import annotations

import json
import re
from pathlib import Path

from devhost.errors import ConfigurationError
from devhost.types import JsonObject

_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")


def read_json_object(path: Path) -> JsonObject | None:
    """The object in the file, None where there is no file.

    Raises:
        ConfigurationError: the file cannot be read, or is not a JSON object; with path, line and column.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    return _parse(text, path)


def _parse(text: str, path: Path) -> JsonObject:
    try:
        value = json.loads(_TRAILING_COMMA.sub(_blank, _COMMENT.sub(_blank, text)))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigurationError(f"{path} is not valid JSON: {error.msg} ({place}).") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path} is not valid JSON: nested too deep.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} must hold a JSON object, `{{...}}`.")
    return value


def _blank(match: re.Match[str]) -> str:
    """Keeps strings, and makes blanks of anything else without moving what follows to another line or column."""
    found = match.group()
    return found if found.startswith('"') else re.sub(r"[^\r\n]", " ", found)
