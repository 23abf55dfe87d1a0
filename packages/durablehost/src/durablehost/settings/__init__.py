"""Settings of one start: host.json, local.settings.json, the environment and the command line, as frozen values.

Strongest first: command line, process environment, `Values` of local.settings.json, host.json, default. An error is a
`ConfigurationError` of one line that names the file and the key. Mirrors what Core Tools and the Functions host read.
"""

from durablehost.settings.loader import StartOptions, find_script_root, load_settings
from durablehost.settings.model import (
    DurableSettings,
    HttpSettings,
    LogLevel,
    LogSettings,
    Settings,
    StorageSettings,
    WorkerSettings,
)

__all__ = [
    "DurableSettings",
    "HttpSettings",
    "LogLevel",
    "LogSettings",
    "Settings",
    "StartOptions",
    "StorageSettings",
    "WorkerSettings",
    "find_script_root",
    "load_settings",
]
