"""Reads `extensions.durableTask`: the task hub's name, its limits, its storage.

Mirrors DurableTaskOptions and AzureStorageOptions of the Durable extension: defaults, bounds and the rules of hub
names. What devhost cannot honour is refused by name, because ignoring it would change what the app does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from devhost.core.status import RuntimeStatus
from devhost.errors import ConfigurationError
from devhost.settings.configuration import Configuration
from devhost.settings.environment import Environment
from devhost.settings.model import DurableSettings, StorageSettings

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

_STATES_BY_CHOICE = {
    "nonrunningstates": frozenset(status for status in RuntimeStatus if status.is_terminal),
    "anystate": frozenset(RuntimeStatus),
}

# Keys that would change the stored layout or the app's behaviour, and the one value (in lower case) devhost has.
_ONLY_VALUES: Mapping[str, str | None] = {
    f"{_PROVIDER}.type": "azurestorage",
    f"{_PROVIDER}.trackingStoreConnectionName": None,
    f"{_PROVIDER}.trackingStoreConnectionStringName": None,
    f"{_PROVIDER}.useLegacyPartitionManagement": "false",
    f"{_PROVIDER}.useTablePartitionManagement": "true",
    f"{_PROVIDER}.fetchLargeMessagesAutomatically": "true",
    f"{_PROVIDER}.queueClientMessageEncoding": "utf8",
    f"{_ROOT}.versionMatchStrategy": "none",
}

# Keys that change nothing here, and why.
_WITHOUT_EFFECT = {
    "maxConcurrentEntityFunctions": "for Python, entities count as orchestrators, in Azure too: "
    "maxConcurrentOrchestratorFunctions limits both",
    "notifications": "devhost publishes nothing to Event Grid",
}

# Upstream takes five minutes and half a minute. What a killed host had in hand comes back after the first, and is seen
# after the second: on a developer's machine the next start follows at once, and polling an emulator costs nobody money.
_VISIBILITY_SECONDS = 30
_POLLING_SECONDS = 5


def read_durable(
    configuration: Configuration, environment: Environment, *, hub_name: str | None = None
) -> DurableSettings:
    """`hub_name` wins over that of host.json."""
    _refuse_unsupported(configuration)
    many = 10 * (os.cpu_count() or 1)
    return DurableSettings(
        hub_name=_hub_name(configuration, environment) if hub_name is None else _checked_hub_name(hub_name),
        max_concurrent_activities=_count(configuration, "maxConcurrentActivityFunctions", many),
        max_concurrent_orchestrators=_count(configuration, "maxConcurrentOrchestratorFunctions", many),
        max_orchestration_actions=_count(configuration, "maxOrchestrationActions", 100_000),
        max_entity_operation_batch_size=_count(configuration, "maxEntityOperationBatchSize", 5000),
        entity_reorder_window_seconds=60.0
        * configuration.whole_number(
            f"{_ROOT}.entityMessageReorderWindowInMinutes", default=30, low=0, high=_LONGEST_WINDOW_MINUTES
        ),
        overridable_states=_overridable_states(configuration),
        default_version=configuration.text(f"{_ROOT}.defaultVersion") or "",
    )


def read_storage(
    configuration: Configuration, environment: Environment, *, connection_name: str | None = None
) -> StorageSettings:
    """`connection_name` wins over that of host.json."""
    connection_name = _connection_name(configuration, connection_name)
    return StorageSettings(
        connection_name=connection_name,
        connection=_connection(connection_name, environment),
        partition_count=_bounded(configuration, "partitionCount", 4, 16),
        control_queue_batch_size=_bounded(configuration, "controlQueueBatchSize", 32, 32),
        control_queue_buffer_threshold=_bounded(configuration, "controlQueueBufferThreshold", 256, 1000),
        control_queue_visibility_seconds=_visibility(configuration, "controlQueueVisibilityTimeout", 60, 3600),
        work_item_visibility_seconds=_visibility(
            configuration, "workItemQueueVisibilityTimeout", 1, _LONGEST_VISIBILITY_SECONDS
        ),
        max_polling_interval_seconds=configuration.seconds(
            f"{_PROVIDER}.maxQueuePollingInterval", default=_POLLING_SECONDS, low=0.001, high=_LONGEST_POLLING_SECONDS
        ),
        store_inputs=configuration.flag(f"{_ROOT}.storeInputsInOrchestrationHistory", default=False),
    )


def _connection_name(configuration: Configuration, given: str | None) -> str:
    where, name = "--connection-string-setting", given
    if not name:
        keys = (f"{_PROVIDER}.connectionName", f"{_PROVIDER}.connectionStringName")
        entry, name = configuration.entry(*keys), configuration.text(*keys)
        where = f"{entry.source}: {entry.key}" if entry else ""
    if "=" in (name or ""):
        # Not repeated here: it may hold a key.
        raise ConfigurationError(f"{where} must be the name of a setting, not a connection string itself.")
    return name or DEFAULT_CONNECTION_NAME


def without_effect(configuration: Configuration) -> Iterator[str]:
    """A warning for each key that the app may count on and that changes nothing."""
    _count(configuration, "maxConcurrentEntityFunctions", 1)
    for key, reason in _WITHOUT_EFFECT.items():
        inner = configuration.below(f"{_ROOT}.{key}").values()
        entry = configuration.entry(f"{_ROOT}.{key}") or next(iter(inner), None)
        if entry is not None:
            yield f"{entry.source}: {_ROOT}.{key} has no effect: {reason}."


def _refuse_unsupported(configuration: Configuration) -> None:
    for key, only in _ONLY_VALUES.items():
        entry = configuration.entry(key)
        if entry is None or str(entry.value).lower() == only:
            continue
        remedy = f"remove the key or set it to {only}" if only else "remove the key"
        raise ConfigurationError(f"{entry.source}: {entry.key} = {entry.value} is not supported by devhost: {remedy}.")


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
    """A default name is made to fit, where a configured one is refused."""
    name = re.sub(r"[^A-Za-z0-9]", "", site_name) or "DefaultTaskHub"
    name = f"t{name}" if name[0].isdigit() else name
    name = name[:_LONGEST_HUB_NAME]
    return name if len(name) >= 3 else f"{name}Hub"


def _overridable_states(configuration: Configuration) -> frozenset[RuntimeStatus]:
    entry = configuration.entry(f"{_ROOT}.overridableExistingInstanceStates")
    if entry is None:
        return _STATES_BY_CHOICE["nonrunningstates"]
    states = _STATES_BY_CHOICE.get(str(entry.value).lower())
    if states is None:
        raise entry.wrong("NonRunningStates or AnyState")
    return states


def _connection(name: str, environment: Environment) -> Mapping[str, str]:
    """Looked up as WebJobs does: `AzureWebJobs<name>` first, then the name itself, then ConnectionStrings."""
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
    return int(configuration.seconds(f"{_PROVIDER}.{key}", default=_VISIBILITY_SECONDS, low=low, high=high))
