"""The orchestration as its caller sees it: started by one POST, then followed by its status URL to the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from demo import http
from demo.errors import DemoError

FINAL = ("Completed", "Failed", "Terminated", "Canceled")
# Not how long the run may take, but how long nothing at all may happen.
SILENCE_SECONDS = 300

_POLL_SECONDS = 0.2

Status = dict[str, Any]


def start(url: str, request: dict[str, str | int]) -> dict[str, Any]:
    """The management URLs of the new instance, and its `id`."""
    answer = http.post(f"{url}/api/starter_function", request)
    if answer.status != 202:
        raise DemoError(f"starter_function answered {answer.status}: {answer.body}")
    return answer.body


def follow(
    status_url: str,
    *,
    show: Callable[[Status], None],
    check_host: Callable[[], None],
    silence_seconds: float = SILENCE_SECONDS,
) -> Status:
    """The final status; every status on the way goes to `show`.

    Raises:
        DemoError: the instance is gone, or nothing has changed for `silence_seconds`.
        Whatever `check_host` raises, which is asked whenever the status cannot be had.
    """
    last: Status | None = None
    deadline = time.monotonic() + silence_seconds
    while time.monotonic() < deadline:
        status = _status(status_url, check_host)
        if status is not None and status != last:
            last, deadline = status, time.monotonic() + silence_seconds
            show(status)
            if status.get("runtimeStatus") in FINAL:
                return status
        time.sleep(_POLL_SECONDS)
    raise DemoError(f"The orchestration has stood still for {silence_seconds:g} seconds at {last}.")


def _status(status_url: str, check_host: Callable[[], None]) -> Status | None:
    """The present status; None where the host, alive as it is, did not answer this once."""
    try:
        answer = http.get(status_url)
    except http.Unreachable:
        check_host()
        return None
    if "runtimeStatus" not in answer.body:
        raise DemoError(f"The status URL answered {answer.status}: {answer.body}")
    return answer.body
