"""Fails work that crashes its worker process again and again: it is tried a bounded number of times.

Work that ran beside other calls when its process crashed is called again at once, apart from other work, to find the
cause; this is not counted. Crashes are counted in memory, by piece of work: the host survives them, so the counts do,
too. The dequeue counts of messages would not do: they also grow when a host is restarted, and begin at one with each
new message for an instance. After a restart of the host the work is tried as often again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from durablehost.app.invocation import PROVEN, Invocation, InvocationResult
from durablehost.engine.ports import Executor, ReceivedMessage
from durablehost.errors import FunctionGivenUp, FunctionTimeout, WorkerCrashed

# Work that has crashed its worker process this often fails instead of being delivered again.
MAX_CRASHES = 5
# The oldest counts are forgotten: their work may have gone to another host.
_MOST_COUNTED = 10_000


class Trials:
    """An executor for repeatable calls: counts the crashes of each piece of work, and gives it up in the end."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._crashes: OrderedDict[str, int] = OrderedDict()
        # The messages of the current attempt at each work, and those of the last one that crashed a process.
        self._current: dict[str, frozenset[str]] = {}
        self._lost: dict[str, frozenset[str]] = {}

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Calls the executor. Raises `FunctionGivenUp` if another attempt is pointless.

        `WorkerCrashed` is raised only if the call was the cause.
        """
        crashes = PROVEN * self._crashes.get(invocation.work, 0)
        while True:
            try:
                return await self._executor.invoke(replace(invocation, crashes=crashes))
            except FunctionTimeout as error:
                raise FunctionGivenUp(str(error)) from error
            except WorkerCrashed as error:
                if error.suspects == 1:
                    if self._count(invocation.work) < MAX_CRASHES:
                        raise
                    raise FunctionGivenUp(str(error)) from error
                crashes += bool(error.suspects)

    def has_crashed(self, work: str) -> bool:
        """True if the work has crashed a worker process since it last succeeded."""
        return work in self._crashes

    def begin(self, work: str, messages: Iterable[ReceivedMessage]) -> None:
        """Records the messages that the next calls are for. There is one attempt at a piece of work at a time."""
        self._current[work] = frozenset(received.message_id for received in messages)

    def done(self, work: str) -> None:
        """Forgets the crashes of work whose result is stored, if it was for a message that had crashed a process.

        Not earlier: one work item may need several calls, and the first of them may succeed every time. Nor for other
        messages: a busy entity would never reach the end of its trials.
        """
        if self._lost.get(work, frozenset()) & self._current.pop(work, frozenset()):
            self._forget(work)

    def _forget(self, work: str) -> None:
        self._crashes.pop(work, None)
        self._lost.pop(work, None)

    def _count(self, work: str) -> int:
        self._lost[work] = self._current.get(work, frozenset())
        crashes = self._crashes[work] = min(self._crashes.pop(work, 0) + 1, MAX_CRASHES)
        if len(self._crashes) > _MOST_COUNTED:
            self._forget(next(iter(self._crashes)))
        return crashes
