"""Reads host.json: its version, its extension bundle, its durations; never writes it and never needs the network.

Mirrors HostJsonFileConfigurationSource of the Functions host; unknown keys are ignored as there, but a section or a
durable setting that is misplaced or misspelled is named, because the app would run with the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from durablehost.errors import ConfigurationError
from durablehost.settings.configuration import Configuration, format_time_span, parse_time_span
from durablehost.settings.json_file import read_json_object
from durablehost.settings.model import LogLevel
from durablehost.types import JsonObject

FILE_NAME = "host.json"
RECOMMENDED_BUNDLE = "[4.*, 5.0.0)"

# Upstream writes this into the folder of the app; a host that only runs an app should not change it.
_DEFAULT_CONTENT: JsonObject = {
    "version": "2.0",
    "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": RECOMMENDED_BUNDLE},
}
_SECTIONS = (
    "extensionBundle",
    "extensions",
    "extensions.durableTask",
    "extensions.durableTask.storageProvider",
    "extensions.http",
    "extensions.http.customHeaders",
    "logging",
)
# Where the names that matter here stand. Those of durable settings are all of the extension, also what has no use here.
_PLACES: Mapping[str, Sequence[str]] = {
    "": ("extensions", "extensionBundle"),
    "extensions": ("durableTask", "http"),
    "extensions.durableTask": (
        "appLeaseOptions", "defaultVersion", "entityMessageReorderWindowInMinutes",
        "extendedSessionIdleTimeoutInSeconds", "extendedSessionsEnabled", "grpcHttpClientTimeout", "httpSettings",
        "hubName", "localRpcEndpointEnabled",
        "maxConcurrentActivityFunctions", "maxConcurrentEntityFunctions", "maxConcurrentOrchestratorFunctions",
        "maxEntityOperationBatchSize", "maxGrpcMessageSizeInBytes", "maxOrchestrationActions", "notificationUrl",
        "notifications", "overridableExistingInstanceStates", "rollbackEntityOperationsOnExceptions", "storageProvider",
        "storeInputsInOrchestrationHistory", "throwStatusExceptionsOnRaiseEvent", "tracing", "useAppLease",
        "useGracefulShutdown", "versionFailureStrategy", "versionMatchStrategy",
    ),
    "extensions.durableTask.storageProvider": (
        "allowReplayingTerminalInstances", "connectionName", "connectionStringName", "controlQueueBatchSize",
        "controlQueueBufferThreshold", "controlQueueVisibilityTimeout", "fetchLargeMessagesAutomatically",
        "maxQueuePollingInterval", "partitionCount", "partitionTableOperationTimeout", "queueClientMessageEncoding",
        "trackingStoreConnectionName", "trackingStoreConnectionStringName", "trackingStoreNamePrefix", "type",
        "useInstanceTableEtag", "useLegacyPartitionManagement", "useTablePartitionManagement",
        "workItemQueueVisibilityTimeout",
    ),
}  # fmt: skip
# Where such a name is often put instead.
_NEIGHBOURS: Mapping[str, str] = {
    "": "extensions",
    "extensions.durableTask": "extensions.durableTask.storageProvider",
    "extensions.durableTask.storageProvider": "extensions.durableTask",
}
_LEAST_LIKENESS = 0.75
_DEFAULT_TIMEOUT_SECONDS = 1800.0
_LONGEST_TIMEOUT_SECONDS = 2**31 / 1000
_RANGE = re.compile(r"[\[(]?\s*(\d+)[.\d*]*\s*(,)?\s*(?:(\d+)([.\d*]*))?\s*([\])])?")
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
    elif not content:
        # Upstream completes an empty object in the same way, without a bundle.
        content = {"version": _DEFAULT_CONTENT["version"]}
    configuration = Configuration(content, source=str(path), environment=environment)
    for section in _SECTIONS:
        configuration.members(section, must_be="an object")
    _check_version(configuration, path)
    _check_bundle(configuration, path, warnings)
    warnings += (f"{path}: {problem}" for problem in _misplaced(content))
    return configuration


def function_timeout_seconds(configuration: Configuration) -> float | None:
    """`functionTimeout`: 30 minutes if absent, None for -1."""
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
    # .NET accepts their numbers too.
    by_name = {key: level for number, level in enumerate(LogLevel) for key in (level.value.lower(), str(number))}
    levels = {}
    found = configuration.members("logging.logLevel", must_be='an object, such as {"default": "Warning"}')
    for category, entry in found.items():
        if entry.value == "":
            # .NET ignores it.
            continue
        level = by_name.get(str(entry.value).strip().lower())
        if level is None:
            raise entry.wrong(f"one of {', '.join(each.value for each in LogLevel)}")
        if category.count("*") > 1:
            raise ConfigurationError(f"{entry.source}: {entry.key} has more than one *, and a category may have one.")
        levels[category] = level
    return levels


def _misplaced(content: JsonObject) -> Iterator[str]:
    """A sentence for each name that nobody reads, although it looks like one that matters."""
    for place, names in _PLACES.items():
        known = {name.lower(): name for name in names}
        right_place = _NEIGHBOURS.get(place, place)
        elsewhere = {name.lower() for name in _PLACES[right_place]}
        for name in _members(content, place):
            if name.lower() in known:
                continue
            where = f' in "{place}"' if place else ""
            if name.lower() in elsewhere:
                yield f'"{name}"{where} has no effect; it belongs in "{right_place}".'
            elif meant := get_close_matches(name.lower(), known, n=1, cutoff=_LEAST_LIKENESS):
                yield f'"{name}"{where} has no effect; write "{known[meant[0]]}".'


def _members(content: JsonObject, place: str) -> Iterator[str]:
    """The names in the section at a dotted key."""
    sections = [content]
    for part in filter(None, place.split(".")):
        found = (value for each in sections for name, value in each.items() if name.lower() == part.lower())
        sections = [value for value in found if isinstance(value, dict)]
    return (name for each in sections for name in each)


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
        raise ConfigurationError(f"{path}: extensionBundle.id is missing: add it, or remove extensionBundle.")
    version = configuration.text("extensionBundle.version") or ""
    highest = _highest_major(version)
    if highest is None:
        raise ConfigurationError(
            f'{path}: extensionBundle.version is "{version}"; it must be a range like {RECOMMENDED_BUNDLE}.'
        )
    if highest < _OLDEST_BUNDLE:
        raise ConfigurationError(
            f"{path}: extensionBundle.version {version} is below 2.6.1, the oldest that Azure Functions 4 runs: "
            f"set it to {RECOMMENDED_BUNDLE}."
        )
    if highest < _CURRENT_BUNDLE:
        warnings.append(f"{path}: extensionBundle.version {version} is out of support: set it to {RECOMMENDED_BUNDLE}.")


def _highest_major(version: str) -> int | None:
    """The newest major version that a range admits, which is the one that a real host loads; None: no range."""
    # `[4.*, 5.0.0)`, `[4.0.0, 5.0.0)`, `[4.*, )` and `4.1.0` are all in use.
    found = _RANGE.fullmatch(version.strip())
    if found is None:
        return None
    lowest, has_upper, upper, rest, bracket = found.groups()
    if not has_upper:
        return int(lowest)
    if not upper:
        return _CURRENT_BUNDLE
    is_excluded = bracket == ")" and not (rest or "").strip(".0*")
    return int(upper) - is_excluded
