"""The runtime status of an orchestration instance, spelled as the wire spells it.

Mirrors DurableTask.Core.OrchestrationStatus: names in tables and in the HTTP API, integers in messages and histories.
"""

from __future__ import annotations

from enum import Enum


class RuntimeStatus(Enum):
    """The status of an instance; the value is the text used in tables and in the HTTP API."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    FAILED = "Failed"
    CANCELED = "Canceled"
    TERMINATED = "Terminated"
    PENDING = "Pending"
    SUSPENDED = "Suspended"

    @property
    def number(self) -> int:
        """The integer that stands for this status in messages and histories."""
        return _NUMBERS[self]

    @property
    def is_finished(self) -> bool:
        """True if the execution has ended."""
        return self in FINISHED

    @staticmethod
    def of_number(number: int) -> RuntimeStatus:
        return _BY_NUMBER[number]


_NUMBERS = {status: number for number, status in enumerate(RuntimeStatus)}
_BY_NUMBER = {number: status for status, number in _NUMBERS.items()}
FINISHED = frozenset({RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.CANCELED, RuntimeStatus.TERMINATED})
