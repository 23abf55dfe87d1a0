"""A later host reads the journal of a dead host, and never that of a living one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

from durablehost.storage.messages import journal
from durablehost.storage.messages.journal import Journal, JournalFolder, Receipt
from packages.durablehost.tests.eventually import eventually_blocking

posix = pytest.mark.skipif(sys.platform == "win32", reason="its signals and file modes are those of POSIX")

QUEUE = "hub-control-00"
QUEUES = "http://127.0.0.1:10001/devstoreaccount1"


def folder_of(path: Path, worker_id: str = "me", *, hub_name: str = "Hub", queues: str = QUEUES) -> JournalFolder:
    return JournalFolder(path, worker_id=worker_id, hub_name=hub_name, queue_endpoint=queues)


def receipts_found(folder: JournalFolder) -> list[Receipt]:
    """Returns the messages of dead hosts without changing their journals."""
    found: list[Receipt] = []
    for dead in folder.find_dead():
        found += dead.receipts
        dead.close()
    return found


def receipt(message_id: str, *pop_receipts: str) -> Receipt:
    return Receipt(queue_name=QUEUE, message_id=message_id, pop_receipts=pop_receipts)


def leave(path: Path, *message_ids: str, worker_id: str = "dead", hub_name: str = "Hub", queues: str = QUEUES) -> Path:
    """Writes the journal of a dead host that held these messages."""
    with folder_of(path, worker_id, hub_name=hub_name, queues=queues) as ended:
        ended.own.hold(QUEUE, [(each, "r1") for each in message_ids])
    return path / f"{worker_id}.journal"


def test_the_next_host_finds_messages_that_were_held_and_not_settled(tmp_path: Path) -> None:
    with folder_of(tmp_path, "dead") as ended:
        ended.own.hold(QUEUE, [("a", "r1"), ("b", "r2")])
        ended.own.settle(QUEUE, "a")
        ended.own.settle(QUEUE, "unknown")
    with folder_of(tmp_path) as folder:
        assert receipts_found(folder) == [receipt("b", "r2")]
        assert folder.is_dead("dead")


def test_the_last_two_receipts_of_a_message_are_found_the_newest_first(tmp_path: Path) -> None:
    with folder_of(tmp_path, "dead") as ended:
        for pop_receipt in ("r1", "r2", "r3"):
            ended.own.hold(QUEUE, [("a", pop_receipt)])
    assert receipts_found(folder_of(tmp_path)) == [receipt("a", "r3", "r2")]


def test_a_living_host_keeps_its_messages(tmp_path: Path) -> None:
    with folder_of(tmp_path, "alive") as living, folder_of(tmp_path) as folder:
        living.own.hold(QUEUE, [("a", "r1")])
        assert receipts_found(folder) == []
        assert not folder.is_dead("alive")
        assert not living.is_dead("me")


def test_one_host_at_a_time_works_on_the_journal_of_a_dead_one(tmp_path: Path) -> None:
    leave(tmp_path, "a")
    first, second = folder_of(tmp_path, "first"), folder_of(tmp_path, "second")
    (dead,) = first.find_dead()
    assert list(second.find_dead()) == []
    dead.close()
    (dead,) = second.find_dead()
    dead.remove()
    assert list(first.find_dead()) == []
    assert first.is_dead("dead")


def test_a_host_without_messages_leaves_no_journal_behind(tmp_path: Path) -> None:
    with folder_of(tmp_path, "ended") as ended:
        ended.own.hold(QUEUE, [("a", "r1")])
        ended.own.settle(QUEUE, "a")
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_known_of_a_host_without_a_journal(tmp_path: Path) -> None:
    with folder_of(tmp_path) as folder:
        for worker_id in ("unknown", "me", "../dead", "", "x" * 1000):
            assert not folder.is_dead(worker_id)


@pytest.mark.parametrize("other", [{"hub_name": "Another"}, {"queues": "http://elsewhere"}])
def test_a_journal_of_another_hub_is_left_to_its_next_host(tmp_path: Path, other: dict[str, str]) -> None:
    path = leave(tmp_path, "a", **other)
    with folder_of(tmp_path) as folder:
        assert receipts_found(folder) == []
        assert path.exists()
    assert receipts_found(folder_of(tmp_path, **other)) == [receipt("a", "r1")]


def test_a_journal_of_another_hub_is_removed_after_a_day(tmp_path: Path) -> None:
    path = leave(tmp_path, "a", hub_name="Another")
    os.utime(path, times=(time.time() - 90_000,) * 2)
    assert receipts_found(folder_of(tmp_path)) == []
    assert not path.exists()


def test_a_lock_taken_under_another_kernel_is_not_trusted(tmp_path: Path) -> None:
    """The folder is shared with a virtual machine, or the machine was rebooted."""
    path = leave(tmp_path, "a")
    header, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([json.dumps({**json.loads(header), "kernel": "another"}) + "\n", *lines]))
    with folder_of(tmp_path) as folder:
        assert receipts_found(folder) == []
        assert not folder.is_dead("dead")


def test_without_a_known_kernel_there_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "kernel_id", lambda: None)
    with folder_of(tmp_path) as folder:
        assert not folder.own.has_file
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_host_has_not_locked_yet_is_left_alone_and_read_later(tmp_path: Path) -> None:
    path = leave(tmp_path, "a")
    content = path.read_bytes()
    path.write_bytes(b"")
    folder = folder_of(tmp_path)
    assert receipts_found(folder) == []
    assert not folder.is_dead("dead")
    path.write_bytes(content)
    assert receipts_found(folder) == [receipt("a", "r1")]


def test_damaged_lines_are_skipped(tmp_path: Path) -> None:
    path = leave(tmp_path, "a")
    with path.open("ab") as file:
        file.write(b"\n\xff\xfe\n../queue b r1\n1 2 3 4\n" + f"{QUEUE} c r1\n{QUEUE} a".encode())
    assert receipts_found(folder_of(tmp_path)) == [receipt("a", "r1"), receipt("c", "r1")]


def test_the_journal_stays_small_and_keeps_the_held_messages(tmp_path: Path) -> None:
    with folder_of(tmp_path, "dead") as ended:
        ended.own.hold(QUEUE, [("first", "r1")])
        ended.own.hold(QUEUE, [("first", "r2")])
        for number in range(10_000):
            ended.own.hold(QUEUE, [(f"message-{number}", "r1")])
            ended.own.settle(QUEUE, f"message-{number}")
        assert (tmp_path / "dead.journal").stat().st_size < 300_000
        many = [(f"many-{number}", "r1") for number in range(10_000)]
        ended.own.hold(QUEUE, many)
    found = receipts_found(folder_of(tmp_path))
    assert found == [receipt("first", "r2", "r1"), *(receipt(message_id, "r1") for message_id, _ in many)]


@posix
def test_only_the_owner_can_read_the_journal(tmp_path: Path) -> None:
    path = leave(tmp_path / "hosts", "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_named_and_costs_the_journal_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with folder_of(tmp_path / "file" / "hosts") as folder:
        assert not folder.own.has_file
        folder.own.hold(QUEUE, [("a", "r1")])
        assert receipts_found(folder) == []
    assert str(tmp_path / "file" / "hosts") in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_the_journal_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with FileIO("/dev/full", "r+") as file:
        full = Journal(file)
        for number in range(3):
            full.hold(QUEUE, [(str(number), "r1")])
        full.settle(QUEUE, "0")
    assert len(caplog.records) == 1


# Stands in for a host with a journal, and with a child that outlives it.
HOST = textwrap.dedent(
    """
    import pathlib, subprocess, sys
    from durablehost.storage.messages.journal import JournalFolder
    path, queues, queue = sys.argv[1:]
    with JournalFolder(pathlib.Path(path), worker_id="host", hub_name="Hub", queue_endpoint=queues) as folder:
        folder.own.hold(queue, [("a", "r1")])
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        print(child.pid, flush=True)
        input()
    """
)


@dataclass(frozen=True, kw_only=True)
class RunningHost:
    process: subprocess.Popen[str]
    child: int


@contextmanager
def running_host(folder: Path, *within: str) -> Iterator[RunningHost]:
    command = [*within, sys.executable, "-c", HOST, str(folder), QUEUES, QUEUE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line and within:
                pytest.skip(f"{within[0]} is not permitted here")
            yield RunningHost(process=process, child=int(line))
        finally:
            process.kill()


@posix
def test_a_killed_host_is_dead_although_it_is_a_zombie_and_its_child_lives(tmp_path: Path) -> None:
    with running_host(tmp_path) as host, folder_of(tmp_path) as folder:
        assert receipts_found(folder) == []
        # The child cannot notice that the host has ended.
        os.kill(host.child, signal.SIGSTOP)
        os.kill(host.process.pid, signal.SIGKILL)
        try:
            assert eventually_blocking(lambda: receipts_found(folder)) == [receipt("a", "r1")]
            os.kill(host.process.pid, 0)
            os.kill(host.child, 0)
        finally:
            os.kill(host.child, signal.SIGKILL)


@posix
def test_a_stopped_host_counts_as_living(tmp_path: Path) -> None:
    with running_host(tmp_path) as host, folder_of(tmp_path) as folder:
        os.kill(host.process.pid, signal.SIGSTOP)
        assert not folder.is_dead("host")
        assert receipts_found(folder) == []


@posix
def test_a_host_in_a_container_that_shares_the_folder_lives_until_it_ends(tmp_path: Path) -> None:
    """Its process id has no meaning here."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    container = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with running_host(tmp_path, *container) as host, folder_of(tmp_path) as folder:
        assert receipts_found(folder) == []
        assert not folder.is_dead("host")
        host.process.kill()
        assert eventually_blocking(lambda: receipts_found(folder)) == [receipt("a", "r1")]
