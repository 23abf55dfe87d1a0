"""The worker processes of a pool, by role: started, replaced, and ended when nobody needs them.

Rule of this file: no fate of a worker process harms the host, and none delays the calls of other processes. A process
that ends is replaced for as long as the pool runs, whatever its exit code; at once where a call was in it, with growing
delays where it does not even start. Mirrors RpcFunctionInvocationDispatcher of the Functions host, which gives up after
three restarts, and does not replace a process that ended with code 0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import anyio

from devhost.app.invocation import Failure, Invocation
from devhost.errors import WorkerError, WorkerUnresponsive
from devhost.worker import journal
from devhost.worker.listener import Listener
from devhost.worker.process import Limits, WorkerProcess
from devhost.worker.protocol import Load
from devhost.worker.suspicion import Suspicion

_RESTART_DELAYS_SECONDS = (0, 1, 2, 5, 10, 20, 30)
# How long a call that may have ended one process has the next one for itself; by the factor longer after each crash.
_ALONE_SECONDS = 0.5
_ALONE_FACTOR = 4
_MOST_ALONE_SECONDS = 300.0
_MOST_PATIENCE_SECONDS = 10.0
_MOST_QUARANTINES = 3
# Blocked processes go on beside their successors; beyond so many a blocked process stays in use.
_MOST_RETIRED = 3
_IDLE_SECONDS = 60.0
# How long after a crash calls are kept apart from those that would be lost with them.
_CAUTION_SECONDS = 600.0
# Within this time, only the first kill from outside is blamed on nobody in the process.
_KILL_SECONDS = 60.0
# A function whose import has ended a process is left out of new processes for so long.
_LEFT_OUT_SECONDS = 60.0

_log = logging.getLogger(journal.WORKER)


class Role(Enum):
    """What a process is for."""

    SHARED = "shared"
    """Every call; after a crash, for a while, only those that nobody repeats, such as HTTP."""
    REPEATABLE = "repeatable"
    """After a crash, for a while: the calls that are repeated if they are lost."""
    SPARE = "spare"
    """After a crash, for a while: takes the place of one that ends."""
    WARD = "ward"
    """Calls of functions that have ended or blocked a process lately."""
    QUARANTINE = "quarantine"
    """Calls that were in a process when it ended, each alone at first."""
    RETIRED = "retired"
    """Gets no new calls and ends with its last one."""


_TEMPORARY = (Role.REPEATABLE, Role.SPARE, Role.WARD, Role.QUARANTINE)


class Processes:
    """Hands out processes for calls. Between `start` and `stop` every process is owned by a task."""

    def __init__(self, load: Load, *, environment: Mapping[str, str], limits: Limits, process_count: int) -> None:
        self._load = load
        self._environment = environment
        self._limits = limits
        self._process_count = process_count
        self._listener = Listener()
        self._roles: dict[WorkerProcess, Role] = {}
        # Ready ones that are retired as soon as others are ready in their place.
        self._leaving: set[WorkerProcess] = set()
        self._awaited: Counter[Role] = Counter()
        self._calls: Counter[WorkerProcess] = Counter()
        self._alone_until: dict[WorkerProcess, float] = {}
        self._kill_reasons: dict[WorkerProcess, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = 0
        self._ends_in_a_row = 0
        self._last_kill = float("-inf")
        self._last_crash = float("-inf")
        self._idle_since: dict[WorkerProcess, float] = {}
        self._left_out: dict[str, tuple[Failure, float]] = {}
        self._load_errors: dict[str, str] = {}
        self.suspicion = Suspicion()

    @property
    def load_errors(self) -> Mapping[str, str]:
        """Why a function could not be imported, by its name; each call of it fails with that."""
        return self._load_errors

    @property
    def is_cautious(self) -> bool:
        """Whether a call has ended a process lately."""
        return time.monotonic() - self._last_crash < _CAUTION_SECONDS

    async def start(self) -> None:
        """Returns when every process has imported the app.

        Raises:
            WorkerError: a process could not be started; the caller is to `stop`.
        """
        self._stopping, self._started, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._turnstile = asyncio.Lock()
        await self._listener.start()
        self._fill(Role.SHARED)
        started = asyncio.ensure_future(self._started.wait())
        try:
            # An owner ends only by failing, before it is told to stop.
            done, _ = await asyncio.wait({started, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            started.cancel()

    async def stop(self) -> None:
        """No process is left on return. Safe to call twice."""
        self._stopping.set()
        # Wakes the calls that wait for a process: there will be none.
        self._notify()
        async with anyio.create_task_group() as tasks:
            for process in tuple(self._roles):
                if process.is_ready:
                    tasks.start_soon(process.shutdown, name="worker shutdown")
        for task in self._tasks:
            # One that is still starting its process has nothing to wait for.
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._listener.close()

    async def take(self, choose_role: Callable[[], Role]) -> WorkerProcess:
        """A process of the chosen role, in turn. To be given back by `release`.

        The role is chosen again while the call waits: what ended the process before may have come to light.

        Raises:
            WorkerUnresponsive: none was ready in time.
        """
        with anyio.move_on_after(self._limits.wait_seconds):
            while not self._stopping.is_set():
                role = choose_role()
                self._fill(role)
                if processes := self._ready(role):
                    self._turn += 1
                    return self._taken(processes[self._turn % len(processes)])
                await self._changed.wait()
        raise self._none_ready()

    async def take_quarantined(self, crashes: int) -> WorkerProcess:
        """A process that is empty, if possible. To be given back by `release`.

        The call has the process for itself for a time that grows with its crashes. If there are as many processes as
        there may be, it waits for a while before it shares one. So a crash has a single suspect in the end, and long
        calls do not wait for each other.

        Raises:
            WorkerUnresponsive: none was ready in time.
        """
        alone_seconds = min(_ALONE_SECONDS * _ALONE_FACTOR ** (crashes - 1), _MOST_ALONE_SECONDS)
        async with self._turnstile:
            patience_ends = time.monotonic() + min(alone_seconds, _MOST_PATIENCE_SECONDS)
            with anyio.move_on_after(self._limits.wait_seconds):
                while not self._stopping.is_set():
                    if process := self._quarantine(is_patient=time.monotonic() < patience_ends):
                        self._alone_until[process] = time.monotonic() + alone_seconds
                        return self._taken(process)
                    # Times pass without a notification.
                    with anyio.move_on_after(_ALONE_SECONDS / 2):
                        await self._changed.wait()
            raise self._none_ready()

    def _quarantine(self, *, is_patient: bool) -> WorkerProcess | None:
        processes = self._ready(Role.QUARANTINE)
        if empty := [process for process in processes if not self._calls[process]]:
            return empty[0]
        now = time.monotonic()
        open_ones = [process for process in processes if self._alone_until.get(process, now) <= now]
        if len(processes) < _MOST_QUARANTINES:
            # Not for calls that end soon; and not while the machine is busy with starting what others wait for.
            if len(open_ones) == len(processes) and not self._awaited.total():
                self._begin(Role.QUARANTINE)
            return None
        if is_patient or not open_ones:
            return None
        return min(open_ones, key=lambda process: self._calls[process])

    def release(self, process: WorkerProcess) -> None:
        """Takes in that a call of the process has ended."""
        self._calls[process] -= 1
        if not self._calls[process]:
            del self._calls[process]
            self._alone_until.pop(process, None)
            role = self._roles.get(process)
            if role is Role.RETIRED:
                self._spawn(self._end(process), "worker end")
            else:
                self._note_idle(process)
        self._notify()

    def replace(self, process: WorkerProcess) -> None:
        """Retires a process that a call blocks, once another can take its place."""
        role = self._roles.get(process)
        retired = sum(each is Role.RETIRED for each in self._roles.values()) + len(self._leaving)
        if (
            role in (Role.SHARED, Role.REPEATABLE, Role.WARD)
            and process not in self._leaving
            and retired < _MOST_RETIRED
        ):
            self._leaving.add(process)
            self._fill(role)

    def end_timed_out(self, process: WorkerProcess, reason: str) -> None:
        """Kills a process for one of its calls, but not before its other calls have ended; it gets no new ones."""
        if process in self._kill_reasons or process not in self._roles:
            return
        self._kill_reasons[process] = reason
        role, self._roles[process] = self._roles[process], Role.RETIRED
        self._leaving.discard(process)
        if role in (Role.SHARED, Role.REPEATABLE):
            self._fill(role)
        self._spawn(process.recall(), "recall of calls")

    # The observer of each process.

    def ready(self, process: WorkerProcess) -> None:
        role = self._roles[process]
        self._awaited[role] -= 1
        self._note_load_failures(process.load_failures)
        if self._started.is_set():
            _log.info("Restart of language worker process(es) completed.")
        elif len(self._ready(Role.SHARED)) == self._process_count:
            self._started.set()
        self._note_idle(process)
        self._replace_leaving(role)
        self._tend_spare()
        self._notify()

    def exited(self, process: WorkerProcess) -> None:
        role = self._roles[process]
        if self._stopping.is_set():
            return
        if role not in (Role.SHARED, Role.REPEATABLE):
            if role is not Role.RETIRED or self._calls[process]:
                _log.error("%s", process.end_text)
            return
        is_cause_elsewhere = bool(self._calls[process]) or process.is_stable
        self._ends_in_a_row = 1 if is_cause_elsewhere else self._ends_in_a_row + 1
        delay = _restart_delay(self._ends_in_a_row)
        _log.error("%s Starting another in %d seconds.", process.end_text, delay)
        self._fill(role, delay)

    def count_suspects(self, process: WorkerProcess, lost: Sequence[Invocation]) -> int:
        if not lost or self._stopping.is_set():
            return len(lost)
        now = time.monotonic()
        if process.was_killed_from_outside and now - self._last_kill > _KILL_SECONDS:
            self._last_kill = now
            return 0
        self._last_crash = now
        self.suspicion.crashed(lost)
        if any(call.work for call in lost):
            self._fill(Role.REPEATABLE)
        self._tend_spare()
        return len(lost)

    def _taken(self, process: WorkerProcess) -> WorkerProcess:
        self._calls[process] += 1
        return process

    def _ready(self, role: Role) -> list[WorkerProcess]:
        """Those that are to stay; while there are none, those that are about to be replaced."""
        ready = [process for process, each in self._roles.items() if each is role and process.is_ready]
        return [process for process in ready if process not in self._leaving] or ready

    def _fill(self, role: Role, delay: float = 0) -> None:
        """Starts what is missing of the processes of a role."""
        wanted = self._process_count if role is Role.SHARED else 1
        staying = [process for process in self._ready(role) if process not in self._leaving]
        if role is Role.WARD and self._awaited[Role.SHARED]:
            # A machine that starts everything at once is slow with what matters most.
            return
        for _ in range(wanted - len(staying) - self._awaited[role]):
            if role in (Role.SHARED, Role.REPEATABLE) and (spares := self._ready(Role.SPARE)):
                self._roles[spares[0]] = role
                self._replace_leaving(role)
                self._tend_spare()
            else:
                self._begin(role, delay)

    def _tend_spare(self) -> None:
        if self.is_cautious and not self._ready(Role.SPARE) and not self._awaited.total():
            self._begin(Role.SPARE)

    def _replace_leaving(self, role: Role) -> None:
        """Retires those that have waited for another of their role to be ready."""
        for leaving in [each for each in self._leaving if self._roles.get(each) is role]:
            self._leaving.discard(leaving)
            self._retire(leaving)

    def _begin(self, role: Role, delay: float = 0) -> None:
        self._awaited[role] += 1
        self._spawn(self._own(role, delay), f"{role.value} worker process")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._started.is_set():
            _log.critical("A task that owns a worker process failed.", exc_info=task.exception())

    async def _own(self, role: Role, delay: float) -> None:
        """Starts one process, as often as it takes, and returns when it has ended.

        Raises:
            WorkerError: it could not even be started, at the start of the pool.
        """
        failures = 0
        while not self._stopping.is_set():
            with anyio.move_on_after(delay):
                await self._stopping.wait()
                return
            # What crashes or loops is not to take the processor from the others.
            is_in_background = role in (Role.WARD, Role.QUARANTINE)
            process = WorkerProcess(self._listener, self._environment, self._limits, is_in_background=is_in_background)
            self._roles[process] = role
            left_out = self._failures_left_out()
            process.load_failures = left_out
            try:
                await process.run(_without(self._load, left_out), self)
                return
            except WorkerError as error:
                if self._leave_out(process, error):
                    delay = 0
                    continue
                if not self._started.is_set():
                    raise
                failures += 1
                delay = _restart_delay(failures + 1)
                _log.error("%s Starting another in %d seconds.", error, delay)
            finally:
                del self._roles[process]
                self._leaving.discard(process)
                self._kill_reasons.pop(process, None)
                self._idle_since.pop(process, None)
                self._notify()

    def _failures_left_out(self) -> Mapping[str, Failure]:
        """The functions whose import has ended a process lately; others are tried again."""
        now = time.monotonic()
        self._left_out = {name: each for name, each in self._left_out.items() if now - each[1] < _LEFT_OUT_SECONDS}
        return {name: failure for name, (failure, _) in self._left_out.items()}

    def _leave_out(self, process: WorkerProcess, error: WorkerError) -> bool:
        """Notes a function whose import has ended the process; False where there is none, or none would be left."""
        name = process.loading
        if name is None or process.was_killed_from_outside:
            return False
        if len(self._left_out) + 1 >= len(self._load.functions):
            self._left_out.clear()
            return False
        message = f"The import of the function ended the worker process. {error}"
        failure = Failure(type_name=type(error).__name__, message=message, stack=message)
        self._left_out[name] = failure, time.monotonic()
        return True

    def _note_load_failures(self, failures: Mapping[str, Failure]) -> None:
        known = self._load_errors
        self._load_errors = {name: f"{f.type_name}: {f.message}" for name, f in failures.items()}
        for name, failure in failures.items():
            # Every process of the pool has the same to say; it is logged once.
            if known.get(name) != self._load_errors[name]:
                what = f"Worker failed to load function: '{name}' with functionId: '{name}'."
                _log.error("%s %s", what, journal.describe_failure(failure))

    def _retire(self, process: WorkerProcess) -> None:
        self._roles[process] = Role.RETIRED
        self._spawn(process.recall() if self._calls[process] else self._end(process), "worker retirement")

    def _note_idle(self, process: WorkerProcess) -> None:
        if self._roles.get(process) in _TEMPORARY:
            self._idle_since[process] = time.monotonic()
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._retire_idle, process)

    def _retire_idle(self, process: WorkerProcess) -> None:
        role = self._roles.get(process)
        if role not in _TEMPORARY or self._calls[process]:
            return
        if role is Role.SPARE and self.is_cautious:
            self._note_idle(process)
        elif time.monotonic() - self._idle_since[process] >= _IDLE_SECONDS:
            self._retire(process)

    async def _end(self, process: WorkerProcess) -> None:
        if reason := self._kill_reasons.get(process):
            process.kill(reason)
        else:
            await process.shutdown()

    def _notify(self) -> None:
        """Wakes whoever waits for a process."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _none_ready(self) -> WorkerUnresponsive:
        if self._stopping.is_set():
            return WorkerUnresponsive("The worker processes are stopping.")
        seconds = self._limits.wait_seconds
        return WorkerUnresponsive(
            f"Did not find any initialized language workers: none was ready within {seconds:g} seconds."
        )


def _without(load: Load, left_out: Mapping[str, Failure]) -> Load:
    return replace(load, functions=tuple(each for each in load.functions if each.name not in left_out))


def _restart_delay(ends_in_a_row: int) -> int:
    return _RESTART_DELAYS_SECONDS[min(ends_in_a_row, len(_RESTART_DELAYS_SECONDS)) - 1]
