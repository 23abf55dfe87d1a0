"""Hostile and merely wrong request bodies."""

from __future__ import annotations

import json
import time

import pytest

from shared_code.contracts import InvalidInput, RunRequest
from shared_code.http_json import MAX_BODY_BYTES, bad_request, read_body

BODY = b'{"start": "2013-01-01T00:00:00Z", "end": "2013-04-01T00:00:00Z", "total_chunks": 12}'


def refusal(body: bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_body(body, RunRequest.from_json)
    return caught.value


def test_a_valid_body_becomes_its_contract() -> None:
    assert read_body(BODY, RunRequest.from_json).total_chunks == 12


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "must be JSON"),
        (b"not json", "must be JSON"),
        (b"[1, 2]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"\xff\xfe", "must be UTF-8 text; byte 0 is not"),
        (b'{"total_chunks": NaN}', "NaN is not a JSON number"),
        (b'{"total_chunks": -Infinity}', "-Infinity is not a JSON number"),
        (b"[" * 60_000, "reasonable"),
        (b'{"total_chunks": ' + b"1" * 50_000 + b"}", "reasonable"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_one_problem(body: bytes, reason: str) -> None:
    error = refusal(body)

    assert [problem.target for problem in error.problems] == ["body"]
    assert reason in str(error)


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_body(b"\xef\xbb\xbf" + BODY, RunRequest.from_json).total_chunks == 12


@pytest.mark.parametrize(("name", "target"), [("a\\ud800", "a\ud800"), ("", "''")], ids=["half a character", "none"])
def test_an_odd_name_of_a_field_is_named(name: str, target: str) -> None:
    error = refusal(BODY[:-1] + f', "{name}": 1}}'.encode())
    assert [problem.target for problem in error.problems] == [target]
    assert json.loads(bad_request(error).get_body())["error"]["details"][0]["target"] == target


def test_a_field_given_twice_is_named() -> None:
    assert [problem.target for problem in refusal(b'{"start": 1, "end": 2, "start": 3}').problems] == ["start"]


def test_a_body_of_ten_megabytes_is_refused_unread() -> None:
    body = b"[" * 10_000_000

    began = time.perf_counter()
    error = refusal(body)

    assert time.perf_counter() - began < 0.5
    assert str(MAX_BODY_BYTES) in str(error)


def test_a_body_of_repeated_fields_is_refused_quickly() -> None:
    body = ("{" + ", ".join(f'"{number % 3000}": 1' for number in range(6_000)) + "}").encode()

    began = time.perf_counter()
    error = refusal(body)

    assert time.perf_counter() - began < 0.5
    assert len(json.dumps([problem.target for problem in error.problems])) < MAX_BODY_BYTES
