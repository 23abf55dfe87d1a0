"""JSON as people write it: what is accepted, in which encodings, and where an error is."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from durablehost import lenient_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, /* , */ "b": [1, 2,], // }\n}', {"a": 1, "b": [1, 2]}),
        ("{'a': 'it\\'s \"here\"'}", {"a": 'it\'s "here"'}),
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
