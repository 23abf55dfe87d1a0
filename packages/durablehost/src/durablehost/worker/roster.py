"""The worker processes of a pool, each with its role and what the pool has to know of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from durablehost.worker.process import WorkerProcess


class Role(Enum):
    """What a process is for."""

    SHARED = "shared"
    """Every call; after a crash, for a while, only those that nobody repeats, such as HTTP."""
    REPEATABLE = "repeatable"
    """After a crash, for a while: the calls that are repeated if they are lost."""
    SPARE = "spare"
    """After a crash, for a while: replaces the next process that ends."""
    WARD = "ward"
    """Calls of functions that have ended or blocked a process lately."""
    QUARANTINE = "quarantine"
    """Calls that were in a process when it ended, each alone at first."""
    RETIRED = "retired"
    """Gets no new calls and ends with its last one."""


@dataclass(eq=False, kw_only=True)
class Member:
    """A process in its role, with the number of calls in it; times are monotonic.

    `is_leaving`: it is retired as soon as another process is ready in its place. `alone_until`: before, no other call
    joins the one in it. `kill_reason`: it is killed for one of its calls, once the others have ended.
    """

    process: WorkerProcess
    role: Role
    calls: int = 0
    is_leaving: bool = False
    alone_until: float = 0.0
    idle_since: float = 0.0
    kill_reason: str = ""


class Roster:
    """`members` are all processes that have not ended; `starting` counts those that are not ready yet, by role."""

    def __init__(self, process_count: int) -> None:
        self.process_count = process_count
        self.members: dict[WorkerProcess, Member] = {}
        self.starting: Counter[Role] = Counter()

    def ready(self, role: Role) -> list[Member]:
        """The processes that new calls of this role may use; leaving ones only while there are no others."""
        ready = [each for each in self.members.values() if each.role is role and each.process.is_ready]
        return [each for each in ready if not each.is_leaving] or ready

    def missing(self, role: Role) -> int:
        """How many processes of this role are neither ready nor starting; those that are leaving do not count."""
        wanted = self.process_count if role is Role.SHARED else 1
        return wanted - sum(not each.is_leaving for each in self.ready(role)) - self.starting[role]
