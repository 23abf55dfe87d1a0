"""The folder of one machine and one user."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from devhost.local_folder import make_local_folder


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
def test_only_its_owner_can_look_into_it(tmp_path: Path) -> None:
    assert stat.S_IMODE(make_local_folder(tmp_path).stat().st_mode) == 0o700


def test_git_does_not_see_it_and_what_is_there_stays(tmp_path: Path) -> None:
    folder = make_local_folder(tmp_path)
    assert (folder / ".gitignore").read_text("utf-8") == "*\n"
    (folder / ".gitignore").write_text("mine\n", "utf-8")
    assert make_local_folder(tmp_path) == folder
    assert (folder / ".gitignore").read_text("utf-8") == "mine\n"
