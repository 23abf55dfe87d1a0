"""Which storage account the app settings name, and where its services are.

Text only, nothing is sent. Mirrors the storage connections of the Functions host: a connection string, or a section of
settings that describes an identity-based connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from devhost.errors import ConfigurationError

EMULATOR_HOST = "127.0.0.1"
EMULATOR_ACCOUNT = "devstoreaccount1"
# Microsoft's published key of the emulator account: the same on every machine, no secret.
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}
_LOCAL_HOSTS = frozenset({EMULATOR_HOST, "localhost", "::1"})
_DEFAULT_SUFFIX = "core.windows.net"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the three services are."""

    blob: str
    queue: str
    table: str

    @property
    def is_emulator(self) -> bool:
        """True where Azurite on this machine has to answer."""
        return all(urlsplit(each).hostname in _LOCAL_HOSTS for each in (self.blob, self.queue, self.table))


@dataclass(frozen=True)
class ConnectionString:
    """A storage account by key or shared access signature."""

    text: str

    def __repr__(self) -> str:
        return "ConnectionString(...)"  # it holds a key


@dataclass(frozen=True, kw_only=True)
class IdentityConnection:
    """A storage account by Microsoft Entra identity; `client_id` names a user-assigned managed identity."""

    endpoints: Endpoints
    client_id: str | None = None


Connection = Union[ConnectionString, IdentityConnection]  # noqa: UP007


def connection_from_settings(settings: Mapping[str, str], name: str) -> Connection:
    """The connection that app settings describe under this name.

    Raises:
        ConfigurationError: there is none, or it is incomplete.
    """
    if text := settings.get(name, "").strip():
        return _checked(text, name)
    section = _section(settings, name)
    account = section.get("accountname")
    endpoints = {kind: _service_uri(section, kind, account) for kind in _PORTS}
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


def _service_uri(section: Mapping[str, str], kind: str, account: str | None) -> str | None:
    if uri := section.get(f"{kind}serviceuri"):
        return uri.rstrip("/")
    return f"https://{account}.{kind}.{_DEFAULT_SUFFIX}" if account else None


def connection_endpoints(connection_string: str) -> Endpoints:
    """Where a connection string points.

    Raises:
        ConfigurationError: it is not a storage connection string.
    """
    parts = _parts(connection_string)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return Endpoints(**{kind: _emulator_endpoint(kind) for kind in _PORTS})
    return Endpoints(**{kind: _endpoint(parts, kind) for kind in _PORTS})


def _parts(connection_string: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in connection_string.split(";") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ConfigurationError("The storage connection string is not valid: it must be Name=Value pairs, split by ;.")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _emulator_endpoint(kind: str) -> str:
    return f"http://{EMULATOR_HOST}:{_PORTS[kind]}/{EMULATOR_ACCOUNT}"


def _endpoint(parts: Mapping[str, str], kind: str) -> str:
    if explicit := parts.get(f"{kind}endpoint"):
        return explicit.rstrip("/")
    if "accountname" not in parts:
        raise ConfigurationError(
            f"The storage connection string has neither {kind.capitalize()}Endpoint nor AccountName."
        )
    protocol = parts.get("defaultendpointsprotocol", "https")
    return f"{protocol}://{parts['accountname']}.{kind}.{parts.get('endpointsuffix', _DEFAULT_SUFFIX)}"


def credential_of(connection_string: str) -> AzureNamedKeyCredential | AzureSasCredential:
    """The key or signature in a connection string.

    Raises:
        ConfigurationError: it has neither.
    """
    parts = _parts(connection_string)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return AzureNamedKeyCredential(EMULATOR_ACCOUNT, EMULATOR_KEY)
    if signature := parts.get("sharedaccesssignature"):
        return AzureSasCredential(signature.lstrip("?"))
    if "accountname" in parts and "accountkey" in parts:
        return AzureNamedKeyCredential(parts["accountname"], parts["accountkey"])
    raise ConfigurationError(
        "The storage connection string has neither AccountName and AccountKey nor SharedAccessSignature."
    )
