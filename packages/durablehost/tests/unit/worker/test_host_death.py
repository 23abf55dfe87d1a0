"""A worker process, and what user code has started from it, ends with its host, whatever it is doing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

pytest.importorskip("azure.functions")

from durablehost.worker import bootstrap
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are those of POSIX")


def group_exists(leader: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(leader, 0)
        return True
    return False


def test_a_stopped_worker_process_and_its_group_end_when_the_host_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as host:
        host.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, bootstrap.__file__],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            ticket = {"port": host.getsockname()[1], "token": "secret"}
            process.stdin.write(json.dumps(ticket).encode() + b"\n")
            process.stdin.flush()
            connection, _ = host.accept()
            os.kill(process.pid, signal.SIGSTOP)
            # What the death of the host does; this process, the real parent, lives on.
            connection.close()
            process.stdin.close()
            assert process.wait(60) == -signal.SIGKILL
            eventually_blocking(lambda: not group_exists(process.pid))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_user_code_may_wait_for_all_of_its_children() -> None:
    code = "import os, sys; from durablehost.worker import child; child._watch_the_host(); os.wait()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert b"ChildProcessError" in process.stderr.read()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
