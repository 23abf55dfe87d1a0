"""Finds the script root and reads all settings of one start; the only entry of this package."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from durablehost.app.response_headers import FORBIDDEN_IN_VALUES, FRAMING_HEADERS, HEADER_NAME
from durablehost.errors import ConfigurationError
from durablehost.settings import host_json, local_settings
from durablehost.settings.app_python import find_app_python, find_python_arguments
from durablehost.settings.configuration import Configuration
from durablehost.settings.durable import read_durable, read_storage, without_effect
from durablehost.settings.environment import Environment
from durablehost.settings.local_settings import LocalSettings
from durablehost.settings.model import HttpSettings, LogLevel, LogSettings, Settings, WorkerSettings
from durablehost.system.trusted_folders import with_trusted_parents

DEFAULT_PORT = 7071
DEFAULT_ADDRESS = "127.0.0.1"

_DEFAULT_BODY_LIMIT_BYTES = 104_857_600
_MOST_PROCESSES = 10
_DEFAULT_THREADS = 1000
_THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"
_LARGEST_PORT = 65535
# What a browser may send, in lower case: no path, no wildcard, no port that is the usual one of its scheme, and names
# in ASCII.
_ORIGIN = re.compile(r"\*|null|(?!http://[^/]*:80$|https://[^/]*:443$)[a-z][a-z0-9+.-]*://[^/?#@*\s]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}|\*")
_ROOT_MARKS = (host_json.FILE_NAME, local_settings.FILE_NAME)
_RUNTIME = "python"
_DEBUG_SWITCH = "PYTHON_ENABLE_DEBUG_LOGGING"
_MODE = "AZURE_FUNCTIONS_ENVIRONMENT"
_LOCAL_MODE = "Development"


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """The options of the command line; None: not given, so the files decide."""

    script_root: Path | None = None
    port: int | None = None
    address: str | None = None
    cors: str | None = None
    cors_credentials: bool = False
    allowed_hosts: str | None = None
    functions: tuple[str, ...] = ()
    is_verbose: bool = False
    starts_azurite: bool = True
    shares_azurite: bool = False
    checks_keys: bool = False
    allows_anonymous: bool = False
    opens_console: bool = False
    hub_name: str | None = None
    connection_name: str | None = None
    python: str | None = None


def find_script_root(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds host.json or local.settings.json.

    Raises:
        ConfigurationError: there is none, or only above a folder to which other users can write.
    """
    for candidate in with_trusted_parents(start):
        if any((candidate / name).is_file() for name in _ROOT_MARKS):
            return candidate
    raise ConfigurationError(
        f"There is no function app in {start.resolve()} or above it (folders to which other users can write do not "
        "count): no host.json and no local.settings.json. Run durablehost in the folder of the app, or name it with "
        "--script-root."
    )


def load_settings(options: StartOptions, environment: Mapping[str, str]) -> Settings:
    """All settings of one start.

    Raises:
        ConfigurationError: a file, a key or a variable is not valid.
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
        http=_http(options, local, configuration, seen, port, warnings),
        durable=read_durable(configuration, seen, hub_name=options.hub_name),
        storage=read_storage(configuration, seen, connection_name=options.connection_name),
        worker=_worker(options, root, configuration, seen, warnings),
        log=LogSettings(levels=levels, is_verbose=options.is_verbose),
        functions=options.functions or configuration.texts("functions"),
        has_bundle=bool(configuration.below("extensionBundle")),
        starts_azurite=options.starts_azurite,
        shares_azurite=options.shares_azurite,
        checks_keys=options.checks_keys,
        allows_anonymous=options.allows_anonymous,
        opens_console=options.opens_console,
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
        _MODE: _LOCAL_MODE,
    }


def _debug_switch(levels: Mapping[str, LogLevel], environment: Environment) -> dict[str, str]:
    """Makes worker processes send debug records, if host.json shows any of them."""
    wants_debug = any(level.number <= LogLevel.DEBUG.number for level in levels.values())
    return {_DEBUG_SWITCH: "1"} if wants_debug and not environment.find(_DEBUG_SWITCH) else {}


def _check_runtime(environment: Environment, local: LocalSettings) -> None:
    runtime = environment.find("FUNCTIONS_WORKER_RUNTIME")
    if runtime is not None and runtime.lower() != _RUNTIME:
        raise ConfigurationError(
            f'{local.path}: FUNCTIONS_WORKER_RUNTIME is "{runtime}"; durablehost runs apps of "{_RUNTIME}" only.'
        )


def _http(
    options: StartOptions,
    local: LocalSettings,
    configuration: Configuration,
    environment: Environment,
    port: int,
    warnings: list[str],
) -> HttpSettings:
    prefix = configuration.text("extensions.http.routePrefix")
    origins = _origins(options, local, warnings)
    credentials = options.cors_credentials or _has_credentials(local)
    if credentials and "*" in origins:
        where = "--cors-credentials" if options.cors_credentials else f"{local.path}: Host.CORSCredentials"
        raise ConfigurationError(
            f"{where} cannot be combined with the origin *, because browsers refuse that: "
            "name the origins in --cors or Host.CORS."
        )
    return HttpSettings(
        port=port,
        address=_address(options, local),
        route_prefix="api" if prefix is None else prefix.strip("/"),
        cors_origins=origins,
        cors_credentials=credentials,
        allowed_hosts=_allowed_hosts(options, local),
        custom_headers=_custom_headers(configuration),
        body_limit_bytes=_number(environment, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _DEFAULT_BODY_LIMIT_BYTES, 2**40),
        is_homepage_disabled=(environment.find("AzureWebJobsDisableHomepage") or "").lower() == "true",
    )


def _origins(options: StartOptions, local: LocalSettings, warnings: list[str]) -> tuple[str, ...]:
    where, text = "--cors", options.cors
    if text is None:
        where, text = f"{local.path}: Host.CORS", local.host.get("cors", "")
    origins = tuple(filter(None, (origin.strip() for origin in text.split(","))))
    warnings += (
        f'{where}: no browser sends the origin "{origin}", so it allows no page. Write a scheme, a host and, unless it '
        "is the usual one, a port, such as http://localhost:3000."
        for origin in origins
        if not (origin.isascii() and _ORIGIN.fullmatch(origin.lower()))
    )
    return origins


def _has_credentials(local: LocalSettings) -> bool:
    text = local.host.get("corscredentials", "false")
    if text.lower() not in ("true", "false"):
        raise ConfigurationError(f'{local.path}: Host.CORSCredentials is "{text}"; it must be true or false.')
    return text.lower() == "true"


def _custom_headers(configuration: Configuration) -> dict[str, str]:
    headers = {}
    for entry in configuration.below("extensions.http.customHeaders").values():
        name = entry.key.split(".", 3)[3]
        if not HEADER_NAME.fullmatch(name) or name.lower() in FRAMING_HEADERS:
            raise ConfigurationError(
                f"{entry.source}: extensions.http.customHeaders: {name!r} is not the name of a header that an app can "
                "set; remove it."
            )
        if FORBIDDEN_IN_VALUES.search(str(entry.value)):
            # The value is not quoted, because it may be a credential.
            raise ConfigurationError(
                f"{entry.source}: {entry.key} must be ASCII without control characters, or no answer can be sent."
            )
        headers[name] = str(entry.value)
    return headers


def _allowed_hosts(options: StartOptions, local: LocalSettings) -> tuple[str, ...]:
    where, text = "--allowed-hosts", options.allowed_hosts
    if text is None:
        where, text = f"{local.path}: Host.AllowedHosts", local.host.get("allowedhosts", "")
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ConfigurationError(
                f'{where} has "{name}"; it must be host names separated by commas, such as my-laptop,functions, or *.'
            )
    return names


def _worker(
    options: StartOptions, root: Path, configuration: Configuration, environment: Environment, warnings: list[str]
) -> WorkerSettings:
    arguments = find_python_arguments(environment)
    timeout_seconds = host_json.function_timeout_seconds(configuration)
    process_count = _number(environment, "FUNCTIONS_WORKER_PROCESS_COUNT", 1, _MOST_PROCESSES)
    return WorkerSettings(
        python=find_app_python(options.python, root, environment),
        arguments=arguments,
        function_timeout_seconds=None if arguments else timeout_seconds,
        # A debugger has one port.
        process_count=1 if arguments else process_count,
        thread_count=_thread_count(environment, warnings),
    )


def _thread_count(environment: Environment, warnings: list[str]) -> int:
    """A wrong value gives the default and a warning, as in the Azure worker."""
    text = environment.find(_THREADS)
    if text is None:
        return _DEFAULT_THREADS
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        warnings.append(
            f'{_THREADS} is "{text}"; it must be a whole number from 1. The default, {_DEFAULT_THREADS}, applies.'
        )
        return _DEFAULT_THREADS
    return count


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
