"""Makes the HTTP response from the value of an `http` output binding.

A plain string is parsed as JSON, as by the Functions host (HttpBinding): an object with a `body` is a whole response,
other JSON is formatted again, any other text is the body.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any

from durablehost.app.invocation import HttpResponse
from durablehost.worker.cookies import cookie_text

_TEXT_TYPE = {"content-type": "text/plain; charset=utf-8"}
_JSON_TYPE = {"content-type": "application/json; charset=utf-8"}


def response_from_http(value: Mapping[str, Any]) -> HttpResponse:
    """From the value of a Datum of type `http`: a dict of Datums, and parsed cookies (headers before version 1.11)."""
    return HttpResponse(
        status=int(value["status_code"].value),
        headers={name: str(datum.value) for name, datum in value["headers"].items()},
        body=bytes(value["body"].value),
        cookies=tuple(_cookie_texts(value.get("cookies") or ())),
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
        yield from (cookie_text(name, morsel.value, morsel) for name, morsel in cookie.items())


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
    members = {str(key).lower(): value for key, value in cookie.items()}
    attributes = {**members, "max-age": members.get("maxage")}
    return cookie_text(str(members.get("name", "")), str(members.get("value", "")), attributes)
