"""The requests and responses of `call_http`, as .NET's HttpClient sends and reads them.

Rule of this file: what the client of a real host refuses is refused here too, with a message that names the argument.
Mirrors HttpRequestMessage, StringContent, HttpContent.ReadAsStringAsync and RedirectHandler of .NET, as far as
TaskHttpActivityShim of the Durable Functions extension uses them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from yarl import URL

from durablehost.core.json_text import compact

CONTENT_TYPE = "content-type"
# The headers that belong to the content in .NET: a request must not set them, and a result lacks them.
CONTENT_HEADERS = frozenset(
    {
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "expires",
        "last-modified",
    }
)

# As .NET spells headers, whatever case a server sends them in; it leaves all others as they are sent.
_SPELLED = (
    "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
    "Access-Control-Max-Age", "Age", "Alt-Svc", "Alt-Used", "Cache-Control", "Connection",
    "Content-Security-Policy", "Date", "ETag", "Expect-CT", "grpc-status", "Keep-Alive", "Link", "Location",
    "Origin", "P3P", "Pragma", "Proxy-Authenticate", "Proxy-Connection", "Public-Key-Pins", "Referrer-Policy",
    "Refresh", "Retry-After", "Sec-WebSocket-Accept", "Server", "Server-Timing", "Set-Cookie", "Set-Cookie2",
    "Strict-Transport-Security", "TE", "Trailer", "Transfer-Encoding", "TSV", "Upgrade",
    "Upgrade-Insecure-Requests", "Vary", "Via", "Warning", "WWW-Authenticate", "X-AspNet-Version", "X-Cache",
    "X-Content-Duration", "X-Content-Type-Options", "X-Frame-Options", "X-MSEdge-Ref", "X-Powered-By",
    "X-Request-ID", "X-UA-Compatible", "X-XSS-Protection",
)  # fmt: skip
_SPELLINGS = {name.lower(): name for name in _SPELLED}

_FORM = "application/x-www-form-urlencoded"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}")
_ASCII = re.compile(r"[\t\x20-\x7e]*")
# How the values of one header are joined; the others by a comma.
_SEPARATORS = {"cookie": "; ", "user-agent": " "}
_KEPT_IN_QUERIES = "%/:?#[]@!$&'()*+,;=-._~"
# The longer ones first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_REDIRECTIONS = frozenset({300, 301, 302, 303, 307, 308})


def absolute_url(uri: Any) -> URL:
    """The address, which has to be absolute; escapes in its query stay as they are. A name and a password are not sent.

    Raises:
        ValueError: it is empty, relative, or of another scheme.
    """
    if not uri:
        raise ValueError("call_http: uri must not be empty")
    try:
        parts, url = urlsplit(str(uri)), _without_credentials(URL(str(uri)).with_fragment(None))
    except ValueError as error:
        raise ValueError(f'call_http: uri is "{uri}", which is no URL: {error}') from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f'call_http: uri is "{uri}"; it must begin with http:// or https:// and a host')
    if not parts.query:
        return url
    return URL(f"{url.with_query(None)}?{quote(parts.query, safe=_KEPT_IN_QUERIES)}", encoded=True)


def request_headers(headers: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The headers to send, and the type of the content, empty if none is given.

    Raises:
        ValueError: a header cannot be sent.
    """
    sent: dict[str, str] = {}
    content_type = ""
    for name, values in headers.items():
        texts = [_header_text(name, value) for value in (values if isinstance(values, list) else [values])]
        given = [text for text in texts if text is not None]
        if name.lower() == CONTENT_TYPE:
            content_type = given[-1] if given else content_type
        elif name.lower() in CONTENT_HEADERS:
            raise ValueError(f"call_http: the header {name} describes the content and is set by the host: leave it out")
        elif not _TOKEN.fullmatch(name):
            raise ValueError(f"call_http: {name!r} is not the name of a header")
        elif given:
            sent[name] = _SEPARATORS.get(name.lower(), ", ").join(given)
    return sent, content_type


def sent_content_type(content_type: str) -> str:
    """The type that the content is sent with.

    Raises:
        ValueError: a real host cannot send it.
    """
    if "multipart" in content_type.lower():
        raise ValueError("Multipart content is not supported with CallHttpAsync.")
    if content_type.lower() == _FORM:
        return f"{content_type}; charset=utf-8"
    if content_type and not _TYPE.fullmatch(content_type):
        raise ValueError(
            f"call_http: the content type '{content_type}' must be a type alone, such as application/json, without a "
            "charset: Azure refuses it too"
        )
    return content_type or "text/plain"


def _header_text(name: str, value: Any) -> str | None:
    """The text of a header's value; None is left out."""
    if isinstance(value, (dict, list)):
        raise ValueError(f"call_http: the header {name} must be text or a list of texts, not {compact(value)}")
    if value is None:
        return None
    if not _ASCII.fullmatch(text := str(value)):
        raise ValueError(f"call_http: the header {name} must be ASCII text without control characters")
    return text


def decoded(content: bytes, charset: str | None) -> str:
    """The content as text: of its charset, else of its byte order mark, else UTF-8; a mark itself is left out.

    Raises:
        ValueError: there is no such charset.
    """
    if charset is None:
        mark, encoding = next((each for each in _MARKS if content.startswith(each[0])), (b"", "utf-8"))
        return content[len(mark) :].decode(encoding, "replace")
    try:
        return content.decode(charset, "replace").removeprefix("\ufeff")
    except LookupError:
        raise ValueError(
            f"call_http: the response has the charset '{charset}', which does not exist: a real host cannot read it "
            "either"
        ) from None


def redirection(url: URL, status: int, location: str | None) -> URL | None:
    """Where a response leads to; None if it is to be returned itself."""
    if status not in _REDIRECTIONS or not location:
        return None
    target = _without_credentials(url.join(URL(location)))
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        return None
    return target


def _without_credentials(url: URL) -> URL:
    return url.with_user(None) if url.raw_user is not None or url.raw_password is not None else url


def answered_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str | list[str]]:
    """The headers of a response but for those of its content; one that is sent several times as a list."""
    found: dict[str, list[str]] = {}
    for name, value in raw:
        text = name.decode("latin-1")
        if text.lower() not in CONTENT_HEADERS:
            found.setdefault(_SPELLINGS.get(text.lower(), text), []).append(value.decode("latin-1"))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def becomes_get(method: str, status: int) -> bool:
    """Whether a redirected request loses its content and becomes a GET."""
    if status == 303:
        return method.upper() not in ("GET", "HEAD")
    return status in (300, 301, 302) and method.upper() == "POST"
