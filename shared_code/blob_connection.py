"""Makes the options by which Polars and the storage SDK read the blobs of an account, from an app setting.

The setting has the forms every Functions connection has: a connection string (key, shared access signature, emulator),
or, for an identity, a prefix of `__accountName` / `__blobServiceUri` settings. The option names
are those of the object store that Polars is built on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

# The storage of the host, which every app has.
HOST_CONNECTION: Final = "AzureWebJobsStorage"

# Published with the emulator, the same on every machine; no secret.
_EMULATOR_ACCOUNT: Final = "devstoreaccount1"
_EMULATOR_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATOR_BLOB_PORT: Final = 10000
_TOKEN_SCOPE: Final = "https://storage.azure.com/.default"
# Of the storage service, for plain requests.
_SERVICE_VERSION: Final = "2021-12-02"
# By default the object store retries for minutes; the retries of the activity would come too late.
_RETRY_OPTIONS: Final = {"max_retries": 2, "retry_timeout_ms": 20_000}
_SDK_OPTIONS: Final[dict[str, Any]] = {
    **{"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0},  # a second each
    **{"connection_timeout": 10, "read_timeout": 20},
}

StorageOptions = dict[str, str | int]
CredentialProvider = Callable[[], tuple[dict[str, str], int | None]]


class ConnectionSettingError(Exception):
    """The setting is missing or cannot be read; the message names it and never contains its value."""


class NoToken(ConnectionSettingError):
    """The identity gives no token, perhaps only at the moment."""


@dataclass(frozen=True, kw_only=True)
class BlobConnection:
    """Keyword arguments of a Polars scan; `secrets` must not show in any message."""

    storage_options: StorageOptions = field(repr=False)
    credential_provider: CredentialProvider | None = None
    # As the storage SDK takes it: a key, a signature, a token credential, or nothing for public containers.
    credential: Any = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def container(self, name: str) -> Any:
        """The SDK's client of a container; to be closed."""
        # Imported here: it takes a third of a second, and only az:// locations need it.
        from azure.storage.blob import ContainerClient

        endpoint = str(self.storage_options["azure_endpoint"])
        return ContainerClient(endpoint, name, credential=self.credential, **_SDK_OPTIONS)

    def plain_access(self, container: str) -> tuple[str, dict[str, str]]:
        """The query and the headers with which a plain request may read a blob of the container, for an hour.

        Raises:
            NoToken: the identity gives none.
            ValueError: the key is none.
        """
        headers = {"x-ms-version": _SERVICE_VERSION}
        if self.credential_provider:
            token = self.credential_provider()[0]["bearer_token"]
            return "", {**headers, "Authorization": f"Bearer {token}"}
        if isinstance(self.credential, str):
            return f"?{self.credential}", headers
        if self.credential:
            return f"?{_signature(container, **self.credential)}", headers
        return "", headers


def _signature(container: str, account_name: str, account_key: str) -> str:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return str(
        generate_container_sas(
            account_name,
            container,
            account_key=account_key,
            permission=ContainerSasPermissions(read=True),
            expiry=datetime.now(timezone.utc) + timedelta(hours=1),
        )
    )


def connect_by(naming_setting: str, environment: Mapping[str, str]) -> BlobConnection:
    """The connection of the setting that app setting `naming_setting` names, by default that of the host.

    Raises:
        ConnectionSettingError: as `connect`, or the setting is a connection string and not a name.
    """
    setting = environment.get(naming_setting, "").strip() or HOST_CONNECTION
    if "=" in setting:
        raise ConnectionSettingError(
            f"the app setting {naming_setting} must be the name of a setting, not a connection string"
        )
    return connect(setting, environment)


def connect(setting: str, environment: Mapping[str, str]) -> BlobConnection:
    """The connection that app setting `setting` describes.

    Raises:
        ConnectionSettingError: there is no such setting, or it lacks what it needs.
    """
    text = environment.get(setting, "").strip()
    if text:
        return _from_connection_string(setting, text)
    account = environment.get(f"{setting}__accountName", "").strip()
    endpoint = environment.get(f"{setting}__blobServiceUri", "").strip()
    if account or endpoint:
        return _from_identity(setting, account, endpoint, environment)
    raise ConnectionSettingError(
        f"the app setting {setting} is missing: it needs a storage connection string, or {setting}__accountName"
    )


def _from_connection_string(setting: str, text: str) -> BlobConnection:
    parts = _parse(setting, text)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return _with_key(_EMULATOR_ACCOUNT, _EMULATOR_KEY, _emulator_endpoint(parts))
    account, key = parts.get("accountname", ""), parts.get("accountkey", "")
    signature = parts.get("sharedaccesssignature", "").removeprefix("?")
    endpoint = parts.get("blobendpoint", "") or _public_endpoint(account, parts)
    if not endpoint or not (key or signature or "accountname" not in parts):
        raise ConnectionSettingError(
            f"the app setting {setting} needs AccountName or BlobEndpoint, and AccountKey or SharedAccessSignature"
            " (BlobEndpoint alone is for public containers)"
        )
    _refuse_credentials(endpoint, f"BlobEndpoint in the app setting {setting}")
    account = account or _account_in(endpoint)
    if key:
        return _with_key(account, key, endpoint)
    return _with_signature(account, signature, endpoint) if signature else _without_credential(account, endpoint)


def _refuse_credentials(endpoint: str, place: str) -> None:
    if "@" in endpoint.partition("://")[2].partition("/")[0]:
        raise ConnectionSettingError(f"{place} has a user name or password: remove it")
    if "?" in endpoint:
        raise ConnectionSettingError(
            f"{place} has a query: remove it; a signature is for SharedAccessSignature in a connection string"
        )


def _parse(setting: str, text: str) -> dict[str, str]:
    parts = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConnectionSettingError(f"the app setting {setting} is not a connection string (Name=value;...)")
        parts[name.strip().lower()] = value.strip()
    return parts


def _emulator_endpoint(parts: Mapping[str, str]) -> str:
    host = parts.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
    return f"{host}:{_EMULATOR_BLOB_PORT}/{_EMULATOR_ACCOUNT}"


def _public_endpoint(account: str, parts: Mapping[str, str]) -> str:
    if not account:
        return ""
    scheme, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
    return f"{scheme}://{account}.blob.{suffix}"


def _account_in(endpoint: str) -> str:
    """The account of `https://account.blob...`, or of the emulator's `http://host:port/account`."""
    host, _, path = endpoint.partition("://")[2].partition("/")
    return path.strip("/") or host.partition(".")[0]


def _options(account: str, endpoint: str, **credentials: str) -> StorageOptions:
    options: StorageOptions = {
        "account_name": account,
        "azure_endpoint": endpoint.rstrip("/"),
        **_RETRY_OPTIONS,
        **credentials,
    }
    # Plain HTTP is for the emulator; the endpoint of a real account is https.
    return {**options, "allow_http": "true"} if endpoint.lower().startswith("http://") else options


def _with_key(account: str, key: str, endpoint: str) -> BlobConnection:
    return BlobConnection(
        storage_options=_options(account, endpoint, account_key=key),
        credential={"account_name": account, "account_key": key},
        secrets=(key,),
    )


def _with_signature(account: str, signature: str, endpoint: str) -> BlobConnection:
    signed = [part.partition("=")[2] for part in signature.split("&") if part.startswith("sig=")]
    return BlobConnection(
        storage_options=_options(account, endpoint, sas_key=signature),
        credential=signature,
        secrets=(signature, *signed),
    )


def _without_credential(account: str, endpoint: str) -> BlobConnection:
    return BlobConnection(storage_options=_options(account, endpoint, skip_signature="true"))


def _from_identity(setting: str, account: str, endpoint: str, environment: Mapping[str, str]) -> BlobConnection:
    _refuse_credentials(endpoint, f"the app setting {setting}__blobServiceUri")
    endpoint = endpoint or f"https://{account}.blob.core.windows.net"
    client_id = environment.get(f"{setting}__clientId") or None
    is_managed = environment.get(f"{setting}__credential", "").lower() == "managedidentity"
    credential = _identity(client_id, is_managed)
    return BlobConnection(
        storage_options=_options(account or _account_in(endpoint), endpoint),
        credential_provider=_token_provider(credential),
        credential=credential,
    )


@lru_cache(maxsize=8)
def _identity(client_id: str | None, is_managed: bool) -> Any:
    """One credential per identity and process, because the credential caches the tokens."""
    # Imported here: it takes half a second, and only identity-based connections need it.
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    if is_managed:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def _token_provider(credential: Any) -> CredentialProvider:
    def provide() -> tuple[dict[str, str], int | None]:
        try:
            token = credential.get_token(_TOKEN_SCOPE)
        except Exception as error:
            raise NoToken(f"no token for the storage account: {error}") from error
        return {"bearer_token": token.token}, token.expires_on

    return provide
