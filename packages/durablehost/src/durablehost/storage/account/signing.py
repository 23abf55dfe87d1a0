"""Authorizes requests to a storage service: by account key, shared access signature or identity.

Pure, apart from the token of an identity. After "Authorize with Shared Key" of the Azure Storage REST reference: for
the queue service every part of a request is signed, for the table service four of them.
"""

from __future__ import annotations

import base64
import hmac
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

_SCOPE = "https://storage.azure.com/.default"
# A token is replaced so early that it stays valid for all requests that are running.
_TOKEN_MARGIN_SECONDS = 300


@dataclass(kw_only=True)
class Request:
    """A request to one service. `path` is relative to the endpoint and encoded; `query` is not encoded."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Signer(Protocol):
    """Adds the authorization to a request."""

    async def sign(self, request: Request) -> None: ...


class KeySigner(ABC):
    """Signs with an account key; the queue and the table service sign different parts of a request."""

    def __init__(self, credential: AzureNamedKeyCredential, endpoint: str) -> None:
        self._account = credential.named_key.name
        self._key = base64.b64decode(credential.named_key.key)
        self._path = urlsplit(endpoint).path

    async def sign(self, request: Request) -> None:
        request.headers["x-ms-date"] = formatdate(usegmt=True)
        digest = hmac.digest(self._key, self.string_to_sign(request).encode(), "sha256")
        request.headers["Authorization"] = f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"

    @abstractmethod
    def string_to_sign(self, request: Request) -> str: ...

    def _resource(self, request: Request) -> str:
        return f"/{self._account}{self._path}/{request.path}"


class QueueKeySigner(KeySigner):
    """The signature of the queue service."""

    def string_to_sign(self, request: Request) -> str:
        length = str(len(request.body)) if request.body else ""
        of_the_service = sorted((name.lower(), value) for name, value in request.headers.items() if name[:5] == "x-ms-")
        # The empty lines are standard headers that no request of this package has.
        lines = [request.method, "", "", length, "", request.headers.get("Content-Type", ""), *[""] * 6]
        lines += [f"{name}:{value}" for name, value in of_the_service]
        lines.append(self._resource(request))
        lines += [f"{name}:{value}" for name, value in sorted(request.query.items())]
        return "\n".join(lines)


class TableKeySigner(KeySigner):
    """The signature of the table service."""

    def string_to_sign(self, request: Request) -> str:
        content_type = request.headers.get("Content-Type", "")
        return "\n".join([request.method, "", content_type, request.headers["x-ms-date"], self._resource(request)])


class SignatureSigner:
    """Adds a shared access signature to the query."""

    def __init__(self, credential: AzureSasCredential) -> None:
        self._query = dict(parse_qsl(credential.signature, keep_blank_values=True))

    async def sign(self, request: Request) -> None:
        request.query |= self._query


class IdentitySigner:
    """Adds the token of a Microsoft Entra identity, and renews it in time."""

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential
        self._token: AccessToken | None = None

    async def sign(self, request: Request) -> None:
        if self._token is None or self._token.expires_on - time.time() < _TOKEN_MARGIN_SECONDS:
            self._token = await self._credential.get_token(_SCOPE)
        request.headers["Authorization"] = f"Bearer {self._token.token}"
