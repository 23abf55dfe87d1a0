"""Ends work that ends its worker process: it is called a bounded number of times, then fails.

Work that only ran in a process which something else may have ended is called again at once, and not counted: apart from
other work, so that the cause shows itself. Crashes are counted in memory, by piece of work. A crash of a worker process
leaves the host alone, so the count is there for every further delivery; the dequeue counts of messages would not do:
they also grow when a host is restarted, and each new message for an instance begins at one. After a restart of the host
the work is tried as often again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from devhost.app.invocation import PROVEN, Invocation, InvocationResult
from devhost.engine.ports import Executor, ReceivedMessage
from devhost.errors import FunctionGivenUp, FunctionTimeout, WorkerCrashed

# Work that has ended its worker process so many times fails instead of coming again.
MAX_CRASHES = 5
# The oldest counts are forgotten: their work may have gone to another host.
_MOST_COUNTED = 10_000


class Trials:
    """An executor for calls that can be repeated: counts the crashes of each piece of work, and gives it up at last."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._crashes: OrderedDict[str, int] = OrderedDict()
        # The messages of the present attempt at each work, and those of the last one that ended a process.
        self._present: dict[str, frozenset[str]] = {}
        self._lost: dict[str, frozenset[str]] = {}

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """As the executor behind it. Raises `FunctionGivenUp` where trying again is of no use.

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
        """Whether the work has ended a worker process since it was last done."""
        return work in self._crashes

    def begin(self, work: str, messages: Iterable[ReceivedMessage]) -> None:
        """Tells which messages the calls to come are for. At any time there is one attempt at a piece of work."""
        self._present[work] = frozenset(received.message_id for received in messages)

    def done(self, work: str) -> None:
        """Forgets the crashes of work whose result is stored, if it was for a message that had ended a process.

        Not earlier: one work item may need several calls, and the first of them may succeed every time. Nor for other
        messages: an entity that many call would never come to the end of its trials.
        """
        if self._lost.get(work, frozenset()) & self._present.pop(work, frozenset()):
            self._forget(work)

    def _forget(self, work: str) -> None:
        self._crashes.pop(work, None)
        self._lost.pop(work, None)

    def _count(self, work: str) -> int:
        self._lost[work] = self._present.get(work, frozenset())
        crashes = self._crashes[work] = min(self._crashes.pop(work, 0) + 1, MAX_CRASHES)
        if len(self._crashes) > _MOST_COUNTED:
            self._forget(next(iter(self._crashes)))
        return crashes
