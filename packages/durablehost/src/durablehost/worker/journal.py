"""Logs the calls of functions: the Executing and Executed lines, and the log records of user code.

People and scripts look for these lines, so they have the words of `func start`. The attribute `call` of a record of
user code, or of a failure, is the call that it belongs to.
"""

from __future__ import annotations

import logging
import re
import time

from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.errors import WorkerError
from durablehost.worker.protocol import Log

CONSOLE = "Host.Function.Console"
WORKER = "Host.Worker"

_SYSTEM_LOGGERS = ("azure_functions_worker", "azure.functions")
_SOURCE = "System.Private.CoreLib: "
_BEGIN = r"Traceback \(most recent call last\):\n"
_CALLS_OF_SDK = re.compile(
    rf'(?<=^{_BEGIN})(?:  File ".*[\\/]azure[\\/]durable_functions[\\/].*\n(?:    .*\n)*)+', re.MULTILINE
)
_RAISED_BY_SDK = re.compile(
    rf"\n\nThe above exception was the direct cause of the following exception:\n\n{_BEGIN}(?!  File ).*", re.DOTALL
)
_NO_FRAMES = re.compile(rf"^{_BEGIN}(?!  File )", re.MULTILINE)
# The state of a failed orchestrator, which only the host reads: it follows the message, on one line.
_ORCHESTRATOR_STATE = re.compile(r"\n\n\$OutOfProcData\$:.*")


class CallJournal:
    """Logs one call; its construction logs the beginning."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._logger = logging.getLogger(f"Function.{invocation.function_name}")
        self._started = time.monotonic()
        self._logger.info(
            "Executing 'Functions.%s' (Reason='%s', Id=%s)",
            invocation.function_name,
            invocation.reason,
            invocation.invocation_id,
        )

    def ended(self, result: InvocationResult) -> None:
        if result.failure is None:
            self._logger.info("%s", self._line("Succeeded"))
        else:
            self._failed(describe_failure(result.failure))

    def broken(self, error: WorkerError) -> None:
        """Logs a call that has no result because its process failed."""
        self._failed(str(error))

    def timed_out(self, timeout: str) -> None:
        self._logger.error(
            "Timeout value of %s exceeded by function 'Functions.%s' (Id: '%s'). Initiating cancellation.",
            timeout,
            self._invocation.function_name,
            self._invocation.invocation_id,
            extra={"call": self._invocation},
        )

    def _failed(self, reason: str) -> None:
        what = f"Exception while executing function: Functions.{self._invocation.function_name}."
        # One record, so that concurrent calls do not mix their lines.
        words = (self._line("Failed"), _SOURCE, what, _SOURCE, reason)
        self._logger.error("%s\n%s%s %s%s", *words, extra={"call": self._invocation})

    def _line(self, outcome: str) -> str:
        duration = int((time.monotonic() - self._started) * 1000)
        call = self._invocation
        return f"Executed 'Functions.{call.function_name}' ({outcome}, Id={call.invocation_id}, Duration={duration}ms)"


def describe_failure(failure: Failure) -> str:
    """The failure in the form of `func start`; without a stack if that has no frames."""
    text = f"Result: Failure\nException: {failure.type_name}: {failure.message}"
    if failure.has_frames:
        text += f"\nStack: {_without_sdk(failure.stack)}"
    return _ORCHESTRATOR_STATE.sub("", text).rstrip()


def _without_sdk(stack: str) -> str:
    """The exception as the orchestrator raised it, once: the SDK calls it, and raises one of its own from it."""
    return _NO_FRAMES.sub("", _RAISED_BY_SDK.sub("", _CALLS_OF_SDK.sub("", stack)))


def log_record(record: Log, call: Invocation | None) -> None:
    """Passes a record of a worker process on to this process's logging, with the running call that it belongs to.

    Upstream drops user records of no call (import time, foreign threads); here they appear as console output.
    """
    if record.logger.startswith(_SYSTEM_LOGGERS):
        name, call = WORKER, None
    elif record.function_name is None:
        name = CONSOLE
    else:
        name = f"Function.{record.function_name}.User"
    logging.getLogger(name).log(record.level, "%s", record.message, extra={"call": call})


def format_time_span(seconds: float) -> str:
    """A duration as .NET's TimeSpan writes it."""
    ticks = round(seconds * 10_000_000)
    minutes, ticks = divmod(ticks, 600_000_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    whole, fraction = divmod(ticks, 10_000_000)
    text = f"{hours:02}:{minutes:02}:{whole:02}"
    return (f"{days}." if days else "") + text + (f".{fraction:07}" if fraction else "")
