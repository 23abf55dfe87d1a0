"""The settings as values: what the other packages know of host.json, local.settings.json and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from durablehost.core.rules import Rules
from durablehost.core.status import RuntimeStatus
from durablehost.settings.app_python import AppPython


class LogLevel(Enum):
    """The levels of the Functions host; the value is the spelling of host.json."""

    TRACE = "Trace"
    DEBUG = "Debug"
    INFORMATION = "Information"
    WARNING = "Warning"
    ERROR = "Error"
    CRITICAL = "Critical"
    NONE = "None"

    @property
    def number(self) -> int:
        """The level of the `logging` package; `NONE` is above every other level."""
        return _LEVEL_NUMBERS[self]


_LEVEL_NUMBERS = {
    LogLevel.TRACE: 5,
    LogLevel.DEBUG: 10,
    LogLevel.INFORMATION: 20,
    LogLevel.WARNING: 30,
    LogLevel.ERROR: 40,
    LogLevel.CRITICAL: 50,
    LogLevel.NONE: 100,
}


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """Where and how the host listens.

    `allowed_hosts` are further host names, beside those of this machine, that it answers to; `*`: any.
    """

    port: int
    address: str
    route_prefix: str
    cors_origins: tuple[str, ...]
    cors_credentials: bool
    allowed_hosts: tuple[str, ...]
    custom_headers: Mapping[str, str]
    body_limit_bytes: int
    is_homepage_disabled: bool


@dataclass(frozen=True, kw_only=True)
class DurableSettings:
    """`extensions.durableTask` without its storage.

    `overridable_states` are the states in which a start may replace an instance with its id.
    """

    hub_name: str
    max_concurrent_activities: int
    max_concurrent_orchestrators: int
    max_entity_batch_size: int
    entity_reorder_window_seconds: float
    overridable_states: frozenset[RuntimeStatus]
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """`extensions.durableTask.storageProvider`.

    `connection` holds the app settings that describe the connection: one of that name, or the members of an
    identity-based section as `name__member`; empty if there are none.
    """

    connection_name: str
    connection: Mapping[str, str] = field(repr=False)
    partition_count: int
    control_queue_batch_size: int
    control_queue_buffer_threshold: int
    control_queue_visibility_seconds: int
    work_item_visibility_seconds: int
    max_polling_interval_seconds: float

    @property
    def shortest_visibility_seconds(self) -> float:
        """How long a received message is hidden from other hosts at least."""
        return min(self.control_queue_visibility_seconds, self.work_item_visibility_seconds)


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How user code runs; `function_timeout_seconds` None: for ever.

    `arguments` stand before the script of the worker: those of a debugger, which may pause it for any time.
    """

    python: AppPython
    arguments: tuple[str, ...]
    function_timeout_seconds: float | None
    process_count: int
    thread_count: int


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """`levels` are those of host.json, by category in lower case; `default` among them."""

    levels: Mapping[str, LogLevel]
    is_verbose: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one start. `environment` is that of the worker processes; `warnings` are shown to the developer.

    `functions` is the allow list, empty for all. `checks_keys`: callers need a key, unless the function is anonymous.
    `allows_anonymous`: the developer allows other machines to call without one. `has_bundle`: host.json
    names an extension bundle. `shares_azurite`: `UseDevelopmentStorage=true` is the Azurite of all apps.
    `opens_console`: a browser shows the console when the host is ready.
    """

    script_root: Path
    http: HttpSettings
    durable: DurableSettings
    storage: StorageSettings
    worker: WorkerSettings
    log: LogSettings
    functions: tuple[str, ...]
    has_bundle: bool
    starts_azurite: bool
    shares_azurite: bool
    checks_keys: bool
    allows_anonymous: bool
    opens_console: bool
    environment: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...]
