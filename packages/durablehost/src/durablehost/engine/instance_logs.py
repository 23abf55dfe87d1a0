"""Keeps the latest log lines of each instance, as user code has logged them, for the console.

In memory, and bounded by the size of the lines: an instance that logs too much loses its oldest lines, and so does the
instance that has logged nothing for the longest time if all together are too large.
"""

from __future__ import annotations

import logging
import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from durablehost.app.invocation import Invocation
from durablehost.clock import Clock

# In bytes of memory.
MOST = 4 * 1024 * 1024
MOST_OF_INSTANCE = 1024 * 1024
# In characters: the rest of a longer line is not kept.
LONGEST_LINE = 8_000

# What a line takes besides its text.
_OVERHEAD = 300
# What an instance takes besides its lines.
_INSTANCE_OVERHEAD = 1_000


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One log record of a call for an instance.

    `number` grows with each line of the host. `task_id` is that of an activity. `length` is that of the whole text, of
    which `text` is the beginning.
    """

    number: int
    at: datetime
    level: int
    function: str
    task_id: int | None
    text: str
    length: int

    @property
    def size(self) -> int:
        return sys.getsizeof(self.text) + _OVERHEAD


@dataclass(frozen=True, kw_only=True)
class KeptLines:
    """The lines of an instance in their order; `logged` counts those that are gone too."""

    lines: Sequence[LogLine] = ()
    logged: int = 0


class _Ring:
    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque()
        self.size = 0
        self.dropped = 0

    def drop_oldest(self) -> int:
        """Returns the size of the dropped line."""
        size = self.lines.popleft().size
        self.size -= size
        self.dropped += 1
        return size


class InstanceLogs:
    """The lines by instance id. `most` and `most_of_instance` limit their size in bytes; both have room for a line."""

    def __init__(self, clock: Clock, *, most: int = MOST, most_of_instance: int = MOST_OF_INSTANCE) -> None:
        self._clock = clock
        self._most = most
        self._most_of_instance = most_of_instance
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._size = 0
        self._count = 0

    def add(self, call: Invocation, level: int, text: str) -> None:
        """Keeps a line of a call, if the call is for an instance."""
        if not call.instance_id:
            return
        self._count += 1
        line = LogLine(
            number=self._count,
            at=self._clock.now(),
            level=level,
            function=sys.intern(call.function_name),
            task_id=call.task_id,
            text=text[:LONGEST_LINE],
            length=len(text),
        )
        ring = self._rings.get(call.instance_id) or self._open(call.instance_id)
        self._rings.move_to_end(call.instance_id)
        ring.lines.append(line)
        ring.size += line.size
        self._size += line.size
        while ring.size > self._most_of_instance:
            self._size -= ring.drop_oldest()
        while self._size > self._most:
            self._drop_oldest()

    def of(self, instance_id: str, *, after: int = 0) -> KeptLines:
        """The lines of an instance with larger numbers than `after`."""
        ring = self._rings.get(instance_id)
        if ring is None:
            return KeptLines()
        lines = [line for line in ring.lines if line.number > after]
        return KeptLines(lines=lines, logged=ring.dropped + len(ring.lines))

    def forget(self, instance_id: str) -> None:
        """Removes the lines of an instance, such as one that is purged."""
        if ring := self._rings.pop(instance_id, None):
            self._size -= ring.size + _INSTANCE_OVERHEAD

    def _open(self, instance_id: str) -> _Ring:
        self._size += _INSTANCE_OVERHEAD
        ring = self._rings[instance_id] = _Ring()
        return ring

    def _drop_oldest(self) -> None:
        instance_id, ring = next(iter(self._rings.items()))
        self._size -= ring.drop_oldest()
        if not ring.lines:
            del self._rings[instance_id]
            self._size -= _INSTANCE_OVERHEAD


class InstanceLogHandler(logging.Handler):
    """Keeps the log records that belong to a call: those with the attribute `call`."""

    def __init__(self, logs: InstanceLogs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        call = getattr(record, "call", None)
        if isinstance(call, Invocation):
            self._logs.add(call, record.levelno, record.getMessage())
