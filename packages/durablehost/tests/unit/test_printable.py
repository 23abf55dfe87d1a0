"""Which characters of a text from outside reach the terminal."""

from __future__ import annotations

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durablehost.printable import print_exception, printable, printable_output, without_secrets

KEY = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
TITLE = "\x1b]0;owned\x07"
NEVER_PRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 雪, 🐍, \u200f", "plain, naïve, 雪, 🐍, \u200f"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\\u000db"),
        (TITLE, "\\u001b]0;owned\\u0007"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("\x00\x7f\x85\x9b31m", "\\u0000\\u007f\\u0085\\u009b31m"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("\ud800", "\\ud800"),
        ("x\n[2026-01-05T10:00:00.000Z] forged", "x\\u000a[2026-01-05T10:00:00.000Z] forged"),
        ("x\n\n \u2003[2026-01-05T10:00:00.000Z] forged", "x\n\\u000a \u2003[2026-01-05T10:00:00.000Z] forged"),
        ("x\n[2026] [1, 2]", "x\n[2026] [1, 2]"),
    ],
)
def test_characters_that_control_a_terminal_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("part", ["\n", " ", "\n ", "\n[", "\r", "\r\n", "\x1b[", "\x1b[1;", "\n[2026-01-05T"])
def test_a_long_text_is_shown_in_proportion_to_its_length(part: str) -> None:
    text = part * 300_000
    printable(text)
    printable_output(text)


@given(st.text(st.characters()))
def test_no_text_controls_the_terminal(text: str) -> None:
    assert not NEVER_PRINTED.search(printable(text))
    assert not NEVER_PRINTED.search(re.sub("\x1b\\[[0-9;:]*m|\r", "", printable_output(text)))


@given(st.recursive(st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=5))
def test_json_keeps_its_value(value: object) -> None:
    assert json.loads(printable(json.dumps(value, indent=2, ensure_ascii=False))) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2::255:0:0mred\x1b[m", "\x1b[38:2::255:0:0mred\x1b[m"),
        ("\x1b[8mhidden", "\x1b[8mhidden\x1b[0m"),
        ("10 %\r20 %", "10 %\r20 %"),
        (TITLE, "\\u001b]0;owned\\u0007"),
        ("\x1b[2J\x1b[1A\x9b31m\u202e", "\\u001b[2J\\u001b[1A\\u009b31m\\u202e"),
    ],
)
def test_output_of_functions_keeps_its_colours_alone(text: str, shown: str) -> None:
    assert printable_output(text) == shown


def test_an_exception_that_nobody_handles_is_printed_with_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(TITLE)
    except ValueError as error:
        print_exception(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.endswith("ValueError: \\u001b]0;owned\\u0007\n")
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('is "AccountName=a;AccountKey=abc==;EndpointSuffix=x"', 'is "AccountName=a;AccountKey=***;EndpointSuffix=x"'),
        (
            "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=abc=",
            "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=***",
        ),
        ("SharedAccessSignature=sv=1&ss=b&sig=abc%3D", "SharedAccessSignature=***&ss=b&sig=***"),
        ("https://a.example/?sv=1&sig=abc%3D does not answer", "https://a.example/?sv=1&sig=*** does not answer"),
        ('"Server=x;Password=a b&c;Encrypt=true"', '"Server=x;Password=***;Encrypt=true"'),
        ("Server=x;User Id=u;PWD = abc", "Server=x;User Id=u;PWD=***"),
        ("host:6380,password=abc=,ssl=True", "host:6380,password=***"),
        ("client_secret=abc api-key=abc ApiKey=abc", "client_secret=*** api-key=*** ApiKey=***"),
        ("amqp://me:abc@host/v and redis://:abc@host", "amqp://***@host/v and redis://***@host"),
        (f"http://{KEY}.queue.example and {KEY}", "http:***.queue.example and ***"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "AccountKey is not Base64: copy it as a whole, with the = at its end.",
        'The setting X is "abc"; it must be a whole number from 1 to 10.',
        "https://localhost:7071/api/hello?design=1",
        "--python=/home/me/a-folder-with-a-long-name/and-another-one/.venv/bin/python",
        "System.Private.CoreLib, PublicKeyToken=7cec85d7bea7798e",
        "mail me@example.com at 10:30",
        "name=0123456789abcdef0123456789abcdef0123456789abcdef=value",
    ],
)
def test_texts_without_secrets_stay(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("part", ["a", "sig=", "://", "password=a;", "://a:b", "a:", "A" * 41 + "=", " \t", "pwd "])
def test_secrets_are_found_in_proportion_to_the_length(part: str) -> None:
    # With backtracking, this would take hours.
    for beginning in ("", "://", "AccountKey", "Password = "):
        assert without_secrets(beginning + part * (1_000_000 // len(part)))
