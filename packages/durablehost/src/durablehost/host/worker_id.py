"""The name under which a host owns partitions: `{machine}-{space}-{began}-{pid}`. It shows whether the host has died.

The Functions host takes the machine's name alone; two hosts on one machine would then own every partition together.
Containers can share a machine's name and number their processes alike, so `space` says where the process id is valid:
it is made of the running kernel and the process namespaces. `began` distinguishes a process from an earlier one with
the same id.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from durablehost.system.kernel import kernel_id

_PROCESSES = Path("/proc")
# Positions among the words of /proc/{pid}/stat that follow the name of the program.
_STATE, _THREAD_COUNT, _STARTED_AT = 0, 17, 19
_DEAD_STATES = frozenset("ZXx")


def own_worker_id() -> str:
    return f"{_machine()}-{_space()}-{_own_beginning()}-{os.getpid()}"


def is_abandoned(owner: str) -> bool:
    """Whether this owner was a process of this machine that has ended. False if that cannot be known."""
    match = re.fullmatch(rf"{re.escape(_machine())}-{_space()}-(\w+)-(\d{{1,9}})", owner)
    if match is None:
        return False
    pid = int(match[2])
    return not is_process_alive(pid) or _beginning(pid) not in (None, match[1])


def _machine() -> str:
    return socket.gethostname().partition(".")[0]


@cache
def _space() -> str:
    """Names the set of processes that this one can look up by id. Random, and so unique, if it is not known."""
    kernel, namespace = kernel_id(), _namespace()
    if kernel is None or namespace is None:
        return secrets.token_hex(4)
    return hashlib.sha256(f"{kernel} {namespace}".encode()).hexdigest()[:8]


@cache
def _own_beginning() -> str:
    return _beginning(os.getpid()) or secrets.token_hex(4)


if sys.platform == "win32":

    def _namespace() -> str | None:
        return ""

    def _beginning(pid: int) -> str | None:
        return None

    def is_process_alive(pid: int) -> bool:
        import ctypes

        synchronize, still_running = 0x00100000, 0x00000102
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        try:
            return bool(kernel.WaitForSingleObject(handle, 0) == still_running)
        finally:
            kernel.CloseHandle(handle)

else:

    def _namespace() -> str | None:
        """The namespaces of process ids and start times; None if `/proc` shows those of another."""
        if sys.platform == "darwin":
            return ""
        own = _PROCESSES / "self"
        with suppress(OSError):
            if str(own.readlink()) == str(os.getpid()):
                # Old kernels have no namespaces of time.
                kinds = [own / "ns" / kind for kind in ("pid", "time")]
                return " ".join(str(each.readlink()) for each in kinds if each.is_symlink())
        return None

    def _beginning(pid: int) -> str | None:
        """When a process began, in ticks since the boot; None if that is not known."""
        status = _status(pid)
        return status[_STARTED_AT] if status else None

    def is_process_alive(pid: int) -> bool:
        """Whether a process runs. One that has ended does not, even if its parent has not asked for its exit code."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        status = _status(pid)
        # While threads of an ended main thread are left, the process still has its files and locks.
        return status is None or status[_STATE] not in _DEAD_STATES or int(status[_THREAD_COUNT]) > 1

    def _status(pid: int) -> list[str] | None:
        """The words of /proc/{pid}/stat from the state on; None if there is no such file."""
        with suppress(OSError):
            # The name of the program is in parentheses and may contain some.
            words = (_PROCESSES / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            return words if len(words) > _STARTED_AT else None
        return None
