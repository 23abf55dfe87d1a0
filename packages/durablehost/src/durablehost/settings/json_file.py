"""Reads the JSON files of an app as Json.NET does."""

from __future__ import annotations

from pathlib import Path

from durablehost import lenient_json
from durablehost.errors import ConfigurationError
from durablehost.types import JsonObject


def read_json_object(path: Path, *, are_numbers_texts: bool = False) -> JsonObject | None:
    """The object in the file, None if there is no file; its numbers as they are written if they are to be texts.

    Raises:
        ConfigurationError: the file cannot be read, or is not a JSON object; with path, line and column.
    """
    try:
        value = lenient_json.read(path, are_numbers_texts=are_numbers_texts)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} must contain a JSON object, `{{...}}`.")
    return value
