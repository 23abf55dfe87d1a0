"""Decides in which folders above another one a file may be used that the user has not named.

What another user puts into a shared folder, such as /tmp, must not run with the rights of the one who works below it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path


def with_trusted_parents(folder: Path) -> Iterator[Path]:
    """The folder itself, then those above it, up to the first one to which other users can write.

    A folder in which all users keep files of their own, such as /tmp, does not count even if it is the first.

    On Windows, where every user may create folders in the root of a drive, only those in the user's profile count.
    """
    folder = folder.resolve()
    if _is_shared(folder):
        return
    yield folder
    for parent in folder.parents:
        if not is_trusted(parent):
            return
        yield parent


if sys.platform == "win32":

    def _is_shared(folder: Path) -> bool:
        return False

    def is_trusted(folder: Path) -> bool:
        """Whether the folder is in the user's profile."""
        return folder.is_relative_to(Path.home())

else:

    def _is_shared(folder: Path) -> bool:
        try:
            mode = folder.stat().st_mode
        except OSError:
            return False
        return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)

    def is_trusted(folder: Path) -> bool:
        """Whether the folder belongs to the user or root, and no other user can write to it."""
        try:
            found = folder.stat()
        except OSError:
            return False
        writers = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if writers == stat.S_IWGRP and _is_private_group(found.st_gid):
            writers = 0
        return found.st_uid in (0, os.getuid()) and not writers

    def _is_private_group(gid: int) -> bool:
        """Whether a group is the one that many systems create for each user, with the user's name and no one else."""
        import grp
        import pwd

        try:
            group = grp.getgrgid(gid)
            user = pwd.getpwuid(os.getuid())
        except KeyError:
            return False
        return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
