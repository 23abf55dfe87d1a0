"""The folder `.local` of one machine and one user."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from durablehost.system.local_folder import make_local_folder


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
def test_only_the_owner_can_read_the_folder(tmp_path: Path) -> None:
    assert stat.S_IMODE(make_local_folder(tmp_path).stat().st_mode) == 0o700


def test_git_ignores_the_folder_and_existing_files_stay(tmp_path: Path) -> None:
    folder = make_local_folder(tmp_path)
    assert (folder / ".gitignore").read_text("utf-8") == "*\n"
    (folder / ".gitignore").write_text("mine\n", "utf-8")
    assert make_local_folder(tmp_path) == folder
    assert (folder / ".gitignore").read_text("utf-8") == "mine\n"
