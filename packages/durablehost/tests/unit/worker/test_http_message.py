"""What `call_http` sends and reads, as the real engine does: its answers to the same calls are the expected values."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("yarl", reason="the host calls through aiohttp")

from yarl import URL

from durablehost.worker.http_message import (
    absolute_url,
    answered_headers,
    becomes_get,
    decoded,
    redirection,
    request_headers,
    sent_content_type,
)


@pytest.mark.parametrize(
    ("uri", "sent"),
    [
        ("http://x/e?q=a b&c=%20ü#frag", "http://x/e?q=a%20b&c=%20%C3%BC"),
        ("http://x/e?sig=a%2Fb%2B%3D&x=a+b", "http://x/e?sig=a%2Fb%2B%3D&x=a+b"),
        ('http://x/a%2Fb/./c/../d e?z=a|b"<>', "http://x/a%2Fb/d%20e?z=a%7Cb%22%3C%3E"),
        ("HTTP://x:80/e", "http://x/e"),
        ("http://name:word@x/e?q=1", "http://x/e?q=1"),
    ],
)
def test_an_address_keeps_its_escapes(uri: str, sent: str) -> None:
    assert str(absolute_url(uri)) == sent


def test_a_redirection_sends_no_credentials_of_its_address() -> None:
    assert str(redirection(URL("http://x/a"), 302, "http://name:word@x/b")) == "http://x/b"


def test_headers_of_a_response_are_spelled_as_dotnet_spells_them() -> None:
    raw = [
        (b"etag", b'"x"'),
        (b"Etag", b"y"),
        (b"X-REQUEST-ID", b"1"),
        (b"x-own", b"Zo\xeb"),
        (b"content-type", b"a/b"),
    ]
    assert answered_headers(raw) == {"ETag": ['"x"', "y"], "X-Request-ID": "1", "x-own": "Zoë"}


def test_several_values_of_a_header_are_one_line() -> None:
    headers = {"X-A": ["1", "2", None], "Cookie": ["a=1", "b=2"], "User-Agent": ["a", "b"], "X-B": [], "X-C": None}
    assert request_headers(headers) == ({"X-A": "1, 2", "Cookie": "a=1; b=2", "User-Agent": "a b"}, "")


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"X-Ü": "a"}, "'X-Ü' is not the name of a header"),
        ({"": "a"}, "'' is not the name of a header"),
        ({"X A": "a"}, "'X A' is not the name of a header"),
        ({"X-A": "ü"}, "the header X-A must be ASCII text"),
        ({"X-A": ["a", "b\r\nX-C: d"]}, "the header X-A must be ASCII text"),
    ],
)
def test_a_header_that_a_real_host_refuses_is_named(headers: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"call_http: {problem}"):
        request_headers(headers)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/x-www-form-urlencoded; charset=utf-8", "nonsense", "text/"],
)
def test_a_content_type_must_be_a_type_alone(content_type: str) -> None:
    with pytest.raises(ValueError, match="must be a type alone, such as application/json, without a charset"):
        sent_content_type(content_type)


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"Zo\xc3\xab", None, "Zoë"),
        (b"Zo\xeb", "iso-8859-1", "Zoë"),
        (b"Zo\xeb", "utf-8", "Zo\ufffd"),
        (b"\xef\xbb\xbfx", None, "x"),
        (b"\xef\xbb\xbfx", "utf-8", "x"),
        ("\ufeffZoë".encode("utf-16-le"), None, "Zoë"),
        ("\ufeffZoë".encode("utf-16-be"), None, "Zoë"),
        ("\ufeffZoë".encode("utf-32-le"), None, "Zoë"),
        (b"", None, ""),
    ],
)
def test_content_is_read_by_its_charset_or_its_byte_order_mark(content: bytes, charset: str | None, text: str) -> None:
    assert decoded(content, charset) == text


def test_content_of_an_unknown_charset_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="the charset 'nope', which does not exist"):
        decoded(b"x", "nope")


@pytest.mark.parametrize(
    ("status", "location", "target"),
    [
        (302, "/b", "https://x/b"),
        (308, "https://y/b", "https://y/b"),
        (302, None, None),
        (302, "", None),
        (302, "http://x/b", None),
        (302, "ftp://x/b", None),
        (304, "/b", None),
        (201, "/b", None),
    ],
)
def test_redirections_are_followed_but_not_to_plain_http(status: int, location: str | None, target: str | None) -> None:
    assert redirection(URL("https://x/a"), status, location) == (URL(target) if target else None)


@pytest.mark.parametrize(
    ("method", "status", "is_get"),
    [("POST", 302, True), ("PUT", 302, False), ("PUT", 303, True), ("HEAD", 303, False), ("POST", 307, False)],
)
def test_some_redirections_lose_the_content(method: str, status: int, is_get: bool) -> None:
    assert becomes_get(method, status) is is_get
