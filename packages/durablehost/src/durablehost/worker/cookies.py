"""Writes the cookies of responses as a real host does, which reads them first: names, order and spelling change.

Mirrors `parse_to_rpc_http_cookie_list` of the Python worker, and the cookies of ASP.NET Core. Only worker processes
import this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAME_SITES = frozenset({"none", "lax", "strict"})
_MOST_SECONDS = 922337203685  # the longest TimeSpan of .NET


def cookie_text(name: str, value: str, attributes: Mapping[str, Any]) -> str:
    """A `Set-Cookie` value. `attributes` are named in lower case; empty `domain` and `path` are written, None is not.

    Raises:
        ValueError: a real host cannot send this cookie either, and answers with 500.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"the cookie {name!r} has a name that HTTP does not allow")
    parts = [f"{name}={quote(value, safe='', errors='replace')}"]
    if expires := attributes.get("expires"):
        parts.append(f"expires={_date(name, str(expires))}")
    if (max_age := attributes.get("max-age")) not in (None, ""):
        parts.append(f"max-age={_seconds(name, str(max_age))}")
    parts += [f"{key}={attributes[key]}" for key in ("domain", "path") if attributes.get(key) is not None]
    if attributes.get("secure"):
        parts.append("secure")
    same_site = str(attributes.get("samesite") or "").lower()
    if same_site in _SAME_SITES:
        parts.append(f"samesite={same_site}")
    if attributes.get("httponly"):
        parts.append("httponly")
    return "; ".join(parts)


def _date(name: str, text: str) -> str:
    try:
        moment = _parsed(text)
        # The machines of Azure are in UTC.
        moment = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(f"the cookie {name!r} has the attribute Expires={text}, which is not a date") from None
    return format_datetime(moment, usegmt=True)


def _parsed(text: str) -> datetime:
    try:
        # The Python worker has it; an app without azure-functions-durable may not.
        from dateutil import parser  # type: ignore[import-untyped]
    except ImportError:
        try:
            return parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return datetime.fromisoformat(text)
    parsed: datetime = parser.parse(text)
    return parsed


def _seconds(name: str, text: str) -> int:
    try:
        seconds = int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"the cookie {name!r} has the attribute Max-Age={text}, which is not a number") from None
    if not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"the cookie {name!r} has the attribute Max-Age={text}; it has to be 0 or more seconds")
    return seconds
