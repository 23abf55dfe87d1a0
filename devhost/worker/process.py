"""One worker process, from its start to its end: spawned, greeted, loaded, called, watched, killed. Never restarted.

Rule of this file: whatever ends the process, on return from `run` nothing of it is left, and every call that it had
has an outcome. Mirrors GrpcWorkerChannel and WorkerProcess of the Functions host.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio

from devhost.app.invocation import Failure, Invocation, InvocationResult
from devhost.errors import FrameTooLarge, ProtocolError, WorkerCrashed, WorkerError, WorkerUnresponsive
from devhost.worker import journal
from devhost.worker.listener import Connection, Listener
from devhost.worker.output import LineSplitter, level_of_error_line
from devhost.worker.protocol import (
    Invoke,
    Load,
    Loaded,
    Loading,
    Log,
    Message,
    Ping,
    Recall,
    Recalled,
    Result,
    Shutdown,
)

T = TypeVar("T")

_CHILD_MODULE = "devhost.worker.child"
_PACKAGE_PARENT = str(Path(__file__).parents[2])
_STDERR = 2
_LAST_FRAMES_SECONDS = 1.0
_KILL_SECONDS = 5.0
_PINGS = 4
_STABLE_SECONDS = 60.0
_BACKGROUND_NICENESS = 10
_OUTSIDE_SIGNALS = {-getattr(signal, name, 0) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")} - {0}

_log = logging.getLogger(journal.WORKER)
_console = logging.getLogger(journal.CONSOLE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the host waits for a worker process, in seconds.

    `wait_seconds` is how long a call waits for any process, `blocked_seconds` how long the run of an orchestrator or an
    entity may take before its process gets no other calls.
    """

    start_seconds: float = 60
    load_seconds: float = 300
    wait_seconds: float = 60
    liveness_seconds: float = 60
    blocked_seconds: float = 3
    shutdown_seconds: float = 5


class CallRecalled(Exception):
    """The call has not begun in this process and will not: another one is to take it."""


class Observer(Protocol):
    """Is told of the fate of a process."""

    def ready(self, process: WorkerProcess) -> None:
        """It has imported the app."""

    def exited(self, process: WorkerProcess) -> None:
        """It was ready and has ended; its calls have no outcome yet."""

    def count_suspects(self, process: WorkerProcess, lost: Sequence[Invocation]) -> int:
        """How many of these calls may have ended it: those that have no result."""


class WorkerProcess:
    """Runs calls until it ends; in the background: at a lower priority.

    `loading` is the function whose import has begun last. `load_failures` says why it lacks a function; whoever starts
    it adds those that it is not asked to load.
    """

    def __init__(
        self, listener: Listener, environment: Mapping[str, str], limits: Limits, *, is_in_background: bool = False
    ) -> None:
        self._listener = listener
        self._environment = environment
        self._limits = limits
        self._is_in_background = is_in_background
        self._output = _Output()
        self._transport: asyncio.SubprocessTransport | None = None
        self._connection: Connection | None = None
        self._loaded: asyncio.Future[Mapping[str, Failure]] = asyncio.get_running_loop().create_future()
        self._calls: dict[str, tuple[Invocation, asyncio.Future[InvocationResult]]] = {}
        self._unanswered_pings = 0
        self._ready_at: float | None = None
        self._end_reason: str | None = None
        self.load_failures: Mapping[str, Failure] = {}
        self.loading: str | None = None

    async def run(self, load: Load, observer: Observer) -> None:
        """From start to end of the process; returns when it has ended, whatever has ended it.

        Raises:
            WorkerError: it ended, or the time was over, before it was ready.
        """
        token, connected = self._listener.expect()
        try:
            await self._spawn(token)
            self._connection = await self._while_alive(connected, self._limits.start_seconds)
            problem = await self._serve(self._connection, load, observer)
        finally:
            connected.cancel()
            await self._clean_up(observer)
        if problem is not None:
            raise problem

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Raises `WorkerCrashed` if the process ends first, `CallRecalled` if the call does not begin."""
        if self._connection is None or self.has_ended:
            raise CallRecalled
        answer: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()
        self._calls[invocation.invocation_id] = invocation, answer
        try:
            try:
                await self._connection.send(Invoke(invocation=invocation))
            except FrameTooLarge as error:
                text = f"The input of function '{invocation.function_name}' is too large: {error}."
                return InvocationResult(failure=Failure(type_name="ValueError", message=text, stack=""))
            return await answer
        finally:
            self._calls.pop(invocation.invocation_id, None)

    async def recall(self) -> None:
        """Asks for the calls that have not begun yet."""
        if self._connection is not None:
            await self._connection.send(Recall())

    async def shutdown(self) -> None:
        """Asks the process to end, then makes it."""
        if self._connection is not None and self._transport is not None:
            with anyio.move_on_after(self._limits.shutdown_seconds if not self._calls else 0):
                await self._connection.send(Shutdown())
                await self._output.exited.wait()
            if not self._output.exited.is_set():
                with contextlib.suppress(ProcessLookupError):
                    self._transport.terminate()
                with anyio.move_on_after(1):
                    await self._output.exited.wait()
        self.kill("The host is stopping.")

    def kill(self, reason: str) -> None:
        """Ends the process, and what user code has started from it, at once."""
        self._end_reason = self._end_reason or reason
        if self._transport is not None:
            _kill_tree(self._transport.get_pid(), is_alive=not self._output.exited.is_set())

    @property
    def has_ended(self) -> bool:
        return self._output.exited.is_set()

    @property
    def is_ready(self) -> bool:
        return self._ready_at is not None and not self.has_ended

    @property
    def was_killed_from_outside(self) -> bool:
        """Whether a signal has ended it that code does not raise by mistake: somebody's kill, or lack of memory."""
        code = self._transport.get_returncode() if self._transport is not None else None
        return not self._end_reason and code in _OUTSIDE_SIGNALS

    @property
    def is_stable(self) -> bool:
        """It has served for so long that its end is not taken for a fault of its start."""
        return self._ready_at is not None and time.monotonic() - self._ready_at > _STABLE_SECONDS

    @property
    def end_text(self) -> str:
        """Why the process ended, in the words of the Functions host."""
        if self._transport is None:
            return "Language Worker Process was not started."
        code = self._transport.get_returncode()
        text = f"Language Worker Process exited. Pid={self._transport.get_pid()}."
        if code is not None:
            text += f" python exited with code {code} (0x{code & 0xFFFFFFFF:X}){_killer(code)}."
        return f"{text} {self._end_reason}" if self._end_reason else text

    async def _spawn(self, token: str) -> None:
        # -m finds the package in the working directory, unless the variable forbids it; the child leaves that folder.
        environment = {name: value for name, value in self._environment.items() if name != "PYTHONSAFEPATH"}
        try:
            self._transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: self._output,
                sys.executable,
                "-m",
                _CHILD_MODULE,
                cwd=_PACKAGE_PARENT,
                env=environment,
                **_in_own_group(),
            )
        except OSError as error:
            raise WorkerUnresponsive(f"The worker process could not be started: {error}") from error
        if self._is_in_background:
            _lower_priority(self._transport.get_pid())
        stdin: Any = self._transport.get_pipe_transport(0)
        stdin.write(json.dumps({"port": self._listener.port, "token": token}).encode("ascii") + b"\n")
        stdin.close()

    async def _serve(self, connection: Connection, load: Load, observer: Observer) -> WorkerError | None:
        """The problem is returned: the task group would raise it in a group of exceptions."""
        problem: WorkerError | None = None
        received = asyncio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive, connection, received, name="worker frames")
            tasks.start_soon(self._watch, connection, name="worker liveness")
            try:
                await connection.send(load)
                failures = await self._while_alive(self._loaded, self._limits.load_seconds)
                self.load_failures = {**self.load_failures, **failures}
                self._ready_at = time.monotonic()
                observer.ready(self)
                await self._output.exited.wait()
                observer.exited(self)
                # What the process sent before its end is still on the way.
                with anyio.move_on_after(_LAST_FRAMES_SECONDS):
                    await received.wait()
            except WorkerError as error:
                problem = error
            tasks.cancel_scope.cancel()
        return problem

    async def _while_alive(self, awaited: asyncio.Future[T], seconds: float) -> T:
        exited = asyncio.ensure_future(self._output.exited.wait())
        either: set[asyncio.Future[Any]] = {awaited, exited}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            exited.cancel()
        if awaited.done():
            return awaited.result()
        if self._output.exited.is_set():
            raise WorkerCrashed(f"{self.end_text} It was not ready yet. {self._output.tail}".rstrip())
        self.kill(f"It was not ready within {seconds:g} seconds.")
        raise WorkerUnresponsive(f"The worker process was not ready within {seconds:g} seconds. {self._output.tail}")

    async def _receive(self, connection: Connection, received: asyncio.Event) -> None:
        try:
            async for message in connection.received():
                self._unanswered_pings = 0
                self._handle(message)
                # The next one may be long in coming.
                del message
        except ProtocolError as error:
            _log.error("A worker process sent what the host does not understand: %s", error)
            self.kill(str(error))
        received.set()

    def _handle(self, message: Message) -> None:
        if isinstance(message, Result):
            self._settle(message.invocation_id, message.result)
        elif isinstance(message, Recalled):
            self._settle(message.invocation_id, CallRecalled())
        elif isinstance(message, Log):
            journal.log_record(message)
        elif isinstance(message, Loading):
            self.loading = message.function_name
        elif isinstance(message, Loaded) and not self._loaded.done():
            self._loaded.set_result(message.failures)

    def _settle(self, invocation_id: str, outcome: InvocationResult | Exception) -> None:
        _, answer = self._calls.get(invocation_id, (None, None))
        if answer is None or answer.done():
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    async def _watch(self, connection: Connection) -> None:
        """Kills the process when none of its threads runs any more: code that never lets go of the interpreter."""
        limit = self._limits.liveness_seconds
        # Pings are counted, not seconds: a machine that slept for hours must not take its processes for dead.
        while self._unanswered_pings < _PINGS:
            self._unanswered_pings += 1
            # A process that reads nothing must not keep this loop from seeing it.
            with anyio.move_on_after(limit / _PINGS / 2):
                await connection.send(Ping())
            await asyncio.sleep(limit / _PINGS)
        self.kill(f"It did not answer for {limit:g} seconds.")

    async def _clean_up(self, observer: Observer) -> None:
        with anyio.CancelScope(shield=True):
            self.kill("")
            with anyio.move_on_after(_KILL_SECONDS):
                await self._output.exited.wait()
            if self._connection is not None:
                self._connection.close()
            if self._transport is not None:
                self._transport.close()
                with anyio.move_on_after(_KILL_SECONDS):
                    await self._output.closed.wait()
        lost = [invocation for invocation, answer in self._calls.values() if not answer.done()]
        suspects = observer.count_suspects(self, lost)
        # The call that began last is the likeliest cause: what is tried again first is cleared first.
        for invocation in reversed(lost):
            self._settle(invocation.invocation_id, WorkerCrashed(self.end_text, suspects=suspects))


class _Output(asyncio.SubprocessProtocol):
    """Logs what the process writes, and notices its end."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._splitters = {1: LineSplitter(), _STDERR: LineSplitter()}
        self._last_errors: deque[str] = deque(maxlen=10)

    @property
    def tail(self) -> str:
        """The last lines on stderr."""
        return " | ".join(self._last_errors)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        for line in self._splitters[fd].feed(data):
            self._line(fd, line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd in self._splitters:
            for line in self._splitters[fd].finish():
                self._line(fd, line)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def _line(self, fd: int, line: str) -> None:
        if fd == _STDERR:
            self._last_errors.append(line.strip())
        _console.log(level_of_error_line(line) if fd == _STDERR else logging.INFO, "%s", line)


def _killer(code: int) -> str:
    """Names the signal that killed a process with this return code; empty if none did."""
    try:
        return f", killed by {signal.Signals(-code).name}" if code < 0 else ""
    except ValueError:
        return f", killed by signal {-code}"


def _in_own_group() -> dict[str, Any]:
    """A group of its own: Ctrl+C reaches only the host, which drains; and the whole group can be killed."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _lower_priority(pid: int) -> None:
    """Of a process without threads so far: they inherit it."""
    if sys.platform != "win32":
        # A process that has ended by now needs none.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, _BACKGROUND_NICENESS)


def _kill_tree(pid: int, *, is_alive: bool) -> None:
    if sys.platform == "win32":
        if is_alive:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    # After the end of its leader too: the group's other members are processes that user code has forked.
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
