"""The forms a storage setting may have."""

from __future__ import annotations

import pytest

from shared_code.blob_connection import ConnectionSettingError, connect

EMULATOR_KEY_START = "Eby8vdM02xNOcq"


def options(text: str) -> dict[str, str | int]:
    return connect("Storage", {"Storage": text}).storage_options


def test_development_storage_is_the_emulator_on_its_usual_port() -> None:
    found = options("UseDevelopmentStorage=true")

    assert found["account_name"] == "devstoreaccount1"
    assert str(found["account_key"]).startswith(EMULATOR_KEY_START)
    assert found["azure_endpoint"] == "http://127.0.0.1:10000/devstoreaccount1"
    assert found["allow_http"] == "true"


def test_development_storage_may_be_on_another_host() -> None:
    found = options("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite")

    assert found["azure_endpoint"] == "http://azurite:10000/devstoreaccount1"


def test_an_explicit_endpoint_is_used_as_it_is() -> None:
    found = options("AccountName=a;AccountKey=k==;BlobEndpoint=http://127.0.0.1:20000/a/;QueueEndpoint=http://x/")

    assert (found["azure_endpoint"], found["account_key"]) == ("http://127.0.0.1:20000/a", "k==")


def test_an_account_of_azure_is_reached_by_https_only() -> None:
    found = options("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn")

    assert found["azure_endpoint"] == "https://a.blob.core.chinacloudapi.cn"
    assert "allow_http" not in found


@pytest.mark.parametrize("endpoint", ["https://a.blob.core.windows.net/", "http://127.0.0.1:20000/a"])
def test_a_shared_access_signature_takes_the_account_from_the_endpoint(endpoint: str) -> None:
    connection = connect("S", {"S": f"BlobEndpoint={endpoint};SharedAccessSignature=?sv=1&sig=abc%3D"})

    assert connection.storage_options["account_name"] == "a"
    assert connection.storage_options["sas_key"] == "sv=1&sig=abc%3D"
    assert "abc%3D" in connection.secrets
    assert "abc%3D" not in repr(connection)


@pytest.mark.parametrize("text", ["", "nonsense", "AccountName=a", "AccountKey=k", "UseDevelopmentStorage=false"])
def test_a_setting_that_lacks_something_is_named(text: str) -> None:
    with pytest.raises(ConnectionSettingError, match="app setting Storage "):
        options(text)


def test_an_endpoint_alone_is_that_of_public_containers() -> None:
    connection = connect("S", {"S": "BlobEndpoint=https://a.blob.core.windows.net"})

    assert connection.credential is None
    assert connection.storage_options["skip_signature"] == "true"


def test_an_error_about_a_setting_does_not_show_its_value() -> None:
    with pytest.raises(ConnectionSettingError) as caught:
        options("AccountKey=topsecret;whatever")

    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://user:topsecret@127.0.0.1:10000/a",
        "http://topsecret@shop.example/a",
        "https://a.test/?sv=1&sig=topsecret",
    ],
)
def test_an_endpoint_with_a_credential_is_an_error_that_does_not_show_it(endpoint: str) -> None:
    for text, setting in (
        (f"BlobEndpoint={endpoint};AccountName=a;AccountKey=k", "BlobEndpoint in the app setting S has"),
        (f"BlobEndpoint={endpoint}", "BlobEndpoint in the app setting S has"),
        ("", "the app setting S__blobServiceUri has"),
    ):
        with pytest.raises(ConnectionSettingError, match=setting) as caught:
            connect("S", {"S": text, "S__blobServiceUri": endpoint})
        assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"S__accountName": "a"}, {"S__blobServiceUri": "https://a.blob.core.windows.net"}],
)
def test_an_identity_takes_the_place_of_a_key(settings: dict[str, str]) -> None:
    pytest.importorskip("azure.identity")

    connection = connect("S", {**settings, "S__credential": "managedidentity", "S__clientId": "id"})

    assert connection.credential_provider is not None
    assert connection.storage_options["account_name"] == "a"
    assert connection.storage_options["azure_endpoint"] == "https://a.blob.core.windows.net"
    assert "account_key" not in connection.storage_options
