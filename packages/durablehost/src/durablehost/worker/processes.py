"""The worker processes of a pool: started, replaced, and ended when nobody needs them.

Rule of this file: however a worker process ends, the host goes on, and the calls of other processes are not delayed. A
process that ends is replaced for as long as the pool runs, whatever its exit code: at once if a call was in it, with
growing delays if it does not even start. Mirrors RpcFunctionInvocationDispatcher of the Functions host, which gives up
after three restarts, and does not replace a process that ended with code 0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import anyio

from durablehost.app.invocation import Invocation
from durablehost.errors import WorkerError, WorkerUnresponsive
from durablehost.worker import journal
from durablehost.worker.listener import WorkerListener
from durablehost.worker.load_failures import LoadFailures
from durablehost.worker.process import WorkerLimits, WorkerProcess
from durablehost.worker.protocol import Load
from durablehost.worker.quarantine import SEARCH_SECONDS, QuarantineSearch
from durablehost.worker.roster import Member, Role, Roster
from durablehost.worker.suspicion import Suspicion

_RESTART_DELAYS_SECONDS = (0, 1, 2, 5, 10, 20, 30)
# Blocked processes go on beside their successors; with so many of them, a blocked process stays in use.
_MOST_RETIRED = 3
_IDLE_SECONDS = 60.0
_TEMPORARY = (Role.REPEATABLE, Role.SPARE, Role.WARD, Role.QUARANTINE)

_log = logging.getLogger(journal.WORKER)


class Processes:
    """Hands out processes for calls. Between `start` and `stop` every process is owned by a task."""

    def __init__(
        self,
        load: Load,
        *,
        python: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        limits: WorkerLimits,
        process_count: int,
    ) -> None:
        self._python = python
        self._arguments = arguments
        self._environment = environment
        self._limits = limits
        self._listener = WorkerListener()
        self._roster = Roster(process_count)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._takes = 0
        self._ends_in_a_row = 0
        self.load_failures = LoadFailures(load)
        self.suspicion = Suspicion()

    @property
    def loading(self) -> list[str]:
        """The functions that processes are importing."""
        starting = (member.process for member in self._roster.members.values() if not member.process.is_ready)
        return sorted({process.loading for process in starting if process.loading is not None})

    async def start(self) -> None:
        """Returns when every process has imported the app.

        Raises:
            WorkerError: a process could not be started; the caller has to `stop`.
        """
        self._stopping, self._started, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._turnstile = asyncio.Lock()
        await self._listener.start()
        self._fill(Role.SHARED)
        started = asyncio.ensure_future(self._started.wait())
        try:
            # Before `stop`, the task that owns a process ends only by failing.
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
            for process in tuple(self._roster.members):
                if process.is_ready:
                    tasks.start_soon(process.shutdown, name="worker shutdown")
        for task in self._tasks:
            # One that is still starting its process has nothing to wait for.
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._listener.close()

    async def take(self, choose_role: Callable[[], Role]) -> WorkerProcess:
        """A process of the chosen role, in rotation. The caller has to `release` it.

        The role is chosen again while the call waits: the function may be suspected of a crash meanwhile.

        Raises:
            WorkerUnresponsive: none was ready in time.
        """

        def find() -> Member | None:
            role = choose_role()
            self._fill(role)
            self._takes += 1
            ready = self._roster.ready(role)
            return ready[self._takes % len(ready)] if ready else None

        return await self._take(find)

    async def take_quarantined(self, crashes: int) -> WorkerProcess:
        """A process for a call that may have ended others so many times. The caller has to `release` it.

        Raises:
            WorkerUnresponsive: none was ready in time.
        """
        async with self._turnstile:
            search = QuarantineSearch(self._roster, crashes, lambda: self._begin(Role.QUARANTINE))
            process = await self._take(search.find, SEARCH_SECONDS)
        self._begin_spare()
        return process

    async def _take(self, find: Callable[[], Member | None], search_seconds: float | None = None) -> WorkerProcess:
        with anyio.move_on_after(self._limits.wait_seconds):
            while not self._stopping.is_set():
                if member := find():
                    member.calls += 1
                    return member.process
                with anyio.move_on_after(search_seconds):
                    await self._changed.wait()
        if self._stopping.is_set():
            raise WorkerUnresponsive("The worker processes are stopping.")
        raise WorkerUnresponsive(
            "Did not find any initialized language workers: "
            f"none was ready within {self._limits.wait_seconds:g} seconds."
        )

    def release(self, process: WorkerProcess) -> None:
        """Ends a call's use of a process, which may have ended already."""
        if member := self._roster.members.get(process):
            member.calls -= 1
            if not member.calls and member.role is Role.RETIRED:
                self._spawn(_end(member), "worker end")
            elif not member.calls:
                self._note_idle(member)
        self._notify()

    def replace(self, process: WorkerProcess) -> None:
        """Retires a process that a call blocks, once another can replace it."""
        member = self._roster.members.get(process)
        if member is None or member.is_leaving or member.role not in (Role.SHARED, Role.REPEATABLE, Role.WARD):
            return
        retired = sum(each.is_leaving or each.role is Role.RETIRED for each in self._roster.members.values())
        if retired < _MOST_RETIRED:
            member.is_leaving = True
            self._fill(member.role)

    def end_silent(self, process: WorkerProcess) -> None:
        """Kills a process that one of its calls has frozen, unless that call can only harm itself."""
        member = self._roster.members.get(process)
        if member is not None and member.role is not Role.QUARANTINE:
            process.kill("It did not answer while an orchestrator or an entity blocked it.")

    def end_timed_out(self, process: WorkerProcess, reason: str) -> None:
        """Kills a process for one of its calls, but not before its other calls have ended; it gets no new ones."""
        member = self._roster.members.get(process)
        if member is None or member.kill_reason:
            return
        member.kill_reason = reason
        role, member.role, member.is_leaving = member.role, Role.RETIRED, False
        if role in (Role.SHARED, Role.REPEATABLE):
            self._fill(role)
        self._spawn(process.recall(), "recall of calls")

    # The observer of each process.

    def ready(self, process: WorkerProcess) -> None:
        member = self._roster.members[process]
        self._roster.starting[member.role] -= 1
        self.load_failures.note(process.load_failures)
        if self._started.is_set():
            _log.info("Restart of language worker process(es) completed.")
        elif len(self._roster.ready(Role.SHARED)) == self._roster.process_count:
            self._started.set()
        self._note_idle(member)
        self._retire_leaving(member.role)
        self._begin_spare()
        self._notify()

    def exited(self, process: WorkerProcess) -> None:
        member = self._roster.members[process]
        if self._stopping.is_set():
            return
        if member.role not in (Role.SHARED, Role.REPEATABLE):
            if member.role is not Role.RETIRED or member.calls:
                _log.error("%s", process.end_text)
            return
        is_cause_elsewhere = member.calls > 0 or process.is_stable
        self._ends_in_a_row = 1 if is_cause_elsewhere else self._ends_in_a_row + 1
        delay = _restart_delay(self._ends_in_a_row)
        _log.error("%s Starting another in %d seconds.", process.end_text, delay)
        self._fill(member.role, delay)

    def count_suspects(self, process: WorkerProcess, lost: Sequence[Invocation]) -> int:
        if not lost or self._stopping.is_set():
            return len(lost)
        if process.was_killed_from_outside and self.suspicion.excuses_kill(lost):
            return 0
        self.suspicion.crashed(lost)
        if any(call.work for call in lost):
            self._fill(Role.REPEATABLE)
        self._begin_spare()
        return len(lost)

    def _fill(self, role: Role, delay: float = 0) -> None:
        """Starts the processes that a role lacks, or gives it a spare one."""
        if role is Role.WARD and self._roster.starting[Role.SHARED]:
            # Started all at once, the processes that matter most would be ready late.
            return
        for _ in range(self._roster.missing(role)):
            if role in (Role.SHARED, Role.REPEATABLE) and (spares := self._roster.ready(Role.SPARE)):
                spares[0].role = role
                self._retire_leaving(role)
                self._begin_spare()
            else:
                self._begin(role, delay)

    def _begin_spare(self) -> None:
        # What calls wait for is started first.
        is_busy = self._turnstile.locked() or self._roster.starting.total()
        if self.suspicion.is_cautious and not self._roster.ready(Role.SPARE) and not is_busy:
            self._begin(Role.SPARE)

    def _retire_leaving(self, role: Role) -> None:
        for member in self._roster.members.values():
            if member.is_leaving and member.role is role:
                self._retire(member)

    def _begin(self, role: Role, delay: float = 0) -> None:
        self._roster.starting[role] += 1
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
        """Starts one process, trying until it is ready, and returns when it has ended.

        Raises:
            WorkerError: it could not be started while the pool starts.
        """
        failures = 0
        while not self._stopping.is_set():
            with anyio.move_on_after(delay):
                await self._stopping.wait()
                return
            # Code that crashes or loops must not take the processor from the others.
            is_in_background = role in (Role.WARD, Role.QUARANTINE)
            process = WorkerProcess(
                self._listener,
                self._python,
                self._environment,
                self._limits,
                # A second process could not listen on the port of the same debugger.
                arguments=self._arguments if role is Role.SHARED else (),
                is_in_background=is_in_background,
            )
            self._roster.members[process] = Member(process=process, role=role)
            load, process.load_failures = self.load_failures.next_load()
            try:
                await process.run(load, self)
                return
            except WorkerError as error:
                name = None if process.was_killed_from_outside else process.loading
                if name is not None and self.load_failures.leave_out(name, error):
                    delay = 0
                    continue
                if not self._started.is_set():
                    raise
                failures += 1
                delay = _restart_delay(failures + 1)
                _log.error("%s Starting another in %d seconds.", error, delay)
            finally:
                del self._roster.members[process]
                self._notify()

    def _retire(self, member: Member) -> None:
        member.role, member.is_leaving = Role.RETIRED, False
        member.process.lower_priority()
        self._spawn(member.process.recall() if member.calls else _end(member), "worker retirement")

    def _note_idle(self, member: Member) -> None:
        if member.role in _TEMPORARY:
            member.idle_since = time.monotonic()
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._retire_idle, member)

    def _retire_idle(self, member: Member) -> None:
        if member.process not in self._roster.members or member.role not in _TEMPORARY or member.calls:
            return
        if member.role is Role.SPARE and self.suspicion.is_cautious:
            self._note_idle(member)
        elif time.monotonic() - member.idle_since >= _IDLE_SECONDS:
            self._retire(member)

    def _notify(self) -> None:
        """Wakes the calls that wait for a process."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _end(member: Member) -> None:
    if member.kill_reason:
        member.process.kill(member.kill_reason)
    else:
        await member.process.shutdown()


def _restart_delay(ends_in_a_row: int) -> int:
    return _RESTART_DELAYS_SECONDS[min(ends_in_a_row, len(_RESTART_DELAYS_SECONDS)) - 1]
