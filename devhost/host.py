"""The host: the only place that constructs things, and the order in which they start and end.

Start: discovery, storage (Azurite where needed), hub, worker processes, HTTP, dispatchers. End: HTTP answers 503,
running activities end and their results are stored, partitions are given back, worker processes end, our own Azurite
last. Mirrors WebJobsScriptHostService of the Functions host.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from devhost import __version__
from devhost.app.discovery import discover
from devhost.app.model import Function, FunctionApp, TriggerKind
from devhost.clock import SystemClock
from devhost.console import Console, configure_logging
from devhost.engine.client import OrchestrationClient
from devhost.engine.dispatcher import Engine
from devhost.errors import ConfigurationError, DevHostError
from devhost.exposure import exposure_warnings
from devhost.hub_options import hub_options
from devhost.keys.key_file import key_file
from devhost.keys.key_store import KeyStore
from devhost.local_folder import NAME as LOCAL_FOLDER
from devhost.local_folder import make_local_folder
from devhost.local_storage import ensure_storage
from devhost.memory import return_large_blocks
from devhost.port import check_port
from devhost.running import RunningInvocations
from devhost.serving import serve
from devhost.settings import Settings
from devhost.settings.durable import DEFAULT_CONNECTION_NAME
from devhost.settings.environment import Environment
from devhost.shutdown import Shutdown
from devhost.storage.options import StorageOptions
from devhost.storage.task_hub import AzureStorageTaskHub, open_task_hub
from devhost.web.admin import HostStatus
from devhost.web.links import Links
from devhost.web.router import full_template
from devhost.web.server import WebServer
from devhost.worker.builtin_http import with_http
from devhost.worker.pool import WorkerPool
from devhost.worker_id import is_abandoned, own_worker_id

# What is given to the storage for taking back messages and partitions: a second as a rule, more where it is busy.
HAND_BACK_SECONDS = 15.0

_RUNTIME_VERSION = "4.0.0"
_JOURNALS = "hosts"

_log = logging.getLogger("Host.Startup")


def run_host(settings: Settings, console: Console) -> int:
    """Runs the app until a signal ends it; returns the exit code.

    Raises:
        ConfigurationError: something is not as it must be to start.
    """
    configure_logging(console, settings.log)
    return_large_blocks()
    return asyncio.run(_run(settings, console))


async def _run(settings: Settings, console: Console) -> int:
    return await Host(settings, console).run()


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What runs once everything has started."""

    web: WebServer
    engine: Engine
    running: RunningInvocations


class Host:
    """One run of one app."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._shutdown = Shutdown()
        self._worker_id = own_worker_id()
        self._began_at = time.monotonic()
        self._is_ready = False

    async def run(self) -> int:
        """The exit code: 0 after an orderly end, 1 where the running host failed.

        Raises:
            DevHostError: the host could not start.
        """
        self._greet()
        check_port(self._settings.http.address, self._settings.http.port)
        app = self._discover()
        with self._shutdown.on_signals():
            try:
                return await self._run(app)
            except DevHostError:
                # Ctrl+C reaches programs that a starting host has started, too; that they fail then is no news.
                if self._shutdown.requested.is_set():
                    return 0
                raise

    async def _run(self, app: FunctionApp) -> int:
        async with AsyncExitStack() as resources:
            # The resources are closed outside the scope, so an end at once closes them as well.
            with self._shutdown.scope:
                parts = await self._start(app, resources)
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

    def _greet(self) -> None:
        settings = self._settings
        exposure = exposure_warnings(settings)
        facts = {
            "Python": f"{platform.python_version()} ({sys.executable})",
            "Function app": str(settings.script_root),
            "Task hub": f"{settings.durable.hub_name} (storage: {settings.storage.connection_name})",
        }
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
        for warning in app.warnings:
            _log.warning(warning)
        for error in app.errors:
            _log.error("The '%s' function is in error: %s", error.name, error.message)
        if not app.functions:
            raise ConfigurationError(_nothing_found(app, settings.functions))
        _log.info("%d functions loaded", len(app.functions))
        return app

    async def _start(self, app: FunctionApp, resources: AsyncExitStack) -> _Parts:
        settings, clock = self._settings, SystemClock()
        keys = self._load_keys(app) if settings.checks_keys else None
        hub = await self._start_hub(resources)
        links = Links(
            hub_name=settings.durable.hub_name,
            connection_name=_short(settings.storage.connection_name),
            find_system_key=None if keys is None else lambda: keys.current.durable,
        )
        pool = await self._start_workers(app, links, resources)
        running = RunningInvocations(await resources.enter_async_context(with_http(pool)))
        orchestrators = app.of_kind(TriggerKind.ORCHESTRATION)
        client = OrchestrationClient(
            hub,
            orchestrators,
            clock,
            entity_functions=app.of_kind(TriggerKind.ENTITY),
            overridable=settings.durable.overridable_states,
            default_version=settings.durable.default_version,
        )
        web = WebServer(app, running, client, links, settings.http, self._status, keys=keys)
        await web.start()
        resources.push_async_callback(web.stop)
        engine = Engine(
            hub,
            running,
            app,
            clock,
            max_orchestrations=settings.durable.max_concurrent_orchestrators,
            max_activities=settings.durable.max_concurrent_activities,
            max_actions=settings.durable.max_orchestration_actions,
            stores_inputs=settings.storage.store_inputs,
            max_entity_batch_size=settings.durable.max_entity_operation_batch_size,
            entity_reorder_window_seconds=settings.durable.entity_reorder_window_seconds,
            default_version=settings.durable.default_version,
            renew_seconds=settings.storage.shortest_visibility_seconds / 3,
        )
        await hub.start()
        self._say_ready(app)
        return _Parts(web=web, engine=engine, running=running)

    def _load_keys(self, app: FunctionApp) -> KeyStore:
        warnings: list[str] = []
        keys = KeyStore(app.root, [function.name for function in app.functions], warnings)
        for warning in warnings:
            self._console.warning(warning)
        self._console.line(f"Callers need a key (--enableAuth). The keys are in {key_file(app.root)}")
        return keys

    async def _start_hub(self, resources: AsyncExitStack) -> AzureStorageTaskHub:
        settings, options = self._settings, self._storage_options()
        azurite = await ensure_storage(
            options,
            script_root=settings.script_root,
            starts_azurite=settings.starts_azurite,
            console=self._console,
        )
        if azurite is not None:
            resources.callback(azurite.stop)
        hub = await resources.enter_async_context(open_task_hub(options, SystemClock()))
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
        # Where nothing can be written, the task hub says what follows from it.
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
            client_input=links.client_input,
        )
        resources.push_async_callback(pool.stop, 0)
        await pool.start()
        self._console.log("Worker process started and initialized.")
        return pool

    def _say_ready(self, app: FunctionApp) -> None:
        http, is_verbose = self._settings.http, self._settings.log.is_verbose
        self._is_ready = True
        self._console.log(f"Host lock lease acquired by instance ID '{self._worker_id}'.")
        for function in app.functions:
            if function.http is not None and not function.is_disabled:
                _log.info("Mapped function route %s", _describe_route(function, http.route_prefix))
        self._console.function_list(app, port=http.port, route_prefix=http.route_prefix, is_verbose=is_verbose)
        _log.info("Host started (%dms)", self._uptime_seconds() * 1000)

    def _status(self) -> HostStatus:
        return HostStatus(
            host_id=self._worker_id.lower(),
            state=self._state(),
            version=_RUNTIME_VERSION,
            uptime_seconds=self._uptime_seconds(),
        )

    def _state(self) -> str:
        if self._shutdown.requested.is_set():
            return "Stopping"
        return "Running" if self._is_ready else "Starting"

    def _uptime_seconds(self) -> float:
        return time.monotonic() - self._began_at


async def hand_back(stop: Callable[[], Awaitable[None]], *, seconds: float = HAND_BACK_SECONDS) -> None:
    """Stops a hub, and tells where the storage does not let it end in this time."""
    with anyio.move_on_after(seconds) as scope:
        await stop()
    if scope.cancelled_caught:
        _log.warning(
            "The storage has not taken back within %g seconds what this host had in hand. "
            "The next host gets it when its invisibility or lease has ended.",
            seconds,
        )


def _short(connection_name: str) -> str:
    """The name of a connection in URLs, where the default one is called `Storage`."""
    return "Storage" if connection_name == DEFAULT_CONNECTION_NAME else connection_name


def _describe_route(function: Function, prefix: str) -> str:
    methods = function.http.methods if function.http else None
    return f"'{full_template(function, prefix)}' [{','.join(methods or ('all',)).lower()}] to '{function.name}'"


def _nothing_found(app: FunctionApp, allow_list: tuple[str, ...]) -> str:
    if app.errors:
        return f"None of the functions in {app.root} can be loaded: see the errors above."
    if allow_list:
        return f"None of the functions that are allowed to run ({', '.join(allow_list)}) is in {app.root}."
    return (
        f"No functions were found in {app.root}: a function is a folder with a function.json. "
        "Run devhost in the folder of the app, or name it with --script-root."
    )
