"""The host: the only place that constructs things, and the order in which they start and end.

Start: discovery, storage (Azurite where needed), hub, worker processes, HTTP, dispatchers. End: HTTP answers 503,
running activities end and their results are stored, partitions are given back, worker processes end, our own Azurite
last. Mirrors WebJobsScriptHostService of the Functions host.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import platform
import socket
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio

from devhost import __version__
from devhost.app.discovery import discover
from devhost.app.model import Function, FunctionApp, TriggerKind
from devhost.clock import SystemClock
from devhost.console import Console, configure_logging
from devhost.engine.client import OrchestrationClient
from devhost.engine.dispatcher import Engine
from devhost.errors import ConfigurationError
from devhost.local_storage import ensure_storage
from devhost.running import RunningInvocations
from devhost.settings import Settings
from devhost.settings.environment import Environment
from devhost.shutdown import Shutdown
from devhost.storage.connection import connection_from_settings
from devhost.storage.options import StorageOptions
from devhost.storage.task_hub import AzureStorageTaskHub, open_task_hub
from devhost.web.admin import HostStatus
from devhost.web.links import Links
from devhost.web.router import full_template
from devhost.web.server import WebServer
from devhost.worker.pool import WorkerPool
from devhost.worker_id import is_abandoned, own_worker_id

# Longer activities are cut off and run again after the next start, as after a crash.
DRAIN_SECONDS = 30.0
# Within this time a host ends silently.
QUIET_DRAIN_SECONDS = 1.0
# What is given to the storage for taking the partitions back, however it is.
HAND_BACK_SECONDS = 5.0

_RUNTIME_VERSION = "4.0.0"

_log = logging.getLogger("Host.Startup")


def run_host(settings: Settings, console: Console) -> int:
    """Runs the app until a signal ends it; returns the exit code.

    Raises:
        ConfigurationError: something is not as it must be to start.
    """
    configure_logging(console, settings.log)
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
        self._state = "Starting"

    async def run(self) -> int:
        self._greet()
        self._check_port()
        app = self._discover()
        with self._shutdown.on_signals():
            async with AsyncExitStack() as resources:
                # The resources are closed outside the scope, so an end at once closes them as well.
                with self._shutdown.scope:
                    parts = await self._start(app, resources)
                    self._shutdown.has_started()
                    return await self._serve(parts)
        return 0

    def _greet(self) -> None:
        settings = self._settings
        facts = {
            "Python": f"{platform.python_version()} ({sys.executable})",
            "Function app": str(settings.script_root),
            "Task hub": f"{settings.durable.hub_name} (storage: {settings.storage.connection_name})",
        }
        self._console.banner(facts, version=__version__)
        for warning in settings.warnings:
            self._console.warning(warning)
        if settings.http.address not in ("127.0.0.1", "::1"):
            self._console.warning(
                f"Listening on {settings.http.address}: other machines can reach this host, and it checks no keys."
            )

    def _check_port(self) -> None:
        """Tells of a taken port before anything has started; the web server itself would only tell at the end."""
        http = self._settings.http
        family = socket.AF_INET6 if ":" in http.address else socket.AF_INET
        with socket.socket(family) as probe:
            if sys.platform != "win32":
                # Else connections of a host that has just ended would make its port look taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((http.address, http.port))
            except OSError as error:
                raise ConfigurationError(_port_problem(http.address, http.port, error)) from error

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
            raise ConfigurationError(_nothing_found(app))
        _log.info("%d functions loaded", len(app.functions))
        return app

    async def _start(self, app: FunctionApp, resources: AsyncExitStack) -> _Parts:
        settings, clock = self._settings, SystemClock()
        hub = await self._start_hub(resources)
        links = Links(hub_name=settings.durable.hub_name)
        pool = await self._start_workers(app, links, resources)
        running = RunningInvocations(pool)
        orchestrators = app.of_kind(TriggerKind.ORCHESTRATION)
        client = OrchestrationClient(hub, orchestrators, clock, overridable=settings.durable.overridable_states)
        web = WebServer(app, running, client, links, settings.http, self._status)
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
        )
        await hub.start()
        self._say_ready(app)
        return _Parts(web=web, engine=engine, running=running)

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
        resources.push_async_callback(_hand_back, hub)
        return hub

    def _storage_options(self) -> StorageOptions:
        storage = self._settings.storage
        return StorageOptions(
            hub_name=self._settings.durable.hub_name,
            connection=connection_from_settings(storage.connection, storage.connection_name),
            partition_count=storage.partition_count,
            control_queue_batch_size=storage.control_queue_batch_size,
            control_queue_buffer_threshold=storage.control_queue_buffer_threshold,
            control_queue_visibility_seconds=storage.control_queue_visibility_seconds,
            work_item_visibility_seconds=storage.work_item_visibility_seconds,
            max_polling_interval_seconds=storage.max_polling_interval_seconds,
            store_inputs=storage.store_inputs,
            worker_id=self._worker_id,
            is_abandoned_owner=is_abandoned,
        )

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
        self._state = "Running"
        self._console.log(f"Host lock lease acquired by instance ID '{self._worker_id}'.")
        for function in app.functions:
            if function.http is not None and not function.is_disabled:
                _log.info("Mapped function route %s", _describe_route(function, http.route_prefix))
        self._console.function_list(app, port=http.port, route_prefix=http.route_prefix, is_verbose=is_verbose)
        _log.info("Host started (%dms)", self._uptime_seconds() * 1000)

    async def _serve(self, parts: _Parts) -> int:
        """Runs the dispatchers until a signal comes, then drains; 1 where they end by themselves."""
        drained = asyncio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                stopping = asyncio.Event()
                tasks.start_soon(_dispatch, parts.engine, stopping, drained, name="dispatchers")
                await self._shutdown.requested.wait()
                self._state = "Stopping"
                tasks.start_soon(self._say_what_is_awaited, parts.running, name="what is awaited")
                with anyio.move_on_after(DRAIN_SECONDS):
                    await parts.web.drain(DRAIN_SECONDS)
                    stopping.set()
                    await drained.wait()
                tasks.cancel_scope.cancel()
        except Exception as error:
            cause = _first_cause(error)
            _log.critical("The host has failed: %s: %s", type(cause).__name__, cause, exc_info=cause)
            return 1
        return 0

    async def _say_what_is_awaited(self, running: RunningInvocations) -> None:
        await asyncio.sleep(QUIET_DRAIN_SECONDS)
        if names := running.describe():
            self._console.log(
                f"Waiting up to {DRAIN_SECONDS:g} s for running functions to end: {names}. "
                "Press Ctrl+C again to end at once; activities then run again after the next start."
            )

    def _status(self) -> HostStatus:
        return HostStatus(
            host_id=self._worker_id.lower(),
            state=self._state,
            version=_RUNTIME_VERSION,
            uptime_seconds=self._uptime_seconds(),
        )

    def _uptime_seconds(self) -> float:
        return time.monotonic() - self._began_at


async def _dispatch(engine: Engine, stopping: asyncio.Event, drained: asyncio.Event) -> None:
    await engine.run(stopping)
    if not stopping.is_set():
        raise RuntimeError("the dispatchers ended by themselves")
    drained.set()


async def _hand_back(hub: AzureStorageTaskHub) -> None:
    with anyio.move_on_after(HAND_BACK_SECONDS):
        await hub.stop()


def _describe_route(function: Function, prefix: str) -> str:
    methods = function.http.methods if function.http else None
    return f"'{full_template(function, prefix)}' [{','.join(methods or ('all',)).lower()}] to '{function.name}'"


def _port_problem(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--address: {address} is not an address of this machine."
    if error.errno == errno.EACCES:
        return f"Port {port} needs administrator rights. Specify another port using --port [-p]."
    return f"Port {port} is unavailable. Close the process using that port, or specify another port using --port [-p]."


def _nothing_found(app: FunctionApp) -> str:
    if app.errors:
        return f"None of the functions in {app.root} can be loaded: see the errors above."
    return (
        f"No functions were found in {app.root}: a function is a folder with a function.json. "
        "Run devhost in the folder of the app, or name it with --script-root."
    )


def _first_cause(error: BaseException) -> BaseException:
    """The first error inside nested exception groups."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    return error
