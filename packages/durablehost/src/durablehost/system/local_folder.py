"""The folder `.local` below the script root, where durablehost keeps what belongs to one machine and one user.

Git ignores it, and other users cannot read it: the keys and the data of the emulator are in it.
"""

from __future__ import annotations

from pathlib import Path

NAME = ".local"


def make_local_folder(script_root: Path) -> Path:
    folder = script_root / NAME
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")
    return folder
