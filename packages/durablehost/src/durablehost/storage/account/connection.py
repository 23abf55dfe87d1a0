"""Reads the storage account and the endpoints of its services from the app settings.

Pure, no I/O. Mirrors the storage connections of the Functions host: a connection string, or a section of settings that
describes an identity-based connection.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Union
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKey, AzureNamedKeyCredential, AzureSasCredential

from durablehost.errors import ConfigurationError

EMULATOR_HOST = "127.0.0.1"
EMULATOR_ACCOUNT = "devstoreaccount1"
# Microsoft's published key of the emulator account: the same on every machine, no secret.
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}
LOCAL_HOSTS = frozenset({EMULATOR_HOST, "localhost", "::1"})
_DEFAULT_SUFFIX = "core.windows.net"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """The addresses of the three services."""

    blob: str
    queue: str
    table: str

    @property
    def is_emulator(self) -> bool:
        """Whether all three services are on this machine, as Azurite is."""
        return all(urlsplit(each).hostname in LOCAL_HOSTS for each in (self.blob, self.queue, self.table))


@dataclass(frozen=True)
class ConnectionString:
    """A storage account by key or shared access signature."""

    text: str

    def __repr__(self) -> str:
        return "ConnectionString(...)"  # without the key


@dataclass(frozen=True, kw_only=True)
class IdentityConnection:
    """A storage account by Microsoft Entra identity; `client_id` names a user-assigned managed identity."""

    endpoints: Endpoints
    client_id: str | None = None


Connection = Union[ConnectionString, IdentityConnection]  # noqa: UP007


def is_development_storage(text: str) -> bool:
    """Whether a setting means the emulator of this machine, without ports and key: `UseDevelopmentStorage=true`."""
    with suppress(ConfigurationError):
        parts = _parts(text)
        return _uses_emulator(parts) and "developmentstorageproxyuri" not in parts
    return False


def connection_from_settings(settings: Mapping[str, str], name: str) -> Connection:
    """The connection of this name in the app settings.

    Raises:
        ConfigurationError: it is missing, or incomplete.
    """
    if text := settings.get(name, "").strip():
        return _checked(text, name)
    section = _section(settings, name)
    account = section.get("accountname")
    endpoints = {kind: _service_uri(section, name, kind, account) for kind in _PORTS}
    missing = [kind for kind, endpoint in endpoints.items() if endpoint is None]
    if len(missing) == len(_PORTS):
        raise ConfigurationError(
            f'The storage connection "{name}" is not set: add "{name}": "UseDevelopmentStorage=true" to the Values '
            "of local.settings.json, or set it in the environment."
        )
    if missing:
        raise ConfigurationError(f'The storage connection "{name}" lacks "{name}__{missing[0]}ServiceUri".')
    return IdentityConnection(
        endpoints=Endpoints(**{kind: endpoint or "" for kind, endpoint in endpoints.items()}),
        client_id=section.get("clientid"),
    )


def _checked(text: str, name: str) -> ConnectionString:
    try:
        connection_endpoints(text)
        credential_of(text)
    except ConfigurationError as error:
        raise ConfigurationError(f'The setting "{name}" is wrong. {error}') from error
    return ConnectionString(text)


def _section(settings: Mapping[str, str], name: str) -> dict[str, str]:
    prefixes = tuple(f"{name}{separator}".lower() for separator in ("__", ":"))
    return {
        key[len(name) :].lstrip("_:").lower(): value.strip()
        for key, value in settings.items()
        if key.lower().startswith(prefixes) and value.strip()
    }


def _service_uri(section: Mapping[str, str], name: str, kind: str, account: str | None) -> str | None:
    if uri := section.get(f"{kind}serviceuri"):
        setting = f"{name}__{kind}ServiceUri"
        endpoint = _checked_endpoint(uri.rstrip("/"), setting)
        if urlsplit(endpoint).scheme.lower() != "https":
            raise ConfigurationError(
                f"{setting} must begin with https://, because tokens of an identity are sent over HTTPS alone. For a "
                f'storage emulator, set "{name}" to a connection string.'
            )
        return endpoint
    return f"https://{account}.{kind}.{_DEFAULT_SUFFIX}" if account else None


def connection_endpoints(connection_string: str) -> Endpoints:
    """The endpoints in a connection string.

    Raises:
        ConfigurationError: it is not a storage connection string.
    """
    parts = _parts(connection_string)
    if _uses_emulator(parts):
        return Endpoints(**{kind: _emulator_endpoint(parts, kind) for kind in _PORTS})
    return Endpoints(**{kind: _endpoint(parts, kind) for kind in _PORTS})


def _parts(connection_string: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in connection_string.split(";") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ConfigurationError("The storage connection string is not valid: it must be Name=Value pairs, split by ;.")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _uses_emulator(parts: Mapping[str, str]) -> bool:
    return parts.get("usedevelopmentstorage", "").lower() == "true"


def _emulator_endpoint(parts: Mapping[str, str], kind: str) -> str:
    proxy = parts.get("developmentstorageproxyuri", f"http://{EMULATOR_HOST}")
    return _checked_endpoint(f"{proxy.rstrip('/')}:{_PORTS[kind]}/{EMULATOR_ACCOUNT}", "DevelopmentStorageProxyUri")


def _endpoint(parts: Mapping[str, str], kind: str) -> str:
    if explicit := parts.get(f"{kind}endpoint"):
        return _checked_endpoint(explicit.rstrip("/"), f"{kind.capitalize()}Endpoint")
    if "accountname" not in parts:
        raise ConfigurationError(
            f"The storage connection string has neither {kind.capitalize()}Endpoint nor AccountName."
        )
    protocol = parts.get("defaultendpointsprotocol", "https")
    endpoint = f"{protocol}://{parts['accountname']}.{kind}.{parts.get('endpointsuffix', _DEFAULT_SUFFIX)}"
    return _checked_endpoint(endpoint, "What DefaultEndpointsProtocol, AccountName and EndpointSuffix make")


def _checked_endpoint(endpoint: str, name: str) -> str:
    """The endpoint; raises `ConfigurationError`, which does not repeat it: it may contain a password."""
    try:
        url = urlsplit(endpoint)
        is_http = url.scheme.lower() in ("http", "https") and len(endpoint.split()) == 1
        # Raises UnicodeError, a ValueError, for a name that no name server can be asked for.
        is_valid = is_http and bool((url.hostname or "").encode("idna")) and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(f"{name} is not an address such as http://127.0.0.1:10000/{EMULATOR_ACCOUNT}.")
    if url.username is not None:
        raise ConfigurationError(f"{name} contains a user name or password: remove what is before the @.")
    return endpoint


def credential_of(connection_string: str) -> AzureNamedKeyCredential | AzureSasCredential:
    """The key or signature in a connection string.

    Raises:
        ConfigurationError: it has neither.
    """
    parts = _parts(connection_string)
    if _uses_emulator(parts):
        return AzureNamedKeyCredential(EMULATOR_ACCOUNT, EMULATOR_KEY)
    if signature := parts.get("sharedaccesssignature"):
        return AzureSasCredential(signature.lstrip("?"))
    if "accountname" in parts and "accountkey" in parts:
        return AzureNamedKeyCredential(parts["accountname"], _checked_key(parts["accountkey"]))
    raise ConfigurationError(
        "The storage connection string has neither AccountName and AccountKey nor SharedAccessSignature."
    )


def account_key(connection: Connection) -> AzureNamedKey | None:
    """The name and the key of the account; None if the connection has a signature or an identity."""
    credential = credential_of(connection.text) if isinstance(connection, ConnectionString) else None
    return credential.named_key if isinstance(credential, AzureNamedKeyCredential) else None


def _checked_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        # Without its cause, which may quote the key.
        raise ConfigurationError("AccountKey is not Base64: copy it as a whole, with the = at its end.") from None
    return key
