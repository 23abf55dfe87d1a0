"""The host: the only place that constructs things, and the order in which they start and end.

Start: HTTP that answers 503, discovery, storage (Azurite if needed), hub, worker processes, HTTP that serves,
dispatchers. End: HTTP answers 503, running activities end and their results are stored, partitions are returned, worker
processes end, our own Azurite last. Mirrors WebJobsScriptHostService of the Functions host.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from durablehost import __version__
from durablehost.app.discovery import discover
from durablehost.app.model import Function, FunctionApp
from durablehost.clock import Clock, SystemClock
from durablehost.console import Console, configure_logging
from durablehost.emulator.local_storage import usable_storage
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.dispatcher import Engine
from durablehost.engine.explanation import AppFunctions
from durablehost.engine.instance_logs import InstanceLogHandler, InstanceLogs
from durablehost.errors import ConfigurationError, DurableHostError
from durablehost.host.app_environment import check_app_python, missing_packages
from durablehost.host.engine_options import engine_options
from durablehost.host.exposure import exposure_warnings
from durablehost.host.hub_options import hub_options
from durablehost.host.loading import report_loading
from durablehost.host.running import RunningInvocations
from durablehost.host.serving import serve
from durablehost.host.shutdown import ShutdownSignal
from durablehost.host.worker_id import is_abandoned, own_worker_id
from durablehost.keys.key_file import key_file
from durablehost.keys.key_store import KeyStore
from durablehost.settings import Settings
from durablehost.settings.app_python import ARGUMENTS_SETTING
from durablehost.settings.durable import DEFAULT_CONNECTION_NAME
from durablehost.settings.environment import Environment
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import AzureStorageTaskHub, open_task_hub
from durablehost.system.browser import open_in_browser
from durablehost.system.local_folder import NAME as LOCAL_FOLDER
from durablehost.system.local_folder import make_local_folder
from durablehost.system.memory import return_large_blocks
from durablehost.system.open_files import raise_limit
from durablehost.traces.opening import open_tracer
from durablehost.web.admin import HostStatus
from durablehost.web.connections import most_connections
from durablehost.web.console.site import CONSOLE_PATH
from durablehost.web.links import Links
from durablehost.web.listener import HttpListener
from durablehost.web.router import full_template, without_bad_routes
from durablehost.web.server import WebServer, public_listener
from durablehost.worker.builtin_http import with_http
from durablehost.worker.pool import WorkerPool
from durablehost.worker.process import UNHURRIED, WorkerLimits

# How long the storage may take to accept returned messages and partitions: usually a second, more if it is busy.
HAND_BACK_SECONDS = 15.0

_RUNTIME_VERSION = "4.0.0"
_JOURNALS = "hosts"
_START_TOKEN = "DURABLEHOST_START_TOKEN"

_log = logging.getLogger("Host.Startup")


def run_host(settings: Settings, console: Console) -> int:
    """Runs the app until a signal ends it; returns the exit code.

    Raises:
        ConfigurationError: the configuration or the environment is not valid.
    """
    configure_logging(console, settings.log)
    return_large_blocks()
    return asyncio.run(_run(settings, console))


async def _run(settings: Settings, console: Console) -> int:
    return await Host(settings, console).run()


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The parts that run once everything has started."""

    web: WebServer
    engine: Engine
    running: RunningInvocations


class Host:
    """One run of one app."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._shutdown = ShutdownSignal()
        self._worker_id = own_worker_id()
        self._began_at = time.monotonic()
        self._is_ready = False

    async def run(self) -> int:
        """The exit code: 0 after an orderly end, 1 if the running host failed.

        Raises:
            DurableHostError: the host could not start.
        """
        python_version = self._check_python()
        self._greet(python_version)
        with self._shutdown.on_signals():
            try:
                return await self._run()
            except DurableHostError:
                # Ctrl+C also ends programs that a starting host has started; their failure is expected then.
                if self._shutdown.requested.is_set():
                    return 0
                raise

    async def _run(self) -> int:
        async with AsyncExitStack() as resources:
            # The resources are closed outside the scope, so an immediate end closes them too.
            with self._shutdown.scope:
                parts = await self._start(resources)
                self._shutdown.has_started()
                is_orderly = await serve(
                    parts.engine.run,
                    parts.web.drain,
                    running=parts.running,
                    shutdown=self._shutdown,
                    console=self._console,
                )
                return 0 if is_orderly else 1
        return 0

    def _check_python(self) -> str:
        settings = self._settings
        version = check_app_python(settings.worker.python, settings.script_root, settings.environment)
        major, minor, *_ = version.split(".")
        # As Core Tools does.
        environment = {**settings.environment, "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{major}.{minor}"}
        self._settings = replace(settings, environment=environment)
        return version

    def _greet(self, python_version: str) -> None:
        settings = self._settings
        exposure = exposure_warnings(settings)
        facts = {
            "Python": f"{python_version} ({settings.worker.python.executable}, {settings.worker.python.reason})",
            "Function app": str(settings.script_root),
            "Task hub": f"{settings.durable.hub_name} (storage: {settings.storage.connection_name})",
        }
        if settings.worker.arguments:
            # The start may be waiting for the client of this debugger.
            facts["Debugger"] = f"{shlex.join(settings.worker.arguments)} (from {ARGUMENTS_SETTING}; no time limits)"
        self._console.banner(facts, version=__version__)
        for warning in (*settings.warnings, *exposure):
            self._console.warning(warning)

    def _discover(self) -> FunctionApp:
        settings = self._settings
        app = discover(
            settings.script_root,
            find_setting=Environment(settings.environment).find,
            allow_list=settings.functions,
            has_bundle=settings.has_bundle,
        )
        app = without_bad_routes(app, prefix=settings.http.route_prefix)
        # Whatever levels are shown: what the app sends to an output that is not served is lost.
        for warning in app.warnings:
            self._console.warning(warning)
        for error in app.errors:
            _log.error("The '%s' function is in error: %s", error.name, error.message)
        if not app.functions:
            raise ConfigurationError(_nothing_found(app, settings.functions))
        _log.info("%d functions loaded", len(app.functions))
        return app

    async def _start(self, resources: AsyncExitStack) -> _Parts:
        settings, clock = self._settings, SystemClock()
        connections = most_connections(raise_limit())
        public = await self._listen(connections, resources)
        # Ends after all whose spans it exports.
        traces = open_tracer(settings.environment, warn=self._console.warning, report=self._console.log)
        tracer = await resources.enter_async_context(traces)
        app = self._discover()
        keys = self._load_keys(app) if settings.checks_keys else None
        hub = await self._start_hub(resources)
        links = Links(
            hub_name=settings.durable.hub_name,
            connection_name=_short(settings.storage.connection_name),
            find_system_key=None if keys is None else lambda: keys.current.durable,
        )
        logs = _keep_logs(clock, resources)
        pool = await self._start_workers(app, links, resources)
        running = RunningInvocations(await resources.enter_async_context(with_http(pool, lambda: links.rpc_base_url)))
        functions, awaited, starts = AppFunctions.of(app), AwaitedEvents(), ActivityStarts()
        client = OrchestrationClient(
            hub,
            functions.orchestrators,
            clock,
            entity_functions=functions.entities,
            overridable=settings.durable.overridable_states,
            default_version=settings.durable.rules.default_version,
            awaited=awaited,
            starts=starts,
            app=functions,
            on_purged=logs.forget,
            tracer=tracer,
        )
        web = WebServer(
            app,
            running,
            client,
            links,
            settings.http,
            self._status,
            clock=clock,
            starts=starts,
            logs=logs,
            keys=keys,
            public=public,
            connections=connections,
            tracer=tracer,
        )
        await web.start()
        resources.push_async_callback(web.stop)
        engine = Engine(hub, running, app, clock, engine_options(settings), awaited, starts=starts, tracer=tracer)
        await hub.start()
        self._report_ready(app)
        return _Parts(web=web, engine=engine, running=running)

    async def _listen(self, connections: int, resources: AsyncExitStack) -> HttpListener:
        """Takes the port before anything else starts, and answers 503 until the host is ready."""
        public = public_listener(self._settings.http, connections=connections)
        await public.start(self._settings.http.address, self._settings.http.port)
        resources.push_async_callback(public.close)
        return public

    def _load_keys(self, app: FunctionApp) -> KeyStore:
        warnings: list[str] = []
        keys = KeyStore(app.root, [function.name for function in app.functions], warnings)
        for warning in warnings:
            self._console.warning(warning)
        self._console.line(f"Callers need a key (--enableAuth). The keys are in {key_file(app.root)}")
        return keys

    async def _start_hub(self, resources: AsyncExitStack) -> AzureStorageTaskHub:
        storage = usable_storage(self._settings, self._console, is_host=True)
        self._settings = await resources.enter_async_context(storage)
        hub = await resources.enter_async_context(open_task_hub(self._storage_options(), SystemClock()))
        await hub.create()
        # While the worker processes start.
        hub.look_for_dead_hosts()
        resources.push_async_callback(hand_back, hub.stop)
        return hub

    def _storage_options(self) -> StorageOptions:
        return replace(
            hub_options(self._settings),
            worker_id=self._worker_id,
            is_abandoned_owner=is_abandoned,
            journal_folder=self._journal_folder(),
        )

    def _journal_folder(self) -> Path:
        root = self._settings.script_root
        # If nothing can be written, the task hub logs the consequences.
        with suppress(OSError):
            make_local_folder(root)
        return root / LOCAL_FOLDER / _JOURNALS

    async def _start_workers(self, app: FunctionApp, links: Links, resources: AsyncExitStack) -> WorkerPool:
        worker = self._settings.worker
        pool = WorkerPool(
            app,
            process_count=worker.process_count,
            thread_count=worker.thread_count,
            function_timeout_seconds=worker.function_timeout_seconds,
            environment=self._settings.environment,
            python=worker.python.executable,
            arguments=worker.arguments,
            limits=UNHURRIED if worker.arguments else WorkerLimits(),
            client_input=links.client_input,
        )
        resources.push_async_callback(pool.stop, 0)
        report = asyncio.get_running_loop().create_task(report_loading(lambda: pool.loading, self._console.log))
        try:
            await pool.start()
        finally:
            report.cancel()
        if advice := missing_packages(pool.load_errors.values(), worker.python, app.root):
            self._console.warning(advice)
        self._console.log("Worker process started and initialized.")
        return pool

    def _report_ready(self, app: FunctionApp) -> None:
        http, is_verbose = self._settings.http, self._settings.log.is_verbose
        self._is_ready = True
        self._console.log(f"Host lock lease acquired by instance ID '{self._worker_id}'.")
        for function in app.functions:
            if function.http is not None and not function.is_disabled:
                _log.info("Mapped function route %s", _describe_route(function, http.route_prefix))
        console_url = f"http://localhost:{http.port}{CONSOLE_PATH}"
        self._console.line(f"\nConsole: {console_url}")
        self._console.function_list(app, port=http.port, route_prefix=http.route_prefix, is_verbose=is_verbose)
        _log.info("Host started (%dms)", self._uptime_seconds() * 1000)
        if self._settings.opens_console:
            open_in_browser(console_url, self._console.warning)

    def _status(self) -> HostStatus:
        return HostStatus(
            host_id=self._worker_id.lower(),
            state=self._state(),
            version=_RUNTIME_VERSION,
            uptime_seconds=self._uptime_seconds(),
            start_token=self._settings.environment.get(_START_TOKEN),
        )

    def _state(self) -> str:
        if self._shutdown.requested.is_set():
            return "Stopping"
        return "Running" if self._is_ready else "Starting"

    def _uptime_seconds(self) -> float:
        return time.monotonic() - self._began_at


async def hand_back(stop: Callable[[], Awaitable[None]], *, seconds: float = HAND_BACK_SECONDS) -> None:
    """Stops a hub; logs a warning if the storage has not accepted everything in time."""
    with anyio.move_on_after(seconds) as scope:
        await stop()
    if scope.cancelled_caught:
        _log.warning(
            "The storage has not accepted the messages and partitions of this host within %g seconds. "
            "The next host gets them when their visibility timeouts and leases have ended.",
            seconds,
        )


def _keep_logs(clock: Clock, resources: AsyncExitStack) -> InstanceLogs:
    """Keeps the log records of calls for instances from now on."""
    logs = InstanceLogs(clock)
    handler = InstanceLogHandler(logs)
    logging.getLogger().addHandler(handler)
    resources.callback(logging.getLogger().removeHandler, handler)
    return logs


def _short(connection_name: str) -> str:
    """The name of a connection in URLs; the default one is called `Storage`."""
    return "Storage" if connection_name == DEFAULT_CONNECTION_NAME else connection_name


def _describe_route(function: Function, prefix: str) -> str:
    methods = function.http.methods if function.http else None
    shown = "all" if methods is None else ",".join(methods).lower()
    return f"'{full_template(function, prefix)}' [{shown}] to '{function.name}'"


def _nothing_found(app: FunctionApp, allow_list: tuple[str, ...]) -> str:
    if app.errors:
        return f"None of the functions in {app.root} can be loaded: see the errors above."
    if allow_list:
        return f"None of the functions that are allowed to run ({', '.join(allow_list)}) is in {app.root}."
    return (
        f"No functions were found in {app.root}: a function is a folder with a function.json. "
        "Run durablehost in the folder of the app, or name it with --script-root."
    )
