"""Every error of devhost, sorted by who has to act on it. This module imports nothing of devhost.

Absence is `None`, not an error. An error that crosses a process is data before it is an exception.
"""

from __future__ import annotations


class DevHostError(Exception):
    """Root of all errors that devhost raises on purpose."""


class ConfigurationError(DevHostError):
    """The developer of the app has to act: a setting, a file or the machine is not as it must be.

    Stops start-up with exit code 2. The message is one line that names the file and the key and says what to do.
    """


class RequestError(DevHostError):
    """The caller of the HTTP API has to act; never logged as an error."""

    def __init__(self, status: int, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.detail = detail

    def __reduce__(self) -> tuple[type[RequestError], tuple[int, str, str | None]]:
        """An error that is raised in a process of its own (large_text.py) arrives whole."""
        return RequestError, (self.status, self.message, self.detail)


class InstanceExists(DevHostError):
    """An instance with this id exists in a status that must not be replaced."""

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(f"An Orchestration instance with the status {status} already exists.")
        self.instance_id = instance_id
        self.status = status


class UserCodeError(DevHostError):
    """The author of a function has to act; it becomes history and is never retried by the host."""


class NonDeterminismError(UserCodeError):
    """The orchestrator asks for something else than its history says it asked for before."""


class FunctionGivenUp(UserCodeError):
    """The function ran longer than `functionTimeout`, or ended its worker process every time it was called."""


class UnsupportedFeatureError(UserCodeError):
    """The app asks for a feature of Durable Functions that devhost does not have; the message names it."""


class StorageError(DevHostError):
    """The storage did not do what was asked; nobody has to act if it passes."""


class StorageUnavailable(StorageError):
    """No answer, or a 5xx: back off and try again."""


class StorageRefused(StorageError):
    """What was to be stored is not valid or too large: storage refuses it however often it is asked."""


class PayloadTooLarge(StorageRefused):
    """A payload has more bytes than devhost stores or reads; it is never written, and not read to its end."""


class StaleCheckpoint(StorageError):
    """Another host has advanced this instance since its history was read: drop the work, write nothing."""


class LeaseLost(StorageError):
    """The partition belongs to another host now."""


class PoisonMessage(StorageError):
    """A stored message cannot be understood; it is set aside and reported, never retried for ever."""


class UnreadableState(PoisonMessage):
    """What is stored of an instance is damaged: nobody but its owner can act, by purging it."""


class WorkerError(DevHostError):
    """The process that runs user code failed, not the user code itself; nobody has to act if it passes."""


class WorkerCrashed(WorkerError):
    """The worker process ended while the function ran.

    `suspects`: how many calls may have been the cause, this one among them. 1: only this one; 0: something else was.
    """

    def __init__(self, message: str, *, suspects: int = 1) -> None:
        super().__init__(message)
        self.suspects = suspects


class WorkerUnresponsive(WorkerError):
    """The worker process did not start in time, or stopped answering."""


class FunctionTimeout(WorkerError):
    """The function ran longer than `functionTimeout`; its worker process was killed."""


class FrameTooLarge(WorkerError):
    """A message between host and worker process has more bytes than a frame may have; nothing of it was sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes are more than the {limit} that may pass between the host and a worker process")


class ProtocolError(WorkerError):
    """Host and worker process disagree about their frames: a defect of devhost."""
