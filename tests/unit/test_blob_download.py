"""Plain requests for blobs: what they need of a connection and return, and that no signature shows anywhere."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from shared_code.blob_connection import BlobConnection, StorageOptions, connect
from shared_code.blob_download import downloading
from shared_code.files import ReadingsFile, StorageError, raise_refusal
from shared_code.location import parse_location

ENDPOINT = "http://127.0.0.1:1/acct"
FILE = ReadingsFile(path="az://readings/x.parquet", version="0x1", size=7)
LOCATION = parse_location("az://readings/*.parquet")


@pytest.mark.parametrize(
    ("connection", "query"),
    [
        (f"BlobEndpoint={ENDPOINT};SharedAccessSignature=sv=1&sig=secret", "?sv=1&sig=secret"),
        (f"BlobEndpoint={ENDPOINT}", ""),
    ],
)
def test_a_signature_is_the_query_and_a_public_container_needs_none(connection: str, query: str) -> None:
    assert connect("X", {"X": connection}).plain_access("readings")[0] == query


def test_a_key_signs_for_one_container() -> None:
    connection = connect("X", {"X": f"AccountName=acct;AccountKey=c2VjcmV0;BlobEndpoint={ENDPOINT}"})
    query, _ = connection.plain_access("readings")
    assert "&sr=c&" in query
    assert "&sp=r&" in query
    assert "c2VjcmV0" not in query


def test_an_identity_sends_its_token() -> None:
    options: StorageOptions = {"azure_endpoint": ENDPOINT}
    connection = BlobConnection(storage_options=options, credential_provider=lambda: ({"bearer_token": "t"}, None))
    query, headers = connection.plain_access("readings")
    assert (query, headers["Authorization"]) == ("", "Bearer t")
    assert headers["x-ms-version"] >= "2017-11-09"  # the first version that knows tokens


def test_a_service_that_is_gone_is_named_without_the_signature(caplog: pytest.LogCaptureFixture) -> None:
    connection = connect("X", {"X": f"BlobEndpoint={ENDPOINT};SharedAccessSignature=sv=1&sig=secret"})
    with caplog.at_level(logging.DEBUG), downloading(LOCATION, connection) as download:
        with pytest.raises(StorageError, match="cannot be reached") as caught:
            download(FILE, 7)

    assert not caught.value.is_permanent
    assert "secret" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "is_permanent"),
    [
        (403, "AuthorizationFailure", True),
        (400, None, True),
        (503, "ServerBusy", False),
        (412, "ConditionNotMet", False),
    ],
)
def test_a_refusal_is_permanent_if_it_would_come_again(status: int, code: str | None, is_permanent: bool) -> None:
    with pytest.raises(StorageError) as caught:
        raise_refusal(status, code)
    assert caught.value.is_permanent is is_permanent


def test_a_blob_that_is_gone_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        raise_refusal(404, "BlobNotFound")


@contextmanager
def answering(content: bytes, **headers: str) -> Iterator[str]:
    """The endpoint of a storage service that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(206)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/acct"
        finally:
            server.shutdown()
            thread.join()


def downloaded(endpoint: str, size: int = FILE.size) -> bytes:
    with downloading(LOCATION, connect("X", {"X": f"BlobEndpoint={endpoint}"})) as download:
        return download(replace(FILE, size=size), size)


def test_a_blob_that_says_it_is_compressed_is_downloaded_as_it_is_stored() -> None:
    stored = gzip.compress(b"readings" * 1_000_000)
    with answering(stored, Content_Encoding="gzip") as endpoint:
        assert downloaded(endpoint, len(stored)) == stored


@pytest.mark.parametrize("content", [b"", b"short", b"too long"])
def test_an_answer_of_another_length_is_no_blob_and_may_be_whole_next_time(content: bytes) -> None:
    with answering(content) as endpoint, pytest.raises(StorageError, match="did not answer with 7 bytes") as caught:
        downloaded(endpoint)
    assert not caught.value.is_permanent


def test_an_answer_that_breaks_off_may_be_whole_next_time() -> None:
    with answering(b"short", Content_Length="7") as endpoint, pytest.raises(StorageError) as caught:
        downloaded(endpoint)
    assert not caught.value.is_permanent
