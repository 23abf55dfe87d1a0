"""The pool of worker processes: routes calls to them, and replaces those that end. Implements `ports.Executor`.

Rule of this file: no fate of a worker process harms the host. A process that ends is replaced for as long as the pool
runs, whatever its exit code, with a growing delay while it keeps ending. Mirrors RpcFunctionInvocationDispatcher of the
Functions host, which gives up after three restarts, and does not replace a process that ended with code 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import anyio

from devhost.app.invocation import Invocation, InvocationResult
from devhost.app.model import Binding, Direction, Function, FunctionApp
from devhost.errors import FunctionTimeout, ProtocolError, WorkerError, WorkerUnresponsive
from devhost.worker import journal
from devhost.worker.journal import CallJournal, format_time_span
from devhost.worker.listener import Listener
from devhost.worker.process import Limits, WorkerProcess
from devhost.worker.protocol import FunctionToLoad, Load

_RESTART_DELAYS_SECONDS = (0, 1, 2, 5, 10, 20, 30)

_log = logging.getLogger(journal.WORKER)


class WorkerPool:
    """Runs the functions of one app in `process_count` processes.

    `environment` is the whole environment of the processes, app settings included. `client_input` makes the value of a
    durable client binding. Between `start` and `stop` every process is owned by a task of the pool.
    """

    def __init__(
        self,
        app: FunctionApp,
        *,
        environment: Mapping[str, str],
        client_input: Callable[[Binding], str],
        process_count: int = 1,
        thread_count: int = 1000,
        function_timeout_seconds: float | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._functions = {function.name.lower(): function for function in app.functions}
        self._load = _load_request(app, thread_count)
        self._environment = environment
        self._client_input = client_input
        self._process_count = process_count
        self._timeout_seconds = function_timeout_seconds
        self._limits = limits or Limits()
        self._listener = Listener()
        self._ready: list[WorkerProcess] = []
        self._owners: set[asyncio.Task[Any]] = set()
        self._calls: set[asyncio.Task[InvocationResult]] = set()
        self._turn = 0
        self._load_errors: dict[str, str] = {}

    @property
    def load_errors(self) -> Mapping[str, str]:
        """Why a function could not be imported, by its name; each call of it fails with that."""
        return self._load_errors

    async def start(self) -> None:
        """Returns when every process has imported the app.

        Raises:
            WorkerError: a process could not be started; none is left then.
        """
        self._stopping, self._available, self._started = asyncio.Event(), asyncio.Event(), asyncio.Event()
        await self._listener.start()
        for number in range(self._process_count):
            owner = asyncio.get_running_loop().create_task(self._own(), name=f"worker process {number}")
            self._owners.add(owner)
            owner.add_done_callback(self._owner_ended)
        try:
            await self._all_started()
        except BaseException:
            await self.stop(0)
            raise

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """`ports.Executor.invoke`. A call goes on to its end, and is logged, even if its caller is cancelled."""
        call = asyncio.get_running_loop().create_task(self._call(invocation), name=invocation.invocation_id)
        self._calls.add(call)
        call.add_done_callback(self._call_ended)
        return await asyncio.shield(call)

    async def stop(self, drain_seconds: float) -> None:
        """Waits for running calls up to the bound; then no process is left. Safe to call twice."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=drain_seconds)
        self._stopping.set()
        # Wakes the calls that wait for a process: there will be none.
        self._available.set()
        async with anyio.create_task_group() as tasks:
            for process in self._ready:
                tasks.start_soon(process.shutdown, name="worker shutdown")
        for owner in self._owners:
            # One that is still starting its process has nothing to wait for.
            owner.cancel()
        if self._owners:
            await asyncio.wait(self._owners)
        self._listener.close()

    async def _all_started(self) -> None:
        started = asyncio.ensure_future(self._started.wait())
        try:
            # An owner ends only by failing, before it is told to stop.
            done, _ = await asyncio.wait({started, *self._owners}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            started.cancel()

    async def _own(self) -> None:
        """Keeps one process running, whatever becomes of it.

        Raises:
            WorkerError: it could not even be started, at the start of the pool.
        """
        ends_in_a_row = 0
        while not self._stopping.is_set():
            process = WorkerProcess(self._listener, self._environment, self._limits)
            text = ""
            try:
                await process.run(self._load, self._add)
                text = process.end_text
            except WorkerError as error:
                if not self._started.is_set():
                    raise
                text = str(error)
            finally:
                self._remove(process)
            ends_in_a_row = 1 if process.is_stable else ends_in_a_row + 1
            await self._wait_to_restart(text, ends_in_a_row)

    async def _wait_to_restart(self, reason: str, ends_in_a_row: int) -> None:
        if self._stopping.is_set():
            return
        delay = _RESTART_DELAYS_SECONDS[min(ends_in_a_row, len(_RESTART_DELAYS_SECONDS)) - 1]
        _log.error("%s Starting another in %d seconds.", reason, delay)
        with anyio.move_on_after(delay):
            await self._stopping.wait()

    def _owner_ended(self, owner: asyncio.Task[Any]) -> None:
        self._owners.discard(owner)
        if not owner.cancelled() and owner.exception() is not None and self._started.is_set():
            _log.critical("The owner of a worker process failed; it is not replaced.", exc_info=owner.exception())

    def _call_ended(self, call: asyncio.Task[InvocationResult]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            # Seen here, for a caller that is gone; it has been logged.
            call.exception()

    def _add(self, process: WorkerProcess) -> None:
        known = self._load_errors
        self._load_errors = {name: f"{f.type_name}: {f.message}" for name, f in process.load_failures.items()}
        for name, failure in process.load_failures.items():
            # Every process of the pool has the same to say; it is logged once.
            if known.get(name) != self._load_errors[name]:
                what = f"Worker failed to load function: '{name}' with functionId: '{name}'."
                _log.error("%s %s", what, journal.describe_failure(failure))
        self._ready.append(process)
        self._available.set()
        if self._started.is_set():
            _log.info("Restart of language worker process(es) completed.")
        elif len(self._ready) == self._process_count:
            self._started.set()

    def _remove(self, process: WorkerProcess) -> None:
        if process in self._ready:
            self._ready.remove(process)
        if not self._ready:
            self._available.clear()

    async def _call(self, invocation: Invocation) -> InvocationResult:
        function = self._functions.get(invocation.function_name.lower())
        if function is None:
            raise ProtocolError(f"there is no function '{invocation.function_name}' in this app")
        call = CallJournal(invocation)
        try:
            process = await self._next_process()
            result = await self._run(process, self._with_clients(invocation, function), call)
        except WorkerError as error:
            call.broken(error)
            raise
        call.ended(result)
        return result

    async def _next_process(self) -> WorkerProcess:
        seconds = self._limits.wait_seconds
        with anyio.move_on_after(seconds):
            while not self._stopping.is_set():
                if self._ready:
                    self._turn += 1
                    return self._ready[self._turn % len(self._ready)]
                await self._available.wait()
        if self._stopping.is_set():
            raise WorkerUnresponsive("The worker processes are stopping.")
        raise WorkerUnresponsive(
            f"Did not find any initialized language workers: none was ready within {seconds:g} seconds."
        )

    async def _run(self, process: WorkerProcess, invocation: Invocation, call: CallJournal) -> InvocationResult:
        failure = process.load_failures.get(invocation.function_name)
        if failure is not None:
            return InvocationResult(failure=failure)
        with anyio.move_on_after(self._timeout_seconds):
            return await process.invoke(invocation)
        timeout = format_time_span(self._timeout_seconds or 0)
        call.timed_out(timeout)
        text = (
            "A function timeout has occurred. Restarting worker process executing "
            f"invocationId '{invocation.invocation_id}'."
        )
        _log.error("%s", text)
        self._remove(process)
        process.kill(text)
        raise FunctionTimeout(
            f"Timeout value of {timeout} was exceeded by function: Functions.{invocation.function_name}"
        )

    def _with_clients(self, invocation: Invocation, function: Function) -> Invocation:
        clients = {
            binding.name: self._client_input(binding)
            for binding in function.bindings
            if binding.is_durable_client and binding.direction is Direction.IN
        }
        # The name as the worker process knows it: the caller's may differ in case.
        return replace(invocation, function_name=function.name, inputs={**clients, **invocation.inputs})


def _load_request(app: FunctionApp, thread_count: int) -> Load:
    # Disabled functions can still be called by name; they come last.
    functions = sorted(app.functions, key=lambda function: function.is_disabled)
    return Load(
        root=str(app.root),
        thread_count=thread_count,
        functions=tuple(
            FunctionToLoad(
                name=function.name,
                folder=str(function.folder),
                script_file=str(function.script_file),
                entry_point=function.entry_point,
                bindings=function.bindings,
            )
            for function in functions
        ),
    )
