"""Who owns a partition: `{machine}-{process}`, a name that tells whether the host it stands for is gone.

The Functions host takes the machine's name alone; two hosts on one machine would then own every partition together.
"""

from __future__ import annotations

import os
import re
import socket
import sys


def own_worker_id() -> str:
    return f"{_machine()}-{os.getpid()}"


def is_abandoned(owner: str) -> bool:
    """Whether this owner was a process of this machine that has ended. False where that is not known."""
    match = re.fullmatch(rf"{re.escape(_machine())}-(\d{{1,9}})", owner)
    return match is not None and not is_process_alive(int(match.group(1)))


def _machine() -> str:
    return socket.gethostname().partition(".")[0]


if sys.platform == "win32":

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

    def is_process_alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True
