"""What a page in a browser can do with an Azurite: it can sign requests with the published key, and rebind its name."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient, generate_account_sas

from durablehost.emulator import azurite as emulator
from durablehost.emulator.azurite import ACCOUNT_KEY, ACCOUNT_NAME, Azurite, Ports

REBOUND = f"{ACCOUNT_NAME}.evil.example"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, azurite: Azurite) -> Iterator[tuple[Ports, str]]:
    """An Azurite with a key of its own, and its connection string."""
    key, location = emulator.new_key(), tmp_path_factory.mktemp("own")
    ports = emulator.free_ports()
    with emulator.start(location=location, ports=ports, accounts=emulator.accounts_with(key)):
        yield ports, ports.connection_string_with(key)


def prepare(connection_string: str, name: str) -> None:
    """Makes what a task hub has: a queue and a table."""
    with QueueServiceClient.from_connection_string(connection_string) as queues:
        queues.create_queue(name.lower())
    with TableServiceClient.from_connection_string(connection_string) as tables:
        tables.create_table(name)


def status_of(url: str, body: bytes | None = None, host: str | None = None) -> int:
    """The answer to a request that needs no preflight, signed in its query."""
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    signature = generate_account_sas(ACCOUNT_NAME, ACCOUNT_KEY, "sco", "rwdlaup", expiry, services="bqt")
    headers = {"Content-Type": "text/plain", "Accept": "application/json", **({"Host": host} if host else {})}
    request = urllib.request.Request(f"{url}?{signature}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def attack(ports: Ports, name: str) -> tuple[int, int]:
    """A message into a queue, from any page; the list of tables, under a name that points to this machine."""
    message = b"<QueueMessage><MessageText>e30=</MessageText></QueueMessage>"
    posted = status_of(f"{ports.queue_endpoint}/{name.lower()}/messages", message)
    read = status_of(f"http://{emulator.HOST}:{ports.table}/Tables", host=f"{REBOUND}:{ports.table}")
    return posted, read


@pytest.mark.azurite
def test_a_page_can_write_and_read_an_azurite_with_the_published_key(azurite: Azurite, hub_name: str) -> None:
    prepare(azurite.connection_string, hub_name)
    assert attack(azurite.ports, hub_name) == (201, 200)


@pytest.mark.azurite
def test_a_page_can_neither_write_nor_read_an_azurite_with_a_key_of_its_own(
    own: tuple[Ports, str], hub_name: str
) -> None:
    ports, connection_string = own
    prepare(connection_string, hub_name)
    assert attack(ports, hub_name) == (403, 403)
