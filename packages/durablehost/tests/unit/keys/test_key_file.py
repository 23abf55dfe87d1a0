"""The key file: its content, its permissions, and that keys are stored nowhere else."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import pytest

from durablehost.errors import ConfigurationError
from durablehost.keys import private_file
from durablehost.keys.key_file import key_file, load_keys
from durablehost.keys.ring import KeyRing

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")


def load(root: Path, *functions: str) -> KeyRing:
    """Fails on any warning: the file is valid."""
    warnings: list[str] = []
    keys = load_keys(root, functions, warnings)
    assert warnings == []
    return keys


def refusal(root: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_keys(root, [], [])
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
    message = str(caught.value)
    assert "\n" not in message
    assert str(key_file(root)) in message
    return message


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_the_first_start_makes_every_key(tmp_path: Path) -> None:
    keys = load(tmp_path, "Hello", "bye")

    everyone = [keys.master, keys.host["default"], keys.durable, *(each["default"] for each in keys.functions.values())]
    assert set(keys.functions) == {"hello", "bye"}
    assert len(set(everyone)) == 5
    assert all(len(key) == 56 and len(base64.urlsafe_b64decode(key)) == 40 for key in everyone)


def test_the_next_start_has_the_same_keys(tmp_path: Path) -> None:
    first = load(tmp_path, "Hello")
    before = key_file(tmp_path).stat()

    assert load(tmp_path, "HELLO") == first
    assert key_file(tmp_path).stat().st_mtime_ns == before.st_mtime_ns


def test_a_new_function_gets_a_key_and_those_of_others_stay(tmp_path: Path) -> None:
    first = load(tmp_path, "Hello")
    second = load(tmp_path, "New")

    assert second.functions["hello"] == first.functions["hello"]
    assert set(second.functions) == {"hello", "new"}
    assert second.master == first.master
    assert load(tmp_path, "New") == second


def test_keys_written_by_hand_are_kept(tmp_path: Path) -> None:
    load(tmp_path)
    key_file(tmp_path).write_text(
        json.dumps({"master": "mine", "host": {"ci": "for-ci"}, "functions": {"Hello": {"a": "for-a"}}})
    )

    keys = load(tmp_path, "hello")

    assert (keys.master, keys.host["ci"], keys.functions["hello"]["a"]) == ("mine", "for-ci", "for-a")
    assert set(keys.host) == {"ci", "default"}
    assert set(keys.functions["hello"]) == {"a", "default"}


@on_posix
def test_only_the_owner_can_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load(tmp_path)
    finally:
        os.umask(before)
    assert mode(key_file(tmp_path)) == 0o600


@on_posix
def test_the_file_is_closed_to_others_before_it_has_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def look(name: str) -> None:
        seen.append((mode(Path(name)), Path(name).stat().st_size))

    monkeypatch.setattr(private_file, "_close_to_others", look)
    before = os.umask(0)
    try:
        load(tmp_path)
    finally:
        os.umask(before)
    assert seen == [(0o600, 0)]


@on_posix
def test_a_file_that_others_could_read_is_closed_with_a_warning(tmp_path: Path) -> None:
    keys = load(tmp_path)
    key_file(tmp_path).chmod(0o644)
    warnings: list[str] = []

    assert load_keys(tmp_path, [], warnings) == keys
    [warning] = warnings
    assert "was readable by other users" in warning
    assert keys.master not in warning
    assert mode(key_file(tmp_path)) == 0o600


@on_posix
@pytest.mark.parametrize("wide", [0o620, 0o602, 0o666])
def test_a_file_that_others_could_write_is_refused(tmp_path: Path, wide: int) -> None:
    load(tmp_path)
    key_file(tmp_path).chmod(wide)

    assert "can be written by other users" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    os.chown(key_file(tmp_path), 54321, -1)

    assert "belongs to another user" in refusal(tmp_path)


@on_posix
def test_a_link_or_a_pipe_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    elsewhere = key_file(tmp_path).rename(tmp_path / "elsewhere.json")
    key_file(tmp_path).symlink_to(elsewhere)
    assert "cannot be used" in refusal(tmp_path)

    key_file(tmp_path).unlink()
    os.mkfifo(key_file(tmp_path), 0o600)
    assert "not a plain file" in refusal(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"master": "secret-text"',
        "[]",
        '{"master": ""}',
        '{"master": 5}',
        '{"host": "secret-text"}',
        '{"functions": {"a": {"default": null}}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    load(tmp_path)
    key_file(tmp_path).write_text(text)

    assert "secret-text" not in refusal(tmp_path)
    assert key_file(tmp_path).read_text() == text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path)
    before = key_file(tmp_path).read_text()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        load_keys(tmp_path, ["New"], [])
    assert key_file(tmp_path).read_text() == before
    assert {each.name for each in key_file(tmp_path).parent.iterdir()} == {"keys.json", ".gitignore"}


def test_git_ignores_the_file(tmp_path: Path) -> None:
    load(tmp_path)
    assert (key_file(tmp_path).parent / ".gitignore").read_text() == "*\n"
