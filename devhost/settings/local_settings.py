"""Reads local.settings.json and merges its values into the environment that the app sees.

A variable that is set and not empty wins over the file. Mirrors AppSettingsFile and StartHostAction of Core Tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devhost.errors import ConfigurationError
from devhost.settings.json_file import read_json_object
from devhost.types import JsonObject, JsonValue

FILE_NAME = "local.settings.json"


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The file's content; `values` has None for JSON null."""

    path: Path
    values: Mapping[str, str | None]
    host: Mapping[str, str]


def read_local_settings(root: Path, warnings: list[str]) -> LocalSettings:
    """Missing or unreadable counts as empty, the latter with a warning.

    Raises:
        ConfigurationError: the values are encrypted; only Core Tools on the machine that wrote them can read those.
    """
    path = root / FILE_NAME
    try:
        content = read_json_object(path)
    except ConfigurationError as error:
        warnings.append(f"Failed to read the app settings, going on without them: {error}")
        content = None
    if content is None:
        return LocalSettings(path=path, values={}, host={})
    values = dict(_values(content, path))
    _refuse_encrypted(content, path, has_values=bool(values))
    host = {name.lower(): _text(value) for name, value in _section(content, "Host", path) if value is not None}
    return LocalSettings(path=path, values=values, host=host)


def merge(local: LocalSettings, environment: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """The environment with the file's values where it has none of its own."""
    merged = dict(environment)
    for name, value in local.values.items():
        if not name:
            warnings.append("Skipping local setting with empty key.")
        elif merged.get(name):
            warnings.append(
                f"Skipping '{name}' from local settings as it's already defined in current environment variables."
            )
        elif value is None:
            warnings.append(f"Skipping '{name}' because value is null")
        else:
            merged[name] = value
    return merged


def _refuse_encrypted(content: JsonObject, path: Path, *, has_values: bool) -> None:
    # An absent key means true.
    is_encrypted = str(content.get("IsEncrypted", True)).lower() != "false"
    if is_encrypted and has_values:
        cause = "is missing, which means true" if "IsEncrypted" not in content else "is true"
        raise ConfigurationError(
            f"{path}: IsEncrypted {cause}, and devhost cannot decrypt settings: write the values in plain text and "
            'set "IsEncrypted": false.'
        )


def _values(content: JsonObject, path: Path) -> Iterator[tuple[str, str | None]]:
    for name, value in _section(content, "Values", path):
        if isinstance(value, (dict, list)):
            raise ConfigurationError(f"{path}: Values.{name} must be a string, not an object or an array.")
        yield name, None if value is None else _text(value)
    for name, value in _section(content, "ConnectionStrings", path):
        text = value.get("ConnectionString") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise ConfigurationError(f"{path}: ConnectionStrings.{name} must be a string.")
        yield f"ConnectionStrings:{name}", text


def _section(content: JsonObject, name: str, path: Path) -> list[tuple[str, JsonValue]]:
    section = next((value for key, value in content.items() if key.lower() == name.lower()), None)
    if section is None:
        return []
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path}: {name} must be an object.")
    return list(section.items())


def _text(value: JsonValue) -> str:
    # Json.NET spells its booleans so when it makes strings of them.
    return str(value)
