"""The process that runs an Azurite for several others, and ends it when none of them is left, whatever has ended them.

Standard library only. Its task is the JSON of its only argument, the account comes in its environment, and its first
line on stdout is its answer. The end of its stdin wakes it: the process that started it has ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from durablehost.emulator.azurite import ACCOUNTS_VARIABLE, Azurite, Ports, PortTaken, launch
from durablehost.emulator.run_folder import RunFolder, Running, write_running
from durablehost.errors import ConfigurationError

_POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the keeper runs. `note` is a file with the path of the folder, removed at the end; None: there is none."""

    local_folder: Path
    command: Sequence[str]
    running: Running
    note: Path | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Task:
        document = json.loads(text)
        running = document["running"]
        return cls(
            local_folder=Path(document["local_folder"]),
            command=document["command"],
            running=Running(**{**running, "ports": Ports(**running["ports"])}),
            note=Path(document["note"]) if document["note"] else None,
        )


def main() -> int:
    task = Task.from_json(sys.argv[1])
    if sys.platform != "win32":
        signal.signal(signal.SIGTERM, _end)
    folder = RunFolder(task.local_folder)
    try:
        lock = folder.lock_running()
        azurite = launch(
            list(task.command),
            location=folder.data,
            ports=task.running.ports,
            accounts=os.environ.get(ACCOUNTS_VARIABLE),
            inherited=[lock.fileno()],
            ends_with_parent=True,
        )
    except (ConfigurationError, OSError) as error:
        _answer({"error": str(error), "is_port_taken": isinstance(error, PortTaken)})
        return 1
    with ExitStack() as at_end:
        at_end.enter_context(lock)
        at_end.callback(_remove_note, task)
        at_end.enter_context(azurite)
        write_running(lock, task.running)
        _write_note(task)
        _answer({})
        starter_ended = threading.Event()
        threading.Thread(target=_wait_for_end_of_stdin, args=(starter_ended,), daemon=True).start()
        wait_while_used(azurite, folder, starter_ended, at_end)
    return 0


def wait_while_used(azurite: Azurite, folder: RunFolder, starter_ended: threading.Event, at_end: ExitStack) -> None:
    """Returns when Azurite has ended, or nobody uses it; then `at_end` is done before anybody can start another."""
    while azurite.is_running() and folder.exists():
        starter_ended.wait(_POLL_SECONDS)
        starter_ended.clear()
        # Whoever has locked the folder for so long may still join.
        with suppress(ConfigurationError), folder.exclusively():
            if not folder.has_users():
                at_end.close()
                return


def _write_note(task: Task) -> None:
    # A path may have characters that UTF-8 lacks.
    with suppress(OSError, ValueError):
        if task.note is not None:
            task.note.write_text(str(task.local_folder), "utf-8")


def _remove_note(task: Task) -> None:
    with suppress(OSError):
        if task.note is not None:
            task.note.unlink()


def _wait_for_end_of_stdin(ended: threading.Event) -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    ended.set()


def _answer(document: dict[str, Any]) -> None:
    """Writes the only line of stdout, and closes it. Its reader may have been killed."""
    with suppress(OSError):
        os.write(1, json.dumps(document).encode() + b"\n")
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit
