"""One worker process, from its start to its end: spawned, connected, loaded, called, watched, killed. Never restarted.

Rule of this file: whatever ends the process, on return from `run` nothing of it is left, and every call that it had
has an outcome. Mirrors GrpcWorkerChannel and WorkerProcess of the Functions host.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import anyio

from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.errors import FrameTooLarge, ProtocolError, WorkerCrashed, WorkerError, WorkerUnresponsive
from durablehost.worker import journal
from durablehost.worker.listener import Connection, WorkerListener
from durablehost.worker.output import LineSplitter, level_of_error_line
from durablehost.worker.protocol import (
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

_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))
_STDERR = 2
# So much output at a time may be as many lines, each of them a log record: a tenth of a second at worst.
_BYTES_AT_ONCE = 4096
_LAST_FRAMES_SECONDS = 1.0
_TAIL_CHARACTERS = 1000
_KILL_SECONDS = 5.0
_PINGS = 4
_STABLE_SECONDS = 60.0
_BACKGROUND_NICENESS = 10
_LARGEST_NICENESS = 19
_OWN_SESSION = Path("/proc/self/autogroup")
_OUTSIDE_SIGNALS = {-getattr(signal, name, 0) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")} - {0}

_log = logging.getLogger(journal.WORKER)
_console = logging.getLogger(journal.CONSOLE)


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
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


# A debugger may wait for its client, and may pause a process at any place.
UNHURRIED = WorkerLimits(
    start_seconds=math.inf,
    load_seconds=math.inf,
    wait_seconds=math.inf,
    liveness_seconds=math.inf,
    blocked_seconds=math.inf,
)


class CallRecalled(Exception):
    """The call has not begun in this process and will not: it has to run in another one."""


class Observer(Protocol):
    """Follows a process."""

    def ready(self, process: WorkerProcess) -> None:
        """It has imported the app."""

    def exited(self, process: WorkerProcess) -> None:
        """It was ready and has ended; its calls have no outcome yet."""

    def count_suspects(self, process: WorkerProcess, lost: Sequence[Invocation]) -> int:
        """How many of these calls, which have no result, may have ended it."""


class WorkerProcess:
    """Runs calls until it ends; `is_in_background`: at a lower priority than the host.

    `arguments` are those of Python, before its script. `loading` is the function whose import has begun last.
    `load_failures` has a reason for each function that it lacks, also for those that it is not asked to load.
    """

    def __init__(
        self,
        listener: WorkerListener,
        python: str,
        environment: Mapping[str, str],
        limits: WorkerLimits,
        *,
        arguments: Sequence[str] = (),
        is_in_background: bool = False,
    ) -> None:
        self._listener = listener
        self._command = (python, *arguments, _BOOTSTRAP)
        self._environment = environment
        self._limits = limits
        self._is_in_background = is_in_background
        self._output = _Output()
        self._transport: asyncio.SubprocessTransport | None = None
        self._connection: Connection | None = None
        self._loaded: asyncio.Future[Mapping[str, Failure]] = asyncio.get_running_loop().create_future()
        self._calls: dict[str, tuple[Invocation, asyncio.Future[InvocationResult]]] = {}
        self._unanswered_pings = 0
        self._received_count = 0
        self._ready_at: float | None = None
        self._end_reason: str | None = None
        self.load_failures: Mapping[str, Failure] = {}
        self.loading: str | None = None

    async def run(self, load: Load, observer: Observer) -> None:
        """Starts the process, and returns when it has ended, for whatever reason.

        Raises:
            WorkerError: it ended before it was ready, or was not ready in time.
        """
        token, connected = self._listener.expect()
        try:
            await self._spawn(token, load.root)
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
        result: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()
        self._calls[invocation.invocation_id] = invocation, result
        try:
            try:
                await self._connection.send(Invoke(invocation=invocation))
            except FrameTooLarge as error:
                text = f"The input of function '{invocation.function_name}' is too large: {error}."
                return InvocationResult(failure=Failure(type_name="ValueError", message=text, stack=""))
            return await result
        finally:
            self._calls.pop(invocation.invocation_id, None)

    async def recall(self) -> None:
        """Asks for the calls that have not begun yet."""
        if self._connection is not None:
            await self._connection.send(Recall())

    async def answers(self, seconds: float) -> bool:
        """Asks for a sign of life, waits for so long, and returns whether any has come."""
        received = self._received_count
        if self._connection is not None:
            await _ping(self._connection, seconds)
        return self._received_count > received

    async def shutdown(self) -> None:
        """Asks the process to end, and kills it if it does not."""
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

    def lower_priority(self) -> None:
        """Gives other processes the processor first, from now on."""
        if self._transport is not None:
            _lower_priority(self._transport.get_pid())

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
        """Whether a signal has ended it that is not raised by a bug: that of a `kill`, or of a lack of memory."""
        code = self._transport.get_returncode() if self._transport is not None else None
        return not self._end_reason and code in _OUTSIDE_SIGNALS

    @property
    def is_stable(self) -> bool:
        """Whether it has run for so long that its end does not count as a failed start."""
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

    async def _spawn(self, token: str, root: str) -> None:
        try:
            self._transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: self._output,
                *self._command,
                env=self._environment,
                # As on the Functions host: a relative PYTHONPATH starts here.
                cwd=root,
                **_in_own_group(),
            )
        except OSError as error:
            raise WorkerUnresponsive(f"The worker process could not be started: {error}") from error
        stdin: Any = self._transport.get_pipe_transport(0)
        # Stays open: its end shows the process that the host is gone.
        stdin.write(json.dumps({"port": self._listener.port, "token": token}).encode("ascii") + b"\n")

    async def _serve(self, connection: Connection, load: Load, observer: Observer) -> WorkerError | None:
        """Returns the error, because the task group would raise it in a group of exceptions."""
        problem: WorkerError | None = None
        received = asyncio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive, connection, received, name="worker frames")
            tasks.start_soon(self._watch, connection, name="worker liveness")
            try:
                await connection.send(load)
                failures = await self._while_alive(self._loaded, self._limits.load_seconds)
                self.load_failures = {**self.load_failures, **failures}
                if self._is_in_background:
                    # Only now: on a busy machine its start would take minutes.
                    self.lower_priority()
                self._ready_at = time.monotonic()
                observer.ready(self)
                await self._output.exited.wait()
                observer.exited(self)
                # Waits for the frames that the process sent before its end.
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
                self._received_count += 1
                self._handle(message)
                # Frees its payload before waiting for the next one.
                del message
        except ProtocolError as error:
            _log.error("A worker process sent a frame that the host does not understand: %s", error)
            self.kill(str(error))
        received.set()

    def _handle(self, message: Message) -> None:
        if isinstance(message, Result):
            self._settle(message.invocation_id, message.result)
        elif isinstance(message, Recalled):
            self._settle(message.invocation_id, CallRecalled())
        elif isinstance(message, Log):
            call, _ = self._calls.get(message.invocation_id or "", (None, None))
            journal.log_record(message, call)
        elif isinstance(message, Loading):
            self.loading = message.function_name
        elif isinstance(message, Loaded) and not self._loaded.done():
            self._loaded.set_result(message.failures)

    def _settle(self, invocation_id: str, outcome: InvocationResult | Exception) -> None:
        _, result = self._calls.get(invocation_id, (None, None))
        if result is None or result.done():
            return
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome)

    async def _watch(self, connection: Connection) -> None:
        """Kills the process when it answers no pings, because its code never releases the interpreter lock."""
        limit = self._limits.liveness_seconds
        # Counts pings, not seconds: after hours of sleep, a machine must not take its processes for dead.
        while self._unanswered_pings < _PINGS:
            self._unanswered_pings += 1
            await _ping(connection, limit / _PINGS)
        self.kill(f"It did not answer for {limit:g} seconds.")

    async def _clean_up(self, observer: Observer) -> None:
        try:
            with anyio.CancelScope(shield=True):
                self.kill("")
                if self._connection is not None:
                    self._connection.close()
                if self._transport is not None:
                    with anyio.move_on_after(_KILL_SECONDS):
                        await self._output.exited.wait()
                    self._transport.close()
                    with anyio.move_on_after(_KILL_SECONDS):
                        await self._output.closed.wait()
        finally:
            # Also if the task itself is cancelled here, which no scope of anyio prevents.
            self._settle_lost(observer)

    def _settle_lost(self, observer: Observer) -> None:
        lost = [invocation for invocation, result in self._calls.values() if not result.done()]
        suspects = observer.count_suspects(self, lost)
        # The call that began last is the likeliest cause, and the one that is repeated first is cleared first.
        for invocation in reversed(lost):
            self._settle(invocation.invocation_id, WorkerCrashed(self.end_text, suspects=suspects))


class _Output(asyncio.SubprocessProtocol):
    """Logs the output of the process, and notes its end."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._splitters = {1: LineSplitter(), _STDERR: LineSplitter()}
        self._last_errors: deque[str] = deque(maxlen=10)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        process = cast(asyncio.SubprocessTransport, transport)
        for fd in self._splitters:
            # How much asyncio reads of a pipe in one iteration of the loop; not so on Windows.
            pipe: Any = process.get_pipe_transport(fd)
            pipe.max_size = _BYTES_AT_ONCE

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
            self._last_errors.append(line.strip()[:_TAIL_CHARACTERS])
        _console.log(level_of_error_line(line) if fd == _STDERR else logging.INFO, "%s", line)


async def _ping(connection: Connection, seconds: float) -> None:
    """Sends a ping, and waits for so long, or half as long again if the process reads nothing."""
    with anyio.move_on_after(seconds / 2):
        await connection.send(Ping())
    await asyncio.sleep(seconds)


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
    """Lowers the priority of each thread of a process below that of this one."""
    if sys.platform == "win32":
        return
    # The process may have ended by now.
    with contextlib.suppress(OSError):
        niceness = _lower(os.getpriority(os.PRIO_PROCESS, 0))
        for thread in _threads(pid):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
        # Linux may schedule each session as one task, among which the niceness of a process counts for nothing.
        session = Path(f"/proc/{pid}/autogroup")
        if session.exists():
            session.write_text(str(_lower(_session_niceness(_OWN_SESSION.read_text("ascii")))))


def _session_niceness(autogroup: str) -> int:
    """Reads the last word of a line like "/autogroup-25 nice 0"; the line is empty in the session that Linux boots."""
    words = autogroup.split()
    return int(words[-1]) if words else 0


def _lower(niceness: int) -> int:
    return min(niceness + _BACKGROUND_NICENESS, _LARGEST_NICENESS)


def _threads(pid: int) -> list[int]:
    """The ids that have a niceness: on Linux those of the threads, elsewhere that of the process."""
    try:
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return [pid]


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
