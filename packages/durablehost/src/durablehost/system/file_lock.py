"""A lock on an open file that the operating system releases when its process ends, whatever ends it.

Child processes do not inherit it: Python opens files so that they are closed when another program is executed.
"""

from __future__ import annotations

import sys
from io import FileIO

if sys.platform == "win32":
    import msvcrt

    # Far behind any content: nobody can read or write a locked byte.
    _LOCKED_BYTE = 2**30

    def try_lock(file: FileIO) -> bool:
        """Locks the file until it is closed; returns False if somebody else has locked it."""
        position = file.tell()
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            file.seek(position)
        return True

else:
    import fcntl

    def try_lock(file: FileIO) -> bool:
        """Locks the file until it is closed; returns False if somebody else has locked it.

        Raises:
            OSError: this file system has no such locks.
        """
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
