"""What becomes of a string that an HTTP function returns."""

from __future__ import annotations

import pytest

from devhost.app.invocation import HttpResponse
from devhost.worker.response import response_from_text

TEXT = {"content-type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("hello", "hello"),
        ("", ""),
        ("null", ""),
        ("true", "True"),
        ('"quoted"', "quoted"),
        ("5", "5"),
        ('{"a":[1,"ü"]}', '{\n  "a": [\n    1,\n    "ü"\n  ]\n}'),
        ("[]", "[]"),
    ],
)
def test_a_string_is_read_as_json_and_written_anew(text: str, body: str) -> None:
    assert response_from_text(text) == HttpResponse(status=200, headers=TEXT, body=body.encode())


def test_an_object_with_a_body_is_a_whole_response() -> None:
    text = (
        '{"Body": "x", "statusCode": "201", "headers": {"X-A": 1},'
        ' "cookies": [{"name": "c", "value": "v", "maxAge": 0, "httpOnly": true}]}'
    )
    assert response_from_text(text) == HttpResponse(
        status=201, headers={**TEXT, "x-a": "1"}, body=b"x", cookies=("c=v; Max-Age=0; HttpOnly",)
    )


@pytest.mark.parametrize(
    ("text", "status", "body", "content_type"),
    [
        ('{"body": null, "status": 204}', 204, b"", "text/plain; charset=utf-8"),
        ('{"body": {"a": 1}}', 200, b'{"a":1}', "application/json; charset=utf-8"),
        ('{"body": [], "headers": {"Content-Type": "a/b"}}', 200, b"[]", "a/b"),
    ],
)
def test_the_body_of_a_response_object_may_be_any_json(text: str, status: int, body: bytes, content_type: str) -> None:
    response = response_from_text(text)
    assert (response.status, response.body, response.headers["content-type"]) == (status, body, content_type)
