"""How requests are signed, as far as the emulator does not check it: it checks only signatures of keys."""

from __future__ import annotations

import time

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential

from durablehost.storage.account.signing import IdentitySigner, QueueKeySigner, Request, SignatureSigner, TableKeySigner

CREDENTIAL = AzureNamedKeyCredential("shop", "a2V5")
DATE = "Mon, 05 Jan 2026 10:00:00 GMT"


class Identity:
    """Tokens that are valid for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-{len(self.scopes)}", int(time.time() + self.seconds))


async def authorization(signer: IdentitySigner) -> str:
    request = Request(method="GET", path="queue")
    await signer.sign(request)
    return request.headers["Authorization"]


async def test_a_token_is_asked_for_once_while_it_is_good() -> None:
    identity = Identity(3600)
    signer = IdentitySigner(identity)  # type: ignore[arg-type]
    assert [await authorization(signer) for _ in range(3)] == ["Bearer token-1"] * 3
    assert identity.scopes == ["https://storage.azure.com/.default"]


async def test_a_token_is_replaced_before_it_runs_out() -> None:
    signer = IdentitySigner(Identity(60))  # type: ignore[arg-type]
    assert [await authorization(signer) for _ in range(2)] == ["Bearer token-1", "Bearer token-2"]


def test_the_queue_service_signs_everything_and_counts_no_body_as_nothing() -> None:
    signer = QueueKeySigner(CREDENTIAL, "https://shop.queue.core.windows.net")
    request = Request(
        method="PUT",
        path="queue/messages/a%2Fb",
        query={"visibilitytimeout": "5", "popreceipt": "a+b="},
        headers={"x-ms-version": "2019-02-02", "x-ms-date": DATE},
    )
    assert signer.string_to_sign(request) == (
        f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{DATE}\nx-ms-version:2019-02-02\n"
        "/shop/queue/messages/a%2Fb\npopreceipt:a+b=\nvisibilitytimeout:5"
    )


def test_the_table_service_signs_four_parts_and_knows_the_emulators_account_by_its_path() -> None:
    signer = TableKeySigner(CREDENTIAL, "http://127.0.0.1:10002/shop")
    request = Request(method="POST", path="$batch", headers={"x-ms-date": DATE, "Content-Type": "multipart/mixed"})
    assert signer.string_to_sign(request) == f"POST\n\nmultipart/mixed\n{DATE}\n/shop/shop/$batch"


@pytest.mark.parametrize("text", ["sv=2024&sig=abc%3D", "?sv=2024&sig=abc%3D"])
async def test_a_shared_access_signature_is_encoded_once(text: str) -> None:
    request = Request(method="GET", path="queue", query={"comp": "list"})
    await SignatureSigner(AzureSasCredential(text.lstrip("?"))).sign(request)
    assert request.query == {"comp": "list", "sv": "2024", "sig": "abc="}
