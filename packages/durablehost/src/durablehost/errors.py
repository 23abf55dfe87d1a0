"""Every error of durablehost, sorted by who has to act on it. This module imports nothing of durablehost.

Absence is `None`, not an error. An error of another process arrives as data.
"""

from __future__ import annotations


class DurableHostError(Exception):
    """Root of all errors that durablehost raises on purpose."""


class ConfigurationError(DurableHostError):
    """The developer of the app has to act: a setting, a file or the environment is not valid.

    Stops start-up with exit code 2. The message is one line that names the file and the key and says what to do.
    """


class RequestError(DurableHostError):
    """The caller of the HTTP API has to act; never logged as an error."""

    def __init__(self, status: int, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.detail = detail

    def __reduce__(self) -> tuple[type[RequestError], tuple[int, str, str | None]]:
        """Keeps all members when the error comes from another process (large_text.py)."""
        return RequestError, (self.status, self.message, self.detail)


class InstanceExists(DurableHostError):
    """An instance with this id exists in a status that must not be replaced."""

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(f"An Orchestration instance with the status {status} already exists.")
        self.instance_id = instance_id
        self.status = status


class UserCodeError(DurableHostError):
    """The author of a function has to act; it becomes history and is never retried by the host.

    `details` is what a parent gets beside the message; None if the message says it all.
    """

    def __init__(self, message: str, *, details: str | None = None) -> None:
        super().__init__(message)
        self.details = details


class NonDeterminismError(UserCodeError):
    """The orchestrator asks for other work than its history has."""


class FunctionGivenUp(UserCodeError):
    """The function ran longer than `functionTimeout`, or ended its worker process every time it was called."""


class UnsupportedFeatureError(UserCodeError):
    """The app asks for a feature of Durable Functions that durablehost does not have; the message names it."""


class StorageError(DurableHostError):
    """A request to the storage failed; nobody has to act if it passes."""


class StorageUnavailable(StorageError):
    """No answer, or a 5xx: back off and try again."""


class StorageUnreachable(StorageUnavailable):
    """No connection. The log tells of it once for all requests, so it says nothing of each."""


class StorageRefused(StorageError):
    """Storage refuses a value that is not valid or too large; trying again is of no use."""


class PayloadTooLarge(StorageRefused):
    """A payload has more bytes than durablehost stores or reads; it is never written, and not read to its end."""


class StaleCheckpoint(StorageError):
    """Another host has advanced this instance since its history was read: drop the work, write nothing."""


class LeaseLost(StorageError):
    """The partition belongs to another host now."""


class PoisonMessage(StorageError):
    """A stored message cannot be read; it is set aside and reported, never retried for ever."""


class UnreadableState(PoisonMessage):
    """The stored state of an instance is damaged: only its owner can act, by purging it."""


class WorkerError(DurableHostError):
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
    """Host and worker process disagree about their frames: a defect of durablehost."""
