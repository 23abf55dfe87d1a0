"""`durablehost console` on real storage: with no app and no host, and without a trace if it only reads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azure.data.tables", reason="reads the storage, which needs requirements-dev.txt")

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import APPS, Answer, call, environment_of, free_port
from packages.durablehost.tests.e2e.test_durable_verbs import Verbs
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.azurite

CONNECTION = "MyStorage"
MANAGEMENT = "/runtime/webhooks/durabletask"


@dataclass(frozen=True)
class Served:
    """A running `durablehost console`."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> Any:
        answer = call("GET", f"{self.url}/console/api/{path}")
        assert answer.status == 200, answer.body
        return answer.document

    def manage(self, method: str, path: str, body: object = None) -> Answer:
        return call(method, f"{self.url}{MANAGEMENT}{path}", body, headers={"Content-Type": "application/json"})

    def is_serving(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            return call("GET", f"{self.url}/console").status == 200
        except OSError:
            return False


def command(hub_name: str, port: int, *options: str) -> list[str]:
    hub = ["--connection-string-setting", CONNECTION, "--task-hub-name", hub_name]
    return [sys.executable, "-m", "durablehost", "console", "--port", str(port), "--no-azurite", *hub, *options]


@contextmanager
def served(storage: str, hub_name: str, folder: Path, *options: str, within: Sequence[str] = ()) -> Iterator[Served]:
    port = free_port()
    with subprocess.Popen(
        [*within, *command(hub_name, port, *options)],
        env=environment_of(None, None, {CONNECTION: storage}),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=sys.platform != "win32",
    ) as process:
        try:
            console = Served(process, f"http://localhost:{port}")
            eventually_blocking(console.is_serving)
            yield console
        finally:
            process.kill()


def contents(storage: str, hub_name: str) -> Any:
    """Everything of the hub that a host or a client could have changed; other hubs have hosts, which change them."""

    def is_of_hub(name: str) -> bool:
        return name.lower().startswith(hub_name.lower())

    with (
        TableServiceClient.from_connection_string(storage) as tables,
        QueueServiceClient.from_connection_string(storage) as queues,
        BlobServiceClient.from_connection_string(storage) as blobs,
    ):
        return (
            {
                table.name: [
                    (dict(row), row.metadata["etag"]) for row in tables.get_table_client(table.name).list_entities()
                ]
                for table in tables.list_tables()
                if is_of_hub(table.name)
            },
            {
                queue.name: [
                    (message.id, message.dequeue_count)
                    for message in queues.get_queue_client(queue.name).peek_messages(max_messages=32)
                ]
                for queue in queues.list_queues()
                if is_of_hub(queue.name)
            },
            {
                container.name: [
                    (blob.name, blob.etag, blob.lease.state)
                    for blob in blobs.get_container_client(container.name).list_blobs()
                ]
                for container in blobs.list_containers()
                if is_of_hub(container.name)
            },
        )


def test_a_hub_is_read_with_no_app_and_no_host_and_nothing_in_the_storage_changes(
    azurite: Azurite, hub_name: str, tmp_path: Path
) -> None:
    storage = azurite.connection_string
    verbs = Verbs(storage, hub_name)
    assert verbs("start-new", "--function-name", "Anything", "--id", "run", "--input", "17").code == 0
    before = contents(storage, hub_name)
    assert all(before)
    with served(storage, hub_name, tmp_path) as console:
        hub = console.get("hub")
        assert (hub["hub"], hub["actions"], hub["runs"], hub["orchestrators"]) == (hub_name, False, False, [])
        assert [row["id"] for row in console.get("instances")["instances"]] == ["run"]
        assert console.get("instances/run")["status"] == "Pending"
        assert console.get("instances/run/history") == {"entries": []}
        assert "no host" in console.get("instances/run/explanation")["text"].lower()
        assert console.get("instances/run/logs") == {"isKept": False, "lines": [], "logged": 0}
        refused = console.manage("POST", "/instances/run/terminate")
        assert (refused.status, b"--allow-actions" in refused.body) == (403, True)
        assert console.manage("GET", "/instances").status == 403
        assert call("GET", f"{console.url}/admin/host/status").status == 404
    assert contents(storage, hub_name) == before


def test_a_hub_that_does_not_exist_is_empty_and_is_not_created(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    with served(azurite.connection_string, hub_name, tmp_path) as console:
        assert console.get("instances") == {"instances": [], "continuation": None}
        assert call("GET", f"{console.url}/console/api/instances/run").status == 404
    assert contents(azurite.connection_string, hub_name) == ({}, {}, {})


def test_actions_on_a_hub_that_does_not_exist_are_refused_at_the_start(
    azurite: Azurite, hub_name: str, tmp_path: Path
) -> None:
    environment = environment_of(None, None, {CONNECTION: azurite.connection_string})
    refused = command(hub_name, free_port(), "--allow-actions")
    done = subprocess.run(refused, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"There is no task hub '{hub_name}' in this storage to act on." in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(azurite.connection_string, hub_name) == ({}, {}, {})


def test_the_other_hubs_of_the_account_are_listed_and_read(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    storage, other = azurite.connection_string, f"{hub_name}Other"
    for name, instance_id in ((hub_name, "mine"), (other, "theirs")):
        assert Verbs(storage, name)("start-new", "--function-name", "Anything", "--id", instance_id).code == 0
    before = contents(storage, hub_name)
    with served(storage, hub_name, tmp_path, "--allow-actions") as console:
        (account,) = [each for each in console.get("hubs")["accounts"] if each["connection"] == CONNECTION]
        assert {hub_name, other} <= set(account["hubs"])
        names = f"taskHub={other}&connection={CONNECTION}"
        hub = console.get(f"hub?{names}")
        assert (hub["hub"], hub["connection"], hub["actions"]) == (other, CONNECTION, False)
        assert [row["id"] for row in console.get(f"instances?{names}")["instances"]] == ["theirs"]
        assert [row["id"] for row in console.get("instances")["instances"]] == ["mine"]
        assert console.manage("POST", f"/instances/theirs/terminate?{names}").status == 501
        unknown = f"{console.url}/console/api/hub?taskHub={hub_name}None&connection={CONNECTION}"
        assert call("GET", unknown).status == 404
    assert contents(storage, hub_name) == before


def test_pages_of_others_get_nothing(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    assert Verbs(azurite.connection_string, hub_name)("start-new", "--function-name", "ask").code == 0
    foreign: list[dict[str, str]] = [
        {"Origin": "https://evil.test"},
        {"Host": "rebound.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Purpose": "prefetch"},
    ]
    with served(azurite.connection_string, hub_name, tmp_path, "--allow-actions") as console:
        for headers in foreign:
            for path in ("/console/api/instances", "/console", f"{MANAGEMENT}/instances", "/"):
                answer = call("GET", console.url + path, headers=headers)
                assert answer.status == 403, (headers, path)


def test_actions_are_stored_and_the_next_host_acts_on_them(
    running_host: RunningHost, azurite: Azurite, hub_name: str, tmp_path: Path
) -> None:
    assert Verbs(azurite.connection_string, hub_name)("start-new", "--function-name", "ask", "--id", "other").code == 0
    with served(azurite.connection_string, hub_name, tmp_path, "--allow-actions") as console:
        assert console.get("hub")["actions"] is True
        assert console.manage("POST", "/orchestrators/ask/mine").status == 202
        assert console.manage("POST", "/instances/other/terminate?reason=enough").status == 202
        assert console.manage("POST", "/entities/counter/a?op=add", "5").status == 202
        with running_host(APPS / "entities"):
            eventually_blocking(lambda: console.get("instances/other")["status"] == "Terminated")
            eventually_blocking(lambda: console.get("instances/mine")["status"] != "Pending")
            eventually_blocking(lambda: console.manage("GET", "/entities/counter/a").body == b"5")
        assert console.manage("DELETE", "/instances/other").status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C reaches no other process group there")
def test_ctrl_c_is_the_way_to_end_it(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    other = f"{hub_name}Other"
    assert Verbs(azurite.connection_string, other)("start-new", "--function-name", "ask").code == 0
    with served(azurite.connection_string, hub_name, tmp_path) as console:
        # Its connections end with the console, too.
        assert console.get(f"hub?taskHub={other}&connection={CONNECTION}")["hub"] == other
        os.killpg(console.process.pid, signal.SIGINT)
        out, _ = console.process.communicate(timeout=120)
    assert console.process.returncode == 0
    assert f"Task hub: {hub_name} (storage: {CONNECTION})" in out
    assert "There is no such task hub in this storage yet." in out
    assert f"Console: {console.url}/console" in out
    assert "Traceback" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are filled as on POSIX")
def test_a_reader_that_pauses_does_not_stop_it(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    port = free_port()
    environment = environment_of(None, None, {CONNECTION: azurite.connection_string})
    with subprocess.Popen(
        command(hub_name, port), env=environment, cwd=tmp_path, stdout=writer, stderr=writer, text=True
    ) as process:
        try:
            os.close(writer)
            console = Served(process, f"http://localhost:{port}")
            eventually_blocking(console.is_serving)
            assert console.get("instances") == {"instances": [], "continuation": None}
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 0
        finally:
            process.kill()
            os.close(reader)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files")
def test_silent_connections_keep_nobody_out(azurite: Azurite, hub_name: str, tmp_path: Path) -> None:
    few_files = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh")
    with served(azurite.connection_string, hub_name, tmp_path, within=few_files) as console, ExitStack() as stack:
        address = ("127.0.0.1", int(console.url.rpartition(":")[2]))
        for _ in range(400):
            stack.enter_context(socket.create_connection(address, timeout=60))
        assert call("GET", f"{console.url}/console").status == 200
        os.killpg(console.process.pid, signal.SIGINT)
        out, _ = console.process.communicate(timeout=120)
    assert "Traceback" not in out
    assert out.count("\n") < 20, out
