"""Reads `extensions.durableTask`: the task hub's name, its limits, its storage.

Mirrors DurableTaskOptions and AzureStorageOptions of the Durable extension: defaults, bounds and the rules of hub
names. What durablehost cannot honour is refused by name, because ignoring it would change what the app does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from durablehost import defaults
from durablehost.core.rules import Rules
from durablehost.core.status import FINISHED, RuntimeStatus
from durablehost.errors import ConfigurationError
from durablehost.settings.configuration import Configuration
from durablehost.settings.environment import Environment
from durablehost.settings.model import DurableSettings, StorageSettings

DEFAULT_HUB_NAME = "TestHubName"
DEFAULT_CONNECTION_NAME = "AzureWebJobsStorage"

_ROOT = "extensions.durableTask"
_PROVIDER = f"{_ROOT}.storageProvider"
_LARGEST_NUMBER = 2**31 - 1
_LONGEST_POLLING_SECONDS = 86400.0
_LONGEST_VISIBILITY_SECONDS = 7 * 86400
_LONGEST_WINDOW_MINUTES = 7 * 24 * 60

_HUB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,44}")
_HUB_NAME_RULE = "3 to 45 letters and digits, a letter first"
_LONGEST_HUB_NAME = 45

# The value of versionMatchStrategy that applies if there is none.
_DEFAULT_MATCH = "currentorolder"

_STATES_BY_CHOICE = {
    "nonrunningstates": FINISHED,
    "anystate": frozenset(RuntimeStatus),
}

# Keys that would change the stored layout or the app's behaviour, and the values (in lower case) that are served.
_ONLY_VALUES: Mapping[str, tuple[str, ...]] = {
    f"{_PROVIDER}.type": ("azurestorage",),
    f"{_PROVIDER}.trackingStoreConnectionName": (),
    f"{_PROVIDER}.trackingStoreConnectionStringName": (),
    f"{_PROVIDER}.useLegacyPartitionManagement": ("false",),
    f"{_PROVIDER}.useTablePartitionManagement": ("true",),
    f"{_PROVIDER}.fetchLargeMessagesAutomatically": ("true",),
    f"{_PROVIDER}.queueClientMessageEncoding": ("utf8",),
    f"{_ROOT}.versionMatchStrategy": ("none", _DEFAULT_MATCH),
    f"{_ROOT}.versionFailureStrategy": ("reject",),
}

# Keys that change nothing here, and why.
_WITHOUT_EFFECT = {
    "maxConcurrentEntityFunctions": "for Python, entities count as orchestrators, in Azure too: "
    "maxConcurrentOrchestratorFunctions limits both",
    "notifications": "durablehost publishes nothing to Event Grid",
}


def read_durable(
    configuration: Configuration, environment: Environment, *, hub_name: str | None = None
) -> DurableSettings:
    """Reads the settings; `hub_name` overrides that of host.json."""
    _refuse_unsupported(configuration)
    many = 10 * (os.cpu_count() or 1)
    return DurableSettings(
        hub_name=_hub_name(configuration, environment) if hub_name is None else _checked_hub_name(hub_name),
        max_concurrent_activities=_count(configuration, "maxConcurrentActivityFunctions", many),
        max_concurrent_orchestrators=_count(configuration, "maxConcurrentOrchestratorFunctions", many),
        max_entity_batch_size=_count(configuration, "maxEntityOperationBatchSize", defaults.MAX_ENTITY_BATCH_SIZE),
        entity_reorder_window_seconds=60.0
        * configuration.whole_number(
            f"{_ROOT}.entityMessageReorderWindowInMinutes",
            default=round(defaults.ENTITY_REORDER_WINDOW_SECONDS / 60),
            low=0,
            high=_LONGEST_WINDOW_MINUTES,
        ),
        overridable_states=_overridable_states(configuration),
        rules=Rules(
            max_actions=_count(configuration, "maxOrchestrationActions", defaults.MAX_ORCHESTRATION_ACTIONS),
            stores_inputs=configuration.flag(f"{_ROOT}.storeInputsInOrchestrationHistory", default=False),
            default_version=configuration.text(f"{_ROOT}.defaultVersion") or None,
            matches_versions=_matches_versions(configuration),
        ),
    )


def read_storage(
    configuration: Configuration, environment: Environment, *, connection_name: str | None = None
) -> StorageSettings:
    """Reads the settings; `connection_name` overrides that of host.json."""
    connection_name = _connection_name(configuration, connection_name)
    return StorageSettings(
        connection_name=connection_name,
        connection=_connection(connection_name, environment),
        partition_count=_bounded(configuration, "partitionCount", defaults.PARTITION_COUNT, 16),
        control_queue_batch_size=_bounded(
            configuration, "controlQueueBatchSize", defaults.CONTROL_QUEUE_BATCH_SIZE, 32
        ),
        control_queue_buffer_threshold=_bounded(
            configuration, "controlQueueBufferThreshold", defaults.CONTROL_QUEUE_BUFFER_THRESHOLD, 1000
        ),
        control_queue_visibility_seconds=_visibility(configuration, "controlQueueVisibilityTimeout", 60, 3600),
        work_item_visibility_seconds=_visibility(
            configuration, "workItemQueueVisibilityTimeout", 1, _LONGEST_VISIBILITY_SECONDS
        ),
        max_polling_interval_seconds=configuration.seconds(
            f"{_PROVIDER}.maxQueuePollingInterval",
            default=defaults.MAX_POLLING_INTERVAL_SECONDS,
            low=0.001,
            high=_LONGEST_POLLING_SECONDS,
        ),
    )


def _connection_name(configuration: Configuration, given: str | None) -> str:
    where, name = "--connection-string-setting", given
    if not name:
        keys = (f"{_PROVIDER}.connectionName", f"{_PROVIDER}.connectionStringName")
        entry, name = configuration.entry(*keys), configuration.text(*keys)
        where = f"{entry.source}: {entry.key}" if entry else ""
    if "=" in (name or ""):
        # The value is not quoted, because it may contain a key.
        raise ConfigurationError(f"{where} must be the name of a setting, not a connection string itself.")
    return name or DEFAULT_CONNECTION_NAME


def without_effect(configuration: Configuration) -> Iterator[str]:
    """A warning for each key that the app may count on and that changes nothing."""
    _count(configuration, "maxConcurrentEntityFunctions", 1)
    for key, reason in _WITHOUT_EFFECT.items():
        inner = configuration.below(f"{_ROOT}.{key}").values()
        entry = next(iter(inner), None) or configuration.entry(f"{_ROOT}.{key}")
        if entry is not None:
            yield f"{entry.source}: {_ROOT}.{key} has no effect: {reason}."


def _refuse_unsupported(configuration: Configuration) -> None:
    for key, only in _ONLY_VALUES.items():
        entry = configuration.entry(key)
        if entry is None or str(entry.value).lower() in only:
            continue
        remedy = f"remove the key or set it to {' or '.join(only)}" if only else "remove the key"
        raise ConfigurationError(
            f"{entry.source}: {entry.key} = {entry.value} is not supported by durablehost: {remedy}."
        )


def _hub_name(configuration: Configuration, environment: Environment) -> str:
    entry = configuration.entry(f"{_ROOT}.hubName")
    if entry is None or not entry.value:
        return _sanitised(environment.find("WEBSITE_SITE_NAME") or DEFAULT_HUB_NAME)
    name = environment.expand(str(entry.value), where=f"{entry.source}: {entry.key}")
    if not _HUB_NAME.fullmatch(name):
        raise ConfigurationError(f'{entry.source}: {entry.key} is "{name}"; a task hub name is {_HUB_NAME_RULE}.')
    return name


def _checked_hub_name(name: str) -> str:
    if not _HUB_NAME.fullmatch(name):
        raise ConfigurationError(f'--task-hub-name is "{name}"; a task hub name is {_HUB_NAME_RULE}.')
    return name


def _sanitised(site_name: str) -> str:
    """Makes a valid hub name of a site name; an invalid name in host.json is refused instead."""
    name = re.sub(r"[^A-Za-z0-9]", "", site_name) or "DefaultTaskHub"
    name = f"t{name}" if name[0].isdigit() else name
    name = name[:_LONGEST_HUB_NAME]
    return name if len(name) >= 3 else f"{name}Hub"


def _matches_versions(configuration: Configuration) -> bool:
    return (configuration.text(f"{_ROOT}.versionMatchStrategy") or _DEFAULT_MATCH).lower() == _DEFAULT_MATCH


def _overridable_states(configuration: Configuration) -> frozenset[RuntimeStatus]:
    entry = configuration.entry(f"{_ROOT}.overridableExistingInstanceStates")
    if entry is None:
        return _STATES_BY_CHOICE["nonrunningstates"]
    states = _STATES_BY_CHOICE.get(str(entry.value).lower())
    if states is None:
        raise entry.wrong("NonRunningStates or AnyState")
    return states


def _connection(name: str, environment: Environment) -> Mapping[str, str]:
    """As WebJobs finds it: by `AzureWebJobs<name>`, else by the name itself, else in ConnectionStrings."""
    for candidate in (f"AzureWebJobs{name}", name, f"ConnectionStrings:{name}"):
        if text := environment.find(candidate):
            return {name: text}
        if section := environment.section(candidate):
            return {f"{name}__{member}": value for member, value in section.items()}
    return {}


def _count(configuration: Configuration, key: str, default: int) -> int:
    return configuration.whole_number(f"{_ROOT}.{key}", default=default, low=1, high=_LARGEST_NUMBER)


def _bounded(configuration: Configuration, key: str, default: int, high: int) -> int:
    return configuration.whole_number(f"{_PROVIDER}.{key}", default=default, low=1, high=high)


def _visibility(configuration: Configuration, key: str, low: int, high: int) -> int:
    # The queue service knows whole seconds only.
    return int(configuration.seconds(f"{_PROVIDER}.{key}", default=defaults.VISIBILITY_SECONDS, low=low, high=high))
