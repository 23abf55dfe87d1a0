"""The functions that worker processes cannot import, and why.

A function whose import has ended a process is left out of new processes for a while, so that the others work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from durablehost.app.invocation import Failure
from durablehost.errors import WorkerError
from durablehost.worker import journal
from durablehost.worker.protocol import Load

_LEFT_OUT_SECONDS = 60.0

_log = logging.getLogger(journal.WORKER)


class LoadFailures:
    """`texts` are the failures of the process that was ready last, by function."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left_out: dict[str, tuple[Failure, float]] = {}
        self.texts: Mapping[str, str] = {}

    def next_load(self) -> tuple[Load, Mapping[str, Failure]]:
        """What a new process has to import, and why it has to leave out the other functions."""
        now = time.monotonic()
        self._left_out = {name: each for name, each in self._left_out.items() if now - each[1] < _LEFT_OUT_SECONDS}
        functions = tuple(each for each in self._load.functions if each.name not in self._left_out)
        return replace(self._load, functions=functions), {name: each[0] for name, each in self._left_out.items()}

    def leave_out(self, name: str, error: WorkerError) -> bool:
        """Leaves out a function whose import has ended a process; False if no function would be left."""
        if len(self._left_out) + 1 >= len(self._load.functions):
            self._left_out.clear()
            return False
        message = f"The import of the function ended the worker process. {error}"
        failure = Failure(type_name=type(error).__name__, message=message, stack=message)
        self._left_out[name] = failure, time.monotonic()
        return True

    def note(self, failures: Mapping[str, Failure]) -> None:
        """Logs the failures of a process that is ready, except those that the one before it had too."""
        known, self.texts = self.texts, {name: f"{f.type_name}: {f.message}" for name, f in failures.items()}
        scripts = {each.name: each.script_file for each in self._load.functions}
        for name, failure in failures.items():
            if known.get(name) != self.texts[name]:
                what = f"Worker failed to load function: '{name}' with functionId: '{name}'."
                # Without a line of code that is wrong, one line says it all.
                why = (
                    journal.describe_failure(failure) if failure.has_frames else f"{scripts[name]}: {self.texts[name]}"
                )
                _log.error("%s %s", what, why)
