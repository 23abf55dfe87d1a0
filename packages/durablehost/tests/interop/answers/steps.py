"""What a host is asked, and what is waited for in between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Union

JSON_TYPE = "application/json"
LABEL_LENGTH = 100


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, by its path below the management API. A `body` of bytes is sent as it is, any other as JSON.

    An answer that is not compared only has to be a success. The token of a page is kept for the call that sends it;
    `token` is sent as it is.
    """

    method: str
    path: str
    body: object = None
    content_type: str = JSON_TYPE
    is_compared: bool = True
    keeps_token: bool = False
    sends_token: bool = False
    token: str = ""

    @property
    def label(self) -> str:
        """Names the call in the recording and in messages."""
        parts = [self.method, self.path]
        if self.content_type != JSON_TYPE:
            parts.append(f"[{self.content_type}]")
        if self.token:
            parts.append(f"[{self.token}]")
        if self.body is not None:
            parts.append(
                self.body.decode("utf-8", "replace") if isinstance(self.body, bytes) else json.dumps(self.body)
            )
        text = " ".join(parts)
        return text if len(text) <= LABEL_LENGTH else f"{text[:LABEL_LENGTH]}..."


@dataclass(frozen=True, kw_only=True)
class Until:
    """Waits until an instance has a status, or its history an event of a type; without both, until it works no more."""

    instance_id: str
    status: str = ""
    event_type: str = ""


@dataclass(frozen=True, kw_only=True)
class UntilEntity:
    """Waits until one of some counters has a value; None: until it is deleted."""

    keys: tuple[str, ...]
    state: int | None


@dataclass(frozen=True, kw_only=True)
class Plant:
    """Stores a record in a status that no instance keeps for long: a copy of another one with other columns."""

    instance_id: str
    status: str
    like: str
    columns: Mapping[str, str | datetime] = field(default_factory=dict)


Step = Union[Call, Until, UntilEntity, Plant]  # noqa: UP007


def get(path: str, *, keeps_token: bool = False, sends_token: bool = False) -> Call:
    return Call(method="GET", path=path, keeps_token=keeps_token, sends_token=sends_token)


def post(path: str, body: object = None, content_type: str = JSON_TYPE) -> Call:
    return Call(method="POST", path=path, body=body, content_type=content_type)


def delete(path: str) -> Call:
    return Call(method="DELETE", path=path)
