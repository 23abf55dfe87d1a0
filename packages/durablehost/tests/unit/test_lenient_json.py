"""JSON as people write it: what is accepted, in which encodings, and where an error is."""

from __future__ import annotations

import codecs
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from durablehost import lenient_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, /* , */ "b": [1, 2,], // }\n}', {"a": 1, "b": [1, 2]}),
        ("{'a': 'it\\'s \"here\"'}", {"a": 'it\'s "here"'}),
        (r"""{'a': 'a \"quote\", a \\ and \u0041'}""", {"a": 'a "quote", a \\ and A'}),
        ("{a: {$b_2 : 'c: d, e: f'}}", {"a": {"$b_2": "c: d, e: f"}}),
        ('{"a": "//,}", "b": "/*"}', {"a": "//,}", "b": "/*"}),
        ('{"a": "one\n\ttwo"}', {"a": "one\n\ttwo"}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"a": true, "b": null}', {"a": True, "b": None}),
    ],
)
def test_what_json_net_accepts_is_accepted(text: str, value: object) -> None:
    assert lenient_json.parse(text) == value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ('{\n  "a": 1\n  "b": 2}', "line 3, column 3"),
        ('{/* \n */\n"a": [}', "line 3, column 7"),
        ('{"a": 1} {}', "line 1, column 10"),
        ('{"a": "' + "x", "line 1, column 7"),
    ],
)
def test_an_error_has_its_line_and_column(text: str, place: str) -> None:
    with pytest.raises(ValueError, match=rf"\({place}\)$"):
        lenient_json.parse(text)


def test_a_text_that_is_nested_too_deep_is_an_error() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        lenient_json.parse("[" * 100_000)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_file_may_have_the_encodings_that_windows_writes(tmp_path: Path, mark: bytes, encoding: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(mark + '{"ä": "€"}'.encode(encoding))
    assert lenient_json.read(file) == {"ä": "€"}


def test_a_file_in_another_encoding_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('{\n"a": "ä"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"it is not UTF-8 text, save it as UTF-8 \(line 2\)"):
        lenient_json.read(file)


def link_to_a_device(path: Path) -> None:
    # Reading it to the end would fill the memory.
    path.symlink_to("/dev/zero")


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such things in folders")
@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkfifo, "a pipe"), (Path.mkdir, "a folder"), (link_to_a_device, "a device"), (listen, "a socket")],
    ids=["pipe", "folder", "device", "socket"],
)
def test_what_is_not_a_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.json")
    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        lenient_json.read(tmp_path / "a.json")


def test_a_file_larger_than_any_configuration_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with file.open("wb") as large:
        large.truncate(16 * 1024 * 1024 + 1)
    with pytest.raises(OSError, match="it is larger than 16 MiB"):
        lenient_json.read(file)
