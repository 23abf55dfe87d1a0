"""How a string that an HTTP function returns becomes a response."""

from __future__ import annotations

import sys
from http.cookies import SimpleCookie
from types import SimpleNamespace

import pytest

from durablehost.app.invocation import HttpResponse
from durablehost.worker.response import response_from_http, response_from_text

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
        ' "cookies": [{"name": "c", "value": "v", "maxAge": 0, "HTTPOnly": true}]}'
    )
    assert response_from_text(text) == HttpResponse(
        status=201, headers={**TEXT, "x-a": "1"}, body=b"x", cookies=("c=v; max-age=0; httponly",)
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


def sent(*texts: str) -> tuple[str, ...]:
    """The `Set-Cookie` values for those that a function sets."""
    value = {
        "status_code": SimpleNamespace(value="200"),
        "headers": {},
        "body": SimpleNamespace(value=b""),
        "cookies": [SimpleCookie(text) for text in texts],
    }
    return response_from_http(value).cookies


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("foo=bar", "foo=bar; domain=; path="),
        (
            "a=1; Domain=x.com; Expires=Thu, 12-Jan-2017 13:55:08 GMT; Path=/; Max-Age=10000000; Secure; HttpOnly",
            "a=1; expires=Thu, 12 Jan 2017 13:55:08 GMT; max-age=10000000; domain=x.com; path=/; secure; httponly",
        ),
        ("a=1; PATH=/x; HTTPONLY; samesite=LAX", "a=1; domain=; path=/x; samesite=lax; httponly"),
        ("a=1; SameSite=None; secure", "a=1; domain=; path=; secure; samesite=none"),
        ("a=1; SameSite=Other", "a=1; domain=; path="),
        ('a="b c"; Max-Age=1.9', "a=b%20c; max-age=1; domain=; path="),
        ("a=b==", "a=b%3D%3D; domain=; path="),
        ("a=1; Expires=2030-01-02T03:04:05", "a=1; expires=Wed, 02 Jan 2030 03:04:05 GMT; domain=; path="),
        ("a=1; Expires=2030-01-02T03:04:05+01:00", "a=1; expires=Wed, 02 Jan 2030 02:04:05 GMT; domain=; path="),
    ],
)  # fmt: skip
@pytest.mark.parametrize("has_dateutil", [True, False])
def test_cookies_are_written_as_a_real_host_writes_them(
    text: str, written: str, has_dateutil: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_dateutil(monkeypatch, has_dateutil)
    assert sent(text, "b=2") == (written, "b=2; domain=; path=")


def test_a_cookie_that_cannot_be_read_is_not_sent() -> None:
    assert sent("", "a=1; SecureFalse; HttpOnly") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("foo=bar; Domain=123; Expires=Dummy", "the cookie 'foo' has the attribute Expires=Dummy, which is not a date"),
        ('a=1; Expires="Thu, 12-Jan-9999999999999999 13:550:08 GMT"', "which is not a date"),
        ("a=1; Max-Age=Dummy", "the cookie 'a' has the attribute Max-Age=Dummy, which is not a number"),
        ("a=1; Max-Age=nan", "which is not a number"),
        ("a=1; Max-Age=-1", "it has to be 0 or more seconds"),
        ("a=1; Max-Age=1e300", "it has to be 0 or more seconds"),
        ("a:b=1", "the cookie 'a:b' has a name that HTTP does not allow"),
    ],
)
@pytest.mark.parametrize("has_dateutil", [True, False])
def test_a_cookie_that_a_real_host_cannot_send_is_an_error_that_names_it(
    text: str, problem: str, has_dateutil: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_dateutil(monkeypatch, has_dateutil)
    with pytest.raises(ValueError, match=problem):
        sent(text)


def _without_dateutil(monkeypatch: pytest.MonkeyPatch, has_dateutil: bool) -> None:
    if not has_dateutil:
        monkeypatch.setitem(sys.modules, "dateutil", None)
