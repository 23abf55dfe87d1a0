"""Which partitions are free: only those of a process of this machine that has ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from durablehost.host.worker_id import is_abandoned, is_process_alive, own_worker_id
from packages.durablehost.tests.eventually import eventually_blocking

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
PRINT_WORKER_ID = "from durablehost.host.worker_id import own_worker_id; print(own_worker_id(), flush=True)"


def with_pid(pid: int | str) -> str:
    """The id of a process that began when this one did."""
    return f"{own_worker_id().rpartition('-')[0]}-{pid}"


@pytest.fixture
def ended() -> Iterator[subprocess.Popen[bytes]]:
    """A zombie: a process that has ended, and whose exit code is not collected."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.read() == b""
    yield process
    process.wait()
    process.stdout.close()


def test_a_running_process_has_not_abandoned_anything() -> None:
    assert not is_abandoned(own_worker_id())


def test_an_ended_process_has_abandoned_its_partitions(ended: subprocess.Popen[bytes]) -> None:
    ended.wait()
    assert not is_process_alive(ended.pid)
    assert is_abandoned(with_pid(ended.pid))


@needs_proc
def test_a_zombie_counts_as_ended() -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert is_process_alive(killed.pid)
        killed.kill()
        eventually_blocking(lambda: not is_process_alive(killed.pid))
        os.kill(killed.pid, 0)  # it is still listed
        assert is_abandoned(with_pid(killed.pid))
    finally:
        killed.communicate()


@needs_proc
def test_a_stopped_process_is_alive() -> None:
    stopped = subprocess.Popen([sys.executable, "-c", PRINT_WORKER_ID + "; input()"], stdin=-1, stdout=-1, text=True)
    try:
        assert stopped.stdout
        worker_id = stopped.stdout.readline().strip()
        stopped.send_signal(signal.SIGSTOP)
        assert not is_abandoned(worker_id)
        stopped.send_signal(signal.SIGCONT)
        assert not is_abandoned(worker_id)
    finally:
        stopped.kill()
        stopped.communicate()
    assert is_abandoned(worker_id)


@needs_proc
def test_a_later_process_of_the_same_id_is_another_one() -> None:
    machine_and_space, _, pid = own_worker_id().rsplit("-", 2)
    assert is_abandoned(f"{machine_and_space}-1-{pid}")


@needs_proc
def test_a_process_of_another_container_with_the_same_host_name_is_left_alone() -> None:
    """Neither container knows the process ids of the other: the same id may exist here, or not."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", PRINT_WORKER_ID]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"may not make a namespace: {ran.stderr.strip()}")
    theirs = ran.stdout.strip()
    own = own_worker_id()
    assert theirs.split("-")[0] == own.split("-")[0]
    assert not is_abandoned(theirs)
    assert not is_abandoned(f"{theirs.rpartition('-')[0]}-999999999")


# The ids of the tests are the same in every process: pytest-xdist compares them.
@pytest.mark.parametrize(
    "owner",
    ["", "elsewhere-1", "elsewhere", with_pid("x"), f"{socket.gethostname()}-999999999"],
    ids=["none", "number", "name", "no number", "ended"],
)
def test_another_machine_or_host_is_left_alone(owner: str) -> None:
    assert not is_abandoned(owner)
