"""Azurite as all contract tests rely on it: it starts, the SDK reaches it, it stops, and it keeps its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.errors import ConfigurationError
from packages.durablehost.tests.eventually import eventually_blocking

storage_blob = pytest.importorskip("azure.storage.blob")
storage_queue = pytest.importorskip("azure.storage.queue")
tables = pytest.importorskip("azure.data.tables")


def test_the_sdks_reach_all_three_services(azurite: emulator.Azurite, hub_name: str) -> None:
    name = hub_name.lower()
    with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        blobs.create_container(name)
        assert name in [each.name for each in blobs.list_containers()]
    with storage_queue.QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        queues.create_queue(name)
        assert name in [each.name for each in queues.list_queues()]
    with tables.TableServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_table(hub_name)
        assert hub_name in [each.name for each in service.list_tables()]


@pytest.mark.azurite
def test_stored_data_survives_a_stop_and_a_second_start(tmp_path: Path) -> None:
    with (
        emulator.start(location=tmp_path, ports=emulator.free_ports()) as first,
        storage_queue.QueueClient.from_connection_string(first.connection_string, "kept") as queue,
    ):
        queue.create_queue()
        queue.send_message("hello")
    assert not emulator.listening(first.ports)

    with (
        emulator.start(location=tmp_path, ports=emulator.free_ports()) as second,
        storage_queue.QueueClient.from_connection_string(second.connection_string, "kept") as queue,
    ):
        assert queue.receive_message().content == "hello"


@pytest.mark.azurite
def test_a_second_emulator_on_the_same_ports_is_refused_and_the_first_stays(azurite: emulator.Azurite) -> None:
    with pytest.raises(ConfigurationError, match=str(azurite.ports.blob)):
        emulator.start(location=azurite.log_file.parent, ports=azurite.ports)

    assert emulator.is_answering(azurite.ports)


@pytest.mark.azurite
def test_stop_ends_the_process_and_may_be_repeated(tmp_path: Path) -> None:
    running = emulator.start(location=tmp_path, ports=emulator.free_ports())
    running.stop()
    running.stop()

    assert not running.is_running()
    assert eventually_blocking(lambda: not emulator.listening(running.ports))
