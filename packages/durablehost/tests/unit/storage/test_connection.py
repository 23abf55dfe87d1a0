"""Storage connections as app settings describe them."""

from __future__ import annotations

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from durablehost.errors import ConfigurationError
from durablehost.storage.account.connection import (
    ConnectionString,
    Endpoints,
    IdentityConnection,
    connection_endpoints,
    connection_from_settings,
    credential_of,
    is_development_storage,
)

EXPLICIT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:20000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:20001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:20002/devstoreaccount1;"
)
IN_AZURE = "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5PT0=;EndpointSuffix=core.chinacloudapi.cn"
BY_SIGNATURE = (
    "BlobEndpoint=https://shop.blob.core.windows.net/;QueueEndpoint=https://shop.queue.core.windows.net;"
    "TableEndpoint=https://shop.table.core.windows.net;SharedAccessSignature=?sv=2024&sig=abc%3D"
)


def test_development_storage_is_azurite_on_its_own_ports() -> None:
    endpoints = connection_endpoints("UseDevelopmentStorage=true")
    assert endpoints == Endpoints(
        blob="http://127.0.0.1:10000/devstoreaccount1",
        queue="http://127.0.0.1:10001/devstoreaccount1",
        table="http://127.0.0.1:10002/devstoreaccount1",
    )
    assert endpoints.is_emulator


def test_a_proxy_of_development_storage_replaces_its_host() -> None:
    endpoints = connection_endpoints("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/")
    assert endpoints.queue == "http://azurite:10001/devstoreaccount1"
    assert not endpoints.is_emulator


@pytest.mark.parametrize(
    ("text", "is_it"),
    [
        ("UseDevelopmentStorage=true", True),
        ("usedevelopmentstorage=True;", True),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", False),
        ("UseDevelopmentStorage=false", False),
        (EXPLICIT, False),
        ("UseDevelopmentStorage", False),
        ("", False),
    ],
)
def test_development_storage_is_recognised(text: str, is_it: bool) -> None:
    assert is_development_storage(text) is is_it


def test_explicit_endpoints_are_taken_as_they_are() -> None:
    endpoints = connection_endpoints(EXPLICIT)
    assert endpoints.queue == "http://127.0.0.1:20001/devstoreaccount1"
    assert endpoints.is_emulator


def test_an_account_has_its_endpoints_below_the_suffix() -> None:
    endpoints = connection_endpoints(IN_AZURE)
    assert endpoints.table == "https://shop.table.core.chinacloudapi.cn"
    assert not endpoints.is_emulator


def test_a_key_may_contain_equals_signs() -> None:
    credential = credential_of(IN_AZURE)
    assert isinstance(credential, AzureNamedKeyCredential)
    assert (credential.named_key.name, credential.named_key.key) == ("shop", "a2V5PT0=")


def test_a_shared_access_signature_is_a_credential() -> None:
    credential = credential_of(BY_SIGNATURE)
    assert isinstance(credential, AzureSasCredential)
    assert credential.signature == "sv=2024&sig=abc%3D"
    assert connection_endpoints(BY_SIGNATURE).blob == "https://shop.blob.core.windows.net"


@pytest.mark.parametrize("text", ["nonsense", "AccountKey=a2V5", "AccountName=shop"])
def test_an_incomplete_connection_string_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        connection_from_settings({"Storage": text}, "Storage")


@pytest.mark.parametrize("endpoint", ["http://user:pass@127.0.0.1:10000/a", "https://pass@shop.example", "http://@a"])
def test_an_endpoint_with_a_password_is_an_error_that_does_not_repeat_it(endpoint: str) -> None:
    for name, setting in (
        ("BlobEndpoint", {"Storage": EXPLICIT.replace("http://127.0.0.1:20000/devstoreaccount1", endpoint)}),
        ("queueServiceUri", {"Storage__accountName": "shop", "Storage__queueServiceUri": endpoint}),
    ):
        with pytest.raises(ConfigurationError, match=f"{name} contains a user name or password") as refused:
            connection_from_settings(setting, "Storage")
        assert "pass@" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:10000", "ftp://shop", "http://", "http://a:b", "http://a:70000", "http://[::1", "http://a b/c",
        "http://a..b", f"http://{'a' * 64}",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_a_configuration_error(endpoint: str) -> None:
    text = EXPLICIT.replace("http://127.0.0.1:20001/devstoreaccount1", endpoint)
    with pytest.raises(ConfigurationError, match=r'"Storage" is wrong\. QueueEndpoint is not an address such as'):
        connection_from_settings({"Storage": text}, "Storage")


@pytest.mark.parametrize(("old", "new"), [("https", "gopher"), ("=shop", "=my shop"), ("=shop", "=" + "a" * 70)])
def test_an_account_that_makes_no_address_is_a_configuration_error(old: str, new: str) -> None:
    with pytest.raises(ConfigurationError, match="AccountName and EndpointSuffix make is not an address"):
        connection_from_settings({"Storage": IN_AZURE.replace(old, new)}, "Storage")


def test_a_key_that_is_cut_off_is_a_configuration_error_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigurationError, match="AccountKey is not Base64") as refused:
        connection_from_settings({"Storage": "AccountName=shop;AccountKey=abcde"}, "Storage")
    assert "abcde" not in str(refused.value)


def test_a_missing_connection_is_an_error_with_the_setting_to_add() -> None:
    with pytest.raises(ConfigurationError, match='"AzureWebJobsStorage": "UseDevelopmentStorage=true"'):
        connection_from_settings({}, "AzureWebJobsStorage")


def test_an_account_name_makes_an_identity_connection() -> None:
    connection = connection_from_settings(
        {"AzureWebJobsStorage__accountName": "shop", "AzureWebJobsStorage__clientId": "11-22"}, "AzureWebJobsStorage"
    )
    assert isinstance(connection, IdentityConnection)
    assert connection.endpoints.queue == "https://shop.queue.core.windows.net"
    assert connection.client_id == "11-22"


def test_service_uris_make_an_identity_connection() -> None:
    settings = {f"Storage__{kind}ServiceUri": f"https://shop.{kind}.example/" for kind in ("blob", "queue", "table")}
    connection = connection_from_settings(settings, "Storage")
    assert isinstance(connection, IdentityConnection)
    assert connection.endpoints.table == "https://shop.table.example"


def test_an_identity_needs_https() -> None:
    settings = {f"X__{kind}ServiceUri": f"http://a.{kind}.example" for kind in ("blob", "queue", "table")}
    with pytest.raises(
        ConfigurationError, match=r'X__blobServiceUri must begin with https://.*set "X" to a connection'
    ):
        connection_from_settings(settings, "X")


def test_an_identity_connection_without_one_service_names_the_missing_key() -> None:
    settings = {f"Storage__{kind}ServiceUri": f"https://shop.{kind}.example/" for kind in ("blob", "queue")}
    with pytest.raises(ConfigurationError, match="Storage__tableServiceUri"):
        connection_from_settings(settings, "Storage")


def test_a_connection_string_does_not_show_its_key() -> None:
    assert "a2V5" not in repr(ConnectionString(IN_AZURE))
