"""Which storage accounts the settings name, for the console that can switch between their hubs."""

from __future__ import annotations

from durablehost.commands.hubs import storage_connections

OWN = {"Storage": "UseDevelopmentStorage=true"}


def account(name: str) -> str:
    return f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"


def test_the_own_account_is_first_and_other_settings_are_no_accounts() -> None:
    environment = {
        "PATH": "/bin:/usr/bin",
        "Production": account("prod"),
        "Bus": "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0",
        "Pair": "a=b",
        "Empty": "",
    }
    assert list(storage_connections(environment, "Storage", OWN)) == ["Storage", "Production"]


def test_an_account_that_several_settings_name_is_one() -> None:
    environment = {"A": account("prod"), "B": account("prod"), "C": "UseDevelopmentStorage=true"}
    assert list(storage_connections(environment, "Storage", OWN)) == ["Storage", "A"]


def test_a_connection_by_identity_is_found_by_any_of_its_members() -> None:
    environment = {"Audit__accountName": "audit", "Other:tableServiceUri": "https://other.table.core.windows.net"}
    # The second lacks the addresses of blobs and queues.
    assert list(storage_connections(environment, "Storage", OWN)) == ["Storage", "Audit"]
