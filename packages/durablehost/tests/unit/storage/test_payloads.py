"""Payloads in blobs: compressed text comes back whole, and a compression bomb is stopped at the limit."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from durablehost.errors import PayloadTooLarge, StorageError
from durablehost.storage.rows import payloads
from durablehost.storage.rows.payloads import compress, decompress

LIMIT = 3 * 1024 * 1024


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_PAYLOAD_BYTES", LIMIT)


@pytest.mark.parametrize("text", ["", "x", "Zoë", "\ud83d", "😀" * 1_000_000])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert decompress("blob", compress("blob", text)) == text


def test_plain_content_and_several_members_are_read() -> None:
    assert decompress("blob", b"plain") == "plain"
    assert decompress("blob", gzip.compress(b"one ") + gzip.compress(b"two")) == "one two"


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8bnonsense", gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"\xff"), b"\xff"],
    ids=["no gzip", "cut gzip", "no UTF-8 in gzip", "no UTF-8"],
)
def test_content_that_is_not_text_is_an_error_that_names_its_blob(data: bytes) -> None:
    with pytest.raises(StorageError, match="The blob folder/blob cannot be read"):
        decompress("folder/blob", data)


@pytest.mark.usefixtures("small_limit")
def test_a_text_of_the_limit_is_stored_and_one_byte_more_is_refused() -> None:
    assert len(decompress("blob", compress("blob", "x" * LIMIT))) == LIMIT
    with pytest.raises(PayloadTooLarge, match=f"The payload folder/blob is larger than {LIMIT} bytes"):
        compress("folder/blob", "x" * (LIMIT - 1) + "ë")


@pytest.mark.usefixtures("small_limit")
def test_a_compression_bomb_is_decompressed_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(100 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=f"larger than {LIMIT} bytes"):
            decompress("blob", bomb)
        assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    finally:
        tracemalloc.stop()
