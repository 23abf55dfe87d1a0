"""The pool of worker processes: routes calls to them. Implements `ports.Executor`.

A call shares its process with others, unless it or its function may have ended one: one bad function must not harm the
rest of the app. A process that an orchestrator or an entity blocks finishes the calls that have begun; new calls go to
another one. If those that have begun cannot go on either, the process is ended, and they are repeated elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import anyio

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import Binding, Direction, Function, FunctionApp, TriggerKind
from durablehost.errors import FunctionTimeout, ProtocolError, WorkerError
from durablehost.worker import journal
from durablehost.worker.first_calls import FirstCalls
from durablehost.worker.journal import CallJournal, format_time_span
from durablehost.worker.process import CallRecalled, WorkerLimits, WorkerProcess
from durablehost.worker.processes import Processes
from durablehost.worker.protocol import FunctionToLoad, Load
from durablehost.worker.roster import Role

# Their calls take milliseconds; activities and HTTP functions may take long.
_QUICK_KINDS = (TriggerKind.ORCHESTRATION, TriggerKind.ENTITY)
# A process that answers nothing for so many times the limit for a blocked one holds up all calls in it.
_MOST_SILENT_ROUNDS = 4

# Only a machine that stands still exceeds it.
_LAST_CALLS_SECONDS = 30.0

_log = logging.getLogger(journal.WORKER)


class WorkerPool:
    """Runs the functions of one app in `process_count` processes.

    `environment` is the whole environment of the processes, app settings included. `python` is the Python of the app:
    its environment needs no package of the host's. `arguments` stand before the script of the processes that all calls
    share. `client_input` makes the value of a durable client binding.
    """

    def __init__(
        self,
        app: FunctionApp,
        *,
        environment: Mapping[str, str],
        client_input: Callable[[Binding], str],
        python: str = sys.executable,
        arguments: Sequence[str] = (),
        process_count: int = 1,
        thread_count: int = 1000,
        function_timeout_seconds: float | None = None,
        limits: WorkerLimits | None = None,
    ) -> None:
        self._functions = {function.name.lower(): function for function in app.functions}
        self._client_input = client_input
        self._timeout_seconds = function_timeout_seconds
        self._limits = limits or WorkerLimits()
        self._processes = Processes(
            _load_request(app, thread_count),
            environment=environment,
            python=python,
            arguments=arguments,
            limits=self._limits,
            process_count=process_count,
        )
        self._first_calls = FirstCalls()
        self._calls: set[asyncio.Task[InvocationResult]] = set()
        self._is_stopping = False
        self._cut_off: Counter[str] = Counter()

    @property
    def load_errors(self) -> Mapping[str, str]:
        """Why a function could not be imported, by its name; each call of it fails with that."""
        return self._processes.load_failures.texts

    @property
    def loading(self) -> list[str]:
        """The functions that processes are importing."""
        return self._processes.loading

    async def start(self) -> None:
        """Returns when every process has imported the app.

        Raises:
            WorkerError: a process could not be started; none is left then.
        """
        try:
            await self._processes.start()
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
        """Waits for running calls, for `drain_seconds` at most, and ends all processes. Safe to call twice."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=drain_seconds)
        self._is_stopping = True
        await self._processes.stop()
        if self._calls:
            # They have an outcome now; its way to them is short.
            await asyncio.wait(self._calls, timeout=_LAST_CALLS_SECONDS)
        if self._cut_off:
            names = ", ".join(f"{name} ({count})" for name, count in sorted(self._cut_off.items()))
            self._cut_off.clear()
            _log.warning(
                "The end of the host has cut off running functions: %s. "
                "Activities among them run again after the next start.",
                names,
            )

    def _call_ended(self, call: asyncio.Task[InvocationResult]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            # Retrieved here in case the caller is gone; it has been logged.
            call.exception()

    async def _call(self, invocation: Invocation) -> InvocationResult:
        function = self._functions.get(invocation.function_name.lower())
        if function is None:
            raise ProtocolError(f"there is no function '{invocation.function_name}' in this app")
        call = CallJournal(invocation)
        try:
            async with self._first_calls.admit(invocation):
                result = await self._run(self._with_clients(invocation, function), function, call)
        except WorkerError as error:
            if self._is_stopping:
                # Not the failure of the function.
                self._cut_off[function.name] += 1
            else:
                call.broken(error)
            raise
        call.ended(result)
        return result

    async def _run(self, invocation: Invocation, function: Function, call: CallJournal) -> InvocationResult:
        while True:
            process = await self._take_process(invocation)
            try:
                return await self._run_in(process, invocation, function, call)
            except CallRecalled:
                # Something else blocks that process, or it has just ended.
                continue
            finally:
                self._processes.release(process)

    async def _take_process(self, invocation: Invocation) -> WorkerProcess:
        if invocation.crashes:
            return await self._processes.take_quarantined(invocation.crashes)
        return await self._processes.take(lambda: self._role_for(invocation))

    def _role_for(self, invocation: Invocation) -> Role:
        if self._processes.suspicion.is_suspect(invocation.function_name):
            return Role.WARD
        is_apart = self._processes.suspicion.is_cautious and invocation.work
        return Role.REPEATABLE if is_apart else Role.SHARED

    async def _run_in(
        self, process: WorkerProcess, invocation: Invocation, function: Function, call: CallJournal
    ) -> InvocationResult:
        failure = process.load_failures.get(function.name)
        if failure is not None:
            return InvocationResult(failure=failure)
        with self._watched(process, function, invocation), anyio.move_on_after(self._timeout_seconds):
            result = await process.invoke(invocation)
            self._processes.suspicion.succeeded(function.name)
            return result
        timeout = format_time_span(self._timeout_seconds or 0)
        call.timed_out(timeout)
        text = (
            "A function timeout has occurred. Restarting worker process executing "
            f"invocationId '{invocation.invocation_id}'."
        )
        _log.error("%s", text)
        self._processes.end_timed_out(process, text)
        raise FunctionTimeout(f"Timeout value of {timeout} was exceeded by function: Functions.{function.name}")

    @contextmanager
    def _watched(self, process: WorkerProcess, function: Function, invocation: Invocation) -> Iterator[None]:
        """Keeps new calls away from the process if this call, of an orchestrator or an entity, blocks it."""
        if function.kind not in _QUICK_KINDS:
            yield
            return
        watch = asyncio.get_running_loop().create_task(self._watch(process, function, invocation), name="watch")
        try:
            yield
        finally:
            watch.cancel()

    async def _watch(self, process: WorkerProcess, function: Function, invocation: Invocation) -> None:
        seconds = self._limits.blocked_seconds
        await asyncio.sleep(seconds)
        _log.warning(
            "'Functions.%s' (Id: '%s') has not returned within %g seconds. Orchestrators and entities must not block: "
            "other calls go to another worker process.",
            function.name,
            invocation.invocation_id,
            seconds,
        )
        silent_rounds = 0
        while True:
            self._processes.suspicion.blocked(function.name)
            self._processes.replace(process)
            silent_rounds = 0 if await process.answers(seconds) else silent_rounds + 1
            if silent_rounds >= _MOST_SILENT_ROUNDS:
                self._processes.end_silent(process)

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
