"""Reads local.settings.json and merges its values into the environment that the app sees.

A variable that is set and not empty wins over the file. Mirrors AppSettingsFile and StartHostAction of Core Tools.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from durablehost.errors import ConfigurationError
from durablehost.settings.json_file import read_json_object
from durablehost.types import JsonObject, JsonValue

FILE_NAME = "local.settings.json"

_SECTIONS = ("IsEncrypted", "Values", "Host", "ConnectionStrings")
_HOST_KEYS = ("LocalHttpPort", "LocalHttpAddress", "CORS", "CORSCredentials", "AllowedHosts")
_NOT_IN_ENVIRONMENT = re.compile("[\0\ud800-\udfff]")
# Bytes of `NAME=value`, with the byte that ends it, in which Linux starts a process; characters in Windows.
_LONGEST_VARIABLE = {"linux": 128 * 1024, "win32": 32_767}.get(sys.platform, sys.maxsize)


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The content of the file; `values` has None for JSON null."""

    path: Path
    values: Mapping[str, str | None]
    host: Mapping[str, str]


def read_local_settings(root: Path, warnings: list[str]) -> LocalSettings:
    """Reads the file; a missing one counts as empty. A section that has no effect becomes a warning.

    Raises:
        ConfigurationError: the file cannot be read, the name of a section is misspelled, or its values are encrypted;
            only Core Tools on the machine that wrote them can read those.
    """
    path = root / FILE_NAME
    content = read_json_object(path, are_numbers_texts=True)
    if content is None:
        return LocalSettings(path=path, values={}, host={})
    _check_sections(content, path, warnings)
    values = dict(_values(content, path))
    _refuse_encrypted(content, path, has_values=bool(values))
    return LocalSettings(path=path, values=values, host=dict(_host(content, path)))


def merge(local: LocalSettings, environment: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """The environment, completed by the values of the file."""
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


def _check_sections(content: JsonObject, path: Path, warnings: list[str]) -> None:
    """Core Tools ignores what it does not know, and the app would run without settings that are in the file."""
    known = {name.lower(): name for name in _SECTIONS}
    for name, value in content.items():
        if name.lower() not in known:
            if meant := get_close_matches(name.lower(), known, n=1):
                raise ConfigurationError(f'{path}: "{name}" is no section of this file; write "{known[meant[0]]}".')
            warnings.append(f'{path}: "{name}" has no effect; app settings belong in "Values".')
        elif value is None:
            warnings.append(f'{path}: "{name}" is null, so nothing in it has an effect.')


def _refuse_encrypted(content: JsonObject, path: Path, *, has_values: bool) -> None:
    # An absent key means true. Core Tools reads it in any case.
    marks = [value for key, value in content.items() if key.lower() == "isencrypted"]
    is_encrypted = not marks or str(marks[-1]).lower() != "false"
    if is_encrypted and has_values:
        cause = "is true" if marks else "is missing, which means true"
        raise ConfigurationError(
            f"{path}: IsEncrypted {cause}, and durablehost cannot decrypt settings: write the values in plain text and "
            'set "IsEncrypted": false.'
        )


def _values(content: JsonObject, path: Path) -> Iterator[tuple[str, str | None]]:
    for name, value in _section(content, "Values", path):
        if isinstance(value, (dict, list)):
            raise ConfigurationError(f"{path}: Values.{name} must be a string, not an object or an array.")
        written = None if value is None else _text(value)
        _check_variable("Values", name, written, path)
        yield name, written
    for name, value in _section(content, "ConnectionStrings", path):
        text = value.get("ConnectionString") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise ConfigurationError(f"{path}: ConnectionStrings.{name} must be a string.")
        _check_variable("ConnectionStrings", name, text, path)
        yield f"ConnectionStrings:{name}", text


def _host(content: JsonObject, path: Path) -> Iterator[tuple[str, str]]:
    known = {key.lower(): key for key in _HOST_KEYS}
    for name, value in _section(content, "Host", path):
        meant = get_close_matches(name.lower(), known, n=1)
        if meant and name.lower() not in known:
            raise ConfigurationError(f'{path}: "{name}" has no effect in Host; write "{known[meant[0]]}".')
        if isinstance(value, (dict, list)):
            hint = ", with commas between several" if isinstance(value, list) else ""
            raise ConfigurationError(f"{path}: Host.{name} must be a single value{hint}.")
        if value is not None:
            yield name.lower(), _text(value)


def _check_variable(section: str, name: str, value: str | None, path: Path) -> None:
    if "=" in name or _NOT_IN_ENVIRONMENT.search(f"{name}{value}"):
        raise ConfigurationError(
            f"{path}: {section}.{name!r} cannot be an environment variable: a name must not contain =, and neither "
            "name nor value U+0000 or half of a surrogate pair."
        )
    length = len(f"{name}={value}\0".encode())
    if length > _LONGEST_VARIABLE:
        raise ConfigurationError(
            f"{path}: {section}.{name!r} is too long for an environment variable: with its name it has {length:,} "
            f"bytes, and {_LONGEST_VARIABLE:,} are allowed. Keep it in a file."
        )


def _section(content: JsonObject, name: str, path: Path) -> list[tuple[str, JsonValue]]:
    section = next((value for key, value in content.items() if key.lower() == name.lower()), None)
    if section is None:
        return []
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path}: {name} must be an object.")
    return list(section.items())


def _text(value: JsonValue) -> str:
    """A value as it is written in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)
