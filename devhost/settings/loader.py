"""Finds the script root and puts the settings of one start together; the only entry of this package."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devhost.errors import ConfigurationError
from devhost.settings import host_json, local_settings
from devhost.settings.configuration import Configuration
from devhost.settings.durable import read_durable, read_storage, without_effect
from devhost.settings.environment import Environment
from devhost.settings.local_settings import LocalSettings
from devhost.settings.model import HttpSettings, LogLevel, LogSettings, Settings, WorkerSettings

DEFAULT_PORT = 7071
DEFAULT_ADDRESS = "127.0.0.1"

_DEFAULT_BODY_LIMIT_BYTES = 104_857_600
_MOST_PROCESSES = 10
_DEFAULT_THREADS = 1000
_MOST_THREADS = 10_000
_LARGEST_PORT = 65535
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}|\*")
_ROOT_MARKS = (host_json.FILE_NAME, local_settings.FILE_NAME)
_RUNTIME = "python"
_DEBUG_SWITCH = "PYTHON_ENABLE_DEBUG_LOGGING"
_MODE = "AZURE_FUNCTIONS_ENVIRONMENT"
_LOCAL_MODE = "Development"


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What the command line says; None: nothing, so the files decide."""

    script_root: Path | None = None
    port: int | None = None
    address: str | None = None
    cors: str | None = None
    cors_credentials: bool = False
    allowed_hosts: str | None = None
    functions: tuple[str, ...] = ()
    is_verbose: bool = False
    starts_azurite: bool = True
    checks_keys: bool = False
    allows_anonymous: bool = False
    hub_name: str | None = None
    connection_name: str | None = None


def find_script_root(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds host.json or local.settings.json.

    Raises:
        ConfigurationError: there is none.
    """
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if any((candidate / name).is_file() for name in _ROOT_MARKS):
            return candidate
    raise ConfigurationError(
        f"There is no function app in {folder} or above it: no host.json and no local.settings.json. "
        "Run devhost in the folder of the app, or name it with --script-root."
    )


def load_settings(options: StartOptions, environment: Mapping[str, str]) -> Settings:
    """All settings of one start.

    Raises:
        ConfigurationError: a file, a key or a variable is not as it must be.
    """
    root = _script_root(options)
    warnings: list[str] = []
    local = local_settings.read_local_settings(root, warnings)
    variables = local_settings.merge(local, environment, warnings)
    port = _port(options, local)
    _check_runtime(Environment(variables), local)
    _inject(variables, root, port, warnings)
    seen = Environment(variables)
    configuration = host_json.read_host_json(root, variables, warnings)
    levels = host_json.log_levels(configuration)
    return Settings(
        script_root=root,
        http=_http(options, local, configuration, seen, port),
        durable=read_durable(configuration, seen, hub_name=options.hub_name),
        storage=read_storage(configuration, seen, connection_name=options.connection_name),
        worker=_worker(configuration, seen),
        log=LogSettings(levels=levels, is_verbose=options.is_verbose),
        functions=options.functions or configuration.texts("functions"),
        has_bundle=bool(configuration.below("extensionBundle")),
        starts_azurite=options.starts_azurite,
        checks_keys=options.checks_keys,
        allows_anonymous=options.allows_anonymous,
        environment=variables | _debug_switch(levels, seen),
        warnings=(*warnings, *without_effect(configuration)),
    )


def _script_root(options: StartOptions) -> Path:
    if options.script_root is None:
        return find_script_root(Path.cwd())
    if not options.script_root.is_dir():
        raise ConfigurationError(f"--script-root: there is no folder {options.script_root}.")
    return options.script_root.resolve()


def _inject(variables: dict[str, str], root: Path, port: int, warnings: list[str]) -> None:
    """Sets what Core Tools sets, whatever the file or the environment says."""
    mode = variables.get(_MODE)
    if mode and mode != _LOCAL_MODE:
        warnings.append(f"{_MODE} is '{mode}'; a local host always runs with '{_LOCAL_MODE}'.")
    variables |= {
        "WEBSITE_HOSTNAME": f"localhost:{port}",
        "AzureWebJobsScriptRoot": str(root),
        "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        "FUNCTIONS_WORKER_RUNTIME": _RUNTIME,
        "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
        _MODE: _LOCAL_MODE,
    }


def _debug_switch(levels: Mapping[str, LogLevel], environment: Environment) -> dict[str, str]:
    """Lets worker processes send debug records where host.json shows some; else they would cross for nothing."""
    wants_debug = any(level.number <= LogLevel.DEBUG.number for level in levels.values())
    return {_DEBUG_SWITCH: "1"} if wants_debug and not environment.find(_DEBUG_SWITCH) else {}


def _check_runtime(environment: Environment, local: LocalSettings) -> None:
    runtime = environment.find("FUNCTIONS_WORKER_RUNTIME")
    if runtime is not None and runtime.lower() != _RUNTIME:
        raise ConfigurationError(
            f'{local.path}: FUNCTIONS_WORKER_RUNTIME is "{runtime}"; devhost runs apps of "{_RUNTIME}" only.'
        )


def _http(
    options: StartOptions, local: LocalSettings, configuration: Configuration, environment: Environment, port: int
) -> HttpSettings:
    prefix = configuration.text("extensions.http.routePrefix")
    headers = configuration.below("extensions.http.customHeaders")
    origins = options.cors if options.cors is not None else local.host.get("cors", "")
    credentials = options.cors_credentials or local.host.get("corscredentials", "").lower() == "true"
    if credentials and "*" in origins.split(","):
        raise ConfigurationError(
            "--cors-credentials cannot go with the origin *: browsers refuse it; name the origins in --cors."
        )
    return HttpSettings(
        port=port,
        address=_address(options, local),
        route_prefix="api" if prefix is None else prefix.strip("/"),
        cors_origins=tuple(origin for origin in origins.split(",") if origin),
        cors_credentials=credentials,
        allowed_hosts=_allowed_hosts(options, local),
        custom_headers={entry.key.split(".", 3)[3]: str(entry.value) for entry in headers.values()},
        body_limit_bytes=_number(environment, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _DEFAULT_BODY_LIMIT_BYTES, 2**40),
        is_homepage_disabled=(environment.find("AzureWebJobsDisableHomepage") or "").lower() == "true",
    )


def _allowed_hosts(options: StartOptions, local: LocalSettings) -> tuple[str, ...]:
    where, text = "--allowed-hosts", options.allowed_hosts
    if text is None:
        where, text = f"{local.path}: Host.AllowedHosts", local.host.get("allowedhosts", "")
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ConfigurationError(
                f'{where} has "{name}"; it must be host names split by commas, such as my-laptop,functions, or *.'
            )
    return names


def _worker(configuration: Configuration, environment: Environment) -> WorkerSettings:
    return WorkerSettings(
        function_timeout_seconds=host_json.function_timeout_seconds(configuration),
        process_count=_number(environment, "FUNCTIONS_WORKER_PROCESS_COUNT", 1, _MOST_PROCESSES),
        thread_count=_number(environment, "PYTHON_THREADPOOL_THREAD_COUNT", _DEFAULT_THREADS, _MOST_THREADS),
    )


def _port(options: StartOptions, local: LocalSettings) -> int:
    where, written = "--port", options.port
    if written is None:
        where, text = f"{local.path}: Host.LocalHttpPort", local.host.get("localhttpport", str(DEFAULT_PORT))
        written = int(text) if text.isascii() and text.isdecimal() else -1
        if written < 0:
            raise ConfigurationError(f'{where} is "{text}"; it must be a port number from 1 to {_LARGEST_PORT}.')
    if not 1 <= written <= _LARGEST_PORT:
        raise ConfigurationError(f"{where} is {written}; it must be a port number from 1 to {_LARGEST_PORT}.")
    return written


def _address(options: StartOptions, local: LocalSettings) -> str:
    address = options.address or local.host.get("localhttpaddress") or DEFAULT_ADDRESS
    try:
        return str(ipaddress.ip_address("127.0.0.1" if address.lower() == "localhost" else address))
    except ValueError as error:
        raise ConfigurationError(
            f"Invalid --address value '{address}'. Expected an IP address, for example 127.0.0.1 or 0.0.0.0."
        ) from error


def _number(environment: Environment, name: str, default: int, most: int) -> int:
    text = environment.find(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise ConfigurationError(f'The setting {name} is "{text}"; it must be a whole number from 1 to {most}.')
    return int(text)
