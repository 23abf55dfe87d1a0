"""The orchestration as its caller sees it: started by one POST, then followed by its status URL to the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from demo import http
from demo.errors import DemoError

FINAL = ("Completed", "Failed", "Terminated", "Canceled")
# Limits the time without any change, not the time of the run. After up to twice this time the run is given up.
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
    """The final status; every status on the way goes to `show`, also one that is the same as before.

    Raises:
        DemoError: the instance is gone, or neither it nor a group of its chunks has changed for `silence_seconds`.
        Whatever `check_host` raises, which is called when the status cannot be read.
    """
    last: Status | None = None
    all_last = ""
    deadline = time.monotonic() + silence_seconds
    while True:
        if time.monotonic() >= deadline:
            # The status shows whole groups only, and one may take long on a busy machine.
            all_now = _all_instances(status_url)
            if all_now == all_last:
                break
            all_last, deadline = all_now, time.monotonic() + silence_seconds
        status = _status(status_url, check_host)
        if status is not None:
            if status != last:
                last, deadline = status, time.monotonic() + silence_seconds
            show(status)
            if status.get("runtimeStatus") in FINAL:
                return status
        time.sleep(_POLL_SECONDS)
    raise DemoError(f"The status of the orchestration has not changed for {silence_seconds:g} seconds: {last}")


def _all_instances(status_url: str) -> str:
    """The listing of all instances, which are those of this run."""
    path, _, query = status_url.partition("?")
    try:
        return str(http.get(f"{path.rpartition('/')[0]}?{query}&showInput=false&top=1000").body)
    except http.Unreachable:
        return ""


def _status(status_url: str, check_host: Callable[[], None]) -> Status | None:
    """The present status; None if the host runs but did not answer."""
    try:
        answer = http.get(status_url)
    except http.Unreachable:
        check_host()
        return None
    if "runtimeStatus" not in answer.body:
        raise DemoError(f"The status URL answered {answer.status}: {answer.body}")
    return answer.body
