"""Identifies the running kernel: process ids and file locks can only be compared on the same one."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def kernel_id() -> str | None:
    """An id that only processes on this kernel have, containers included; None if it is not known.

    On Linux and macOS it changes with every boot. A folder can be shared with a virtual machine or another computer,
    whose locks are not seen here and whose process ids mean nothing here.
    """
    with suppress(OSError, ValueError):
        return _read() or None
    return None


if sys.platform == "win32":

    def _read() -> str:
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])

elif sys.platform == "darwin":

    def _read() -> str:
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        ).stdout.strip()

else:

    def _read() -> str:
        return _BOOT_ID.read_text("ascii").strip()
