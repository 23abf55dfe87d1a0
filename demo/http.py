"""Sends JSON over HTTP to the host on this machine, with the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 30

# Proxies of the environment must not be used for this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(Exception):
    """Nothing answered, or not in JSON."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: dict[str, Any]


def get(url: str) -> Answer:
    return _send(urllib.request.Request(url))


def post(url: str, body: object) -> Answer:
    headers = {"Content-Type": "application/json"}
    return _send(urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST"))


def _send(request: urllib.request.Request) -> Answer:
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return Answer(status=answer.status, body=_document(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(status=error.code, body=_document(error.read()))
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{request.full_url}: {error}") from error


def _document(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"text": content.decode(errors="replace")}
