"""Reads host.json: its version, its extension bundle, its durations; never writes it and never needs the network.

Mirrors HostJsonFileConfigurationSource of the Functions host; unknown keys are ignored as there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from devhost.errors import ConfigurationError
from devhost.settings.configuration import Configuration, format_time_span, parse_time_span
from devhost.settings.json_file import read_json_object
from devhost.settings.model import LogLevel
from devhost.types import JsonObject

FILE_NAME = "host.json"
RECOMMENDED_BUNDLE = "[4.*, 5.0.0)"

# Upstream writes this into the folder of the app; a host that only runs an app should not change it.
_DEFAULT_CONTENT: JsonObject = {
    "version": "2.0",
    "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": RECOMMENDED_BUNDLE},
}
_DEFAULT_TIMEOUT_SECONDS = 1800.0
_LONGEST_TIMEOUT_SECONDS = 2**31 / 1000
_OLDEST_BUNDLE = 2
_CURRENT_BUNDLE = 4


def read_host_json(root: Path, environment: Mapping[str, str], warnings: list[str]) -> Configuration:
    """The checked content of host.json with its overrides.

    Raises:
        ConfigurationError: no JSON, a wrong `version`, a bundle too old for Functions 4.
    """
    path = root / FILE_NAME
    content = read_json_object(path)
    if content is None:
        warnings.append(f"There is no {FILE_NAME} in {root}: the defaults of Azure Functions 4 apply.")
        content = _DEFAULT_CONTENT
    configuration = Configuration(content, source=str(path), environment=environment)
    _check_version(configuration, path)
    _check_bundle(configuration, path, warnings)
    return configuration


def function_timeout_seconds(configuration: Configuration) -> float | None:
    """`functionTimeout`: 30 minutes where absent, None for -1."""
    entry = configuration.entry("functionTimeout")
    if entry is None:
        return _DEFAULT_TIMEOUT_SECONDS
    if str(entry.value).strip() == "-1":
        return None
    seconds = parse_time_span(str(entry.value))
    if seconds is None or not 1 <= seconds <= _LONGEST_TIMEOUT_SECONDS:
        longest = format_time_span(int(_LONGEST_TIMEOUT_SECONDS))
        raise entry.wrong(f'"-1" or a duration "hh:mm:ss" from 00:00:01 to {longest}')
    return seconds


def log_levels(configuration: Configuration) -> Mapping[str, LogLevel]:
    """`logging.logLevel` by category in lower case."""
    by_name = {level.value.lower(): level for level in LogLevel}
    levels = {}
    for category, entry in configuration.below("logging.logLevel").items():
        level = by_name.get(str(entry.value).lower())
        if level is None:
            raise entry.wrong(f"one of {', '.join(each.value for each in LogLevel)}")
        levels[category] = level
    return levels


def _check_version(configuration: Configuration, path: Path) -> None:
    version = configuration.entry("version")
    if version is None:
        raise ConfigurationError(f'{path} is missing the required key version: add "version": "2.0".')
    if version.value != "2.0":
        raise version.wrong('"2.0", the version of the host.json schema')


def _check_bundle(configuration: Configuration, path: Path, warnings: list[str]) -> None:
    if not configuration.below("extensionBundle"):
        return
    if not configuration.text("extensionBundle.id"):
        raise ConfigurationError(f"{path}: extensionBundle.id is missing.")
    version = configuration.text("extensionBundle.version") or ""
    # `[4.*, 5.0.0)`, `[4.0.0, 5.0.0)` and `4.1.0` are all in use.
    lowest = re.match(r"[\[(]?\s*(\d+)\s*[.,\])]", f"{version},")
    if lowest is None:
        raise ConfigurationError(
            f'{path}: extensionBundle.version is "{version}"; it must be a range like {RECOMMENDED_BUNDLE}.'
        )
    if int(lowest.group(1)) < _OLDEST_BUNDLE:
        raise ConfigurationError(
            f"{path}: extensionBundle.version {version} is below 2.6.1, the oldest that Azure Functions 4 runs: "
            f"set it to {RECOMMENDED_BUNDLE}."
        )
    if int(lowest.group(1)) < _CURRENT_BUNDLE:
        warnings.append(f"{path}: extensionBundle.version {version} is out of support: set it to {RECOMMENDED_BUNDLE}.")
