"""In which folders above the current one durablehost uses what it finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has other rules", allow_module_level=True)

import grp
import pwd

from durablehost.system.trusted_folders import with_trusted_parents


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "app"
    folder.mkdir(parents=True)
    return folder.resolve()


def test_the_folder_itself_comes_first_then_those_above_it(app: Path) -> None:
    found = list(with_trusted_parents(app))
    assert found[:2] == [app, app.parent]


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
def test_a_folder_above_that_all_users_can_write_does_not_count(app: Path, mode: int) -> None:
    app.parent.chmod(mode)
    assert list(with_trusted_parents(app)) == [app]


def test_a_folder_of_all_users_does_not_count_even_if_it_is_the_first(app: Path) -> None:
    app.chmod(0o1777)
    assert list(with_trusted_parents(app)) == []


def test_a_folder_behind_a_link_counts_by_where_it_is(app: Path, tmp_path: Path) -> None:
    app.parent.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(app)
    assert list(with_trusted_parents(link)) == [app]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_above_that_belongs_to_another_user_does_not_count(app: Path) -> None:
    os.chown(app.parent, 54321, -1)
    assert list(with_trusted_parents(app)) == [app]


@pytest.mark.parametrize(
    ("name", "members", "counts"),
    [("me", [], True), ("me", ["me"], True), ("me", ["other"], False), ("staff", [], False)],
)
def test_a_folder_that_a_group_can_write_counts_if_the_group_is_that_of_the_user_alone(
    app: Path, monkeypatch: pytest.MonkeyPatch, name: str, members: list[str], counts: bool
) -> None:
    app.parent.chmod(0o775)
    group = grp.struct_group((name, "x", 1, members))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("me", "x", 1, 1, "", "/", "/bin/sh")))
    assert (app.parent in with_trusted_parents(app)) == counts
