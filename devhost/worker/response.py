"""From what an `http` output binding was given to the HTTP response.

A plain string is read again as JSON, as the Functions host does it (HttpBinding): an object with a `body` is a whole
response, other JSON is written anew, anything else passes through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any

from devhost.app.invocation import HttpResponse

_TEXT_TYPE = {"content-type": "text/plain; charset=utf-8"}
_JSON_TYPE = {"content-type": "application/json; charset=utf-8"}
_COOKIE_ATTRIBUTES = {
    "domain": "Domain",
    "path": "Path",
    "expires": "Expires",
    "maxAge": "Max-Age",
    "sameSite": "SameSite",
}
_COOKIE_FLAGS = {"secure": "Secure", "httpOnly": "HttpOnly"}


def response_from_http(value: Mapping[str, Any]) -> HttpResponse:
    """From the value of a Datum of type `http`: a dict of Datums, and parsed cookies."""
    return HttpResponse(
        status=int(value["status_code"].value),
        headers={name: str(datum.value) for name, datum in value["headers"].items()},
        body=bytes(value["body"].value),
        cookies=tuple(_cookie_texts(value["cookies"] or ())),
    )


def response_from_text(text: str) -> HttpResponse:
    """From a string that a function returned."""
    try:
        value = json.loads(text)
    except ValueError:
        return HttpResponse(status=200, headers=_TEXT_TYPE, body=text.encode())
    members = {key.lower(): member for key, member in value.items()} if isinstance(value, dict) else {}
    if "body" in members:
        return _response_object(members)
    return HttpResponse(status=200, headers=_TEXT_TYPE, body=_rewritten(value).encode())


def _cookie_texts(cookies: Iterable[SimpleCookie]) -> Iterable[str]:
    for cookie in cookies:
        yield from (morsel.OutputString() for morsel in cookie.values())


def _rewritten(value: Any) -> str:
    """A JSON value as .NET's JToken.ToString() writes it."""
    if value is None:
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


def _response_object(members: Mapping[str, Any]) -> HttpResponse:
    body, headers = members["body"], members.get("headers")
    given = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    status = members.get("statuscode", members.get("status"))
    is_text = body is None or isinstance(body, str)
    return HttpResponse(
        status=200 if status is None else int(status),
        headers={**(_TEXT_TYPE if is_text else _JSON_TYPE), **given},
        body=(body or "" if is_text else json.dumps(body, ensure_ascii=False, separators=(",", ":"))).encode(),
        cookies=tuple(_cookie_text(cookie) for cookie in members.get("cookies") or () if isinstance(cookie, dict)),
    )


def _cookie_text(cookie: Mapping[str, Any]) -> str:
    parts = [f"{cookie.get('name', '')}={cookie.get('value', '')}"]
    parts += [f"{label}={cookie[key]}" for key, label in _COOKIE_ATTRIBUTES.items() if cookie.get(key) is not None]
    parts += [label for key, label in _COOKIE_FLAGS.items() if cookie.get(key)]
    return "; ".join(parts)
