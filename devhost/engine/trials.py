"""Ends work that ends its worker process: such work is tried a bounded number of times, alone after the first.

Crashes are counted in memory, by piece of work. A crash of a worker process is none of the host, so the count is there
for every further delivery; the dequeue counts of messages would not do: they also grow when a host is restarted, and
new messages for an instance begin at one. After a restart of the host the work is tried as often again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from devhost.app.invocation import Invocation, InvocationResult
from devhost.engine.ports import Executor
from devhost.errors import FunctionGivenUp, FunctionTimeout, WorkerCrashed

# Work that has ended its worker process so many times fails instead of coming again.
MAX_CRASHES = 5
# The oldest counts are forgotten: their work may have gone to another host.
_MOST_COUNTED = 10_000


class Trials:
    """An executor that counts the crashes of each piece of work and gives it up in the end."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._crashes: OrderedDict[str, int] = OrderedDict()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """As the executor behind it; raises `FunctionGivenUp` where trying again is of no use."""
        is_suspect = self.has_crashed(invocation.work)
        try:
            return await self._executor.invoke(replace(invocation, is_suspect=is_suspect))
        except FunctionTimeout as error:
            raise FunctionGivenUp(str(error)) from error
        except WorkerCrashed as error:
            if self._count(invocation.work) < MAX_CRASHES:
                raise
            raise FunctionGivenUp(str(error)) from error

    def has_crashed(self, work: str) -> bool:
        """Whether the work has ended a worker process since it was last done."""
        return work in self._crashes

    def done(self, work: str) -> None:
        """Forgets the crashes of work whose result is stored.

        Not earlier: one work item may need several calls, and the first of them may succeed every time.
        """
        self._crashes.pop(work, None)

    def _count(self, work: str) -> int:
        crashes = self._crashes[work] = min(self._crashes.pop(work, 0) + 1, MAX_CRASHES)
        if len(self._crashes) > _MOST_COUNTED:
            self._crashes.popitem(last=False)
        return crashes
