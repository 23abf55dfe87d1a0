"""References to the blobs of large inputs and outputs, as the table of instances has them."""

from __future__ import annotations

import pytest
from azure.storage.blob.aio import ContainerClient

from durablehost.storage.rows.payloads import PayloadStore

AZURITE = "http://127.0.0.1:20000/devstoreaccount1"
IN_AZURE = "https://shop.blob.core.windows.net"


def store(account_url: str) -> PayloadStore:
    return PayloadStore(ContainerClient(account_url, "hub-largemessages"))


@pytest.mark.parametrize("account", [AZURITE, "http://localhost:1/a", "http://[::1]:1/a", IN_AZURE])
async def test_a_reference_leads_to_its_blob(account: str) -> None:
    payloads = store(account)
    assert payloads.name_of(payloads.url_of("a b/é.json.gz")) == "a b/é.json.gz"


async def test_a_reference_holds_after_azurite_has_got_other_ports() -> None:
    assert store(AZURITE).name_of(store(AZURITE.replace("20000", "10000")).url_of("a/b")) == "a/b"


@pytest.mark.parametrize(
    ("account", "text"),
    [
        (AZURITE, "http://127.0.0.1:20000/devstoreaccount1/other-largemessages/a"),
        (AZURITE, "http://127.0.0.1:20000/another/hub-largemessages/a"),
        (AZURITE, "http://evil.example:20000/devstoreaccount1/hub-largemessages/a"),
        (AZURITE, "see http://127.0.0.1:20000/devstoreaccount1/hub-largemessages/a"),
        (IN_AZURE, "https://other.blob.core.windows.net/hub-largemessages/a"),
    ],
)
async def test_another_text_is_no_reference(account: str, text: str) -> None:
    assert store(account).name_of(text) is None
