"""durablehost as a child process; scripts written by the test stand in for it."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.host import PortTaken, choose_port, running_durablehost, running_on_a_free_port
from packages.durablehost.tests.eventually import eventually_blocking

# Answers /admin/host/status like durablehost, and records its arguments and how it was stopped.
READY_HOST = """
import http.server, json, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        token = os.environ.get("DURABLEHOST_START_TOKEN")
        self.wfile.write(json.dumps({"state": "Running", "startToken": token}).encode())
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("READINGS is", os.environ["READINGS"], flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    print("ended in good order", flush=True)
"""
# Ends as durablehost does if its port is taken, but not before another host has answered.
LATE_HOST = "import sys, time; time.sleep(0.5); sys.exit(f'Port {sys.argv[1]} is unavailable.')"
FAILING_HOST = "raise SystemExit('No functions were found.')"


def write_settings(folder: Path, host: object) -> Path:
    file = folder / "local.settings.json"
    file.write_text(json.dumps({"Host": host}), "utf-8")
    return file


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def test_a_ready_host_has_its_settings_and_ends_in_good_order(tmp_path: Path) -> None:
    port, log_file = free_port(), tmp_path / "durablehost.log"
    command = [sys.executable, "-c", READY_HOST, str(port)]

    with running_durablehost(command, port=port, settings={"READINGS": "az://x"}, log_file=log_file) as durablehost:
        durablehost.check_running()

    assert "READINGS is az://x" in log_file.read_text()
    assert "ended in good order" in log_file.read_text()


def test_a_host_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(DemoError, match=r"exit code 1.*\n.*No functions were found\."),
        running_durablehost(
            [sys.executable, "-c", FAILING_HOST],
            port=free_port(),
            settings={},
            log_file=tmp_path / "durablehost.log",
        ),
    ):
        pytest.fail("the block must not be entered")


@contextmanager
def foreign_host(port: int, tmp_path: Path) -> Iterator[None]:
    """Another demonstration's host, ready."""
    command = [sys.executable, "-c", READY_HOST, str(port)]
    with running_durablehost(command, port=port, settings={"READINGS": ""}, log_file=tmp_path / "foreign"):
        yield


def test_the_host_of_another_run_is_not_taken_for_the_own_one(tmp_path: Path) -> None:
    port = free_port()
    with (
        foreign_host(port, tmp_path),
        pytest.raises(PortTaken, match=f"Port {port} is unavailable"),
        running_durablehost(
            [sys.executable, "-c", LATE_HOST, str(port)], port=port, settings={}, log_file=tmp_path / "log"
        ),
    ):
        pytest.fail("the block must not be entered")


def test_a_run_whose_port_is_taken_while_it_starts_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = free_port()
    ports = iter([taken, free_port()])
    monkeypatch.setattr("demo.host.choose_port", lambda settings_file: next(ports))
    with (
        foreign_host(taken, tmp_path),
        running_on_a_free_port(
            lambda port: [sys.executable, "-c", LATE_HOST if port == taken else READY_HOST, str(port)],
            settings_file=tmp_path / "none",
            settings={"READINGS": ""},
            log_file=tmp_path / "log",
        ) as durablehost,
    ):
        assert durablehost.url != f"http://127.0.0.1:{taken}"
        durablehost.check_running()


def test_a_host_that_dies_during_the_run_is_noticed(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", READY_HOST, str(port)]
    with running_durablehost(command, port=port, settings={"READINGS": ""}, log_file=tmp_path / "log") as durablehost:
        durablehost.stop()

        with pytest.raises(DemoError, match="durablehost ended with exit code 0"):
            durablehost.check_running()


def test_the_port_of_the_settings_is_taken_when_it_is_free(tmp_path: Path) -> None:
    port = free_port()

    assert choose_port(write_settings(tmp_path, {"LocalHttpPort": port})) == port


def test_a_free_port_is_taken_when_that_of_the_settings_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = server.getsockname()[1]
        chosen = choose_port(write_settings(tmp_path, {"LocalHttpPort": wanted}))

    assert chosen not in (0, wanted)


def test_settings_that_are_not_json_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text("{", "utf-8")

    with pytest.raises(DemoError, match=r"local\.settings\.json"):
        choose_port(file)


def test_a_port_is_free_again_once_the_host_has_ended(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", READY_HOST, str(port)]
    with running_durablehost(command, port=port, settings={"READINGS": ""}, log_file=tmp_path / "log"):
        assert choose_port(write_settings(tmp_path, {"LocalHttpPort": port})) != port

    assert eventually_blocking(lambda: choose_port(write_settings(tmp_path, {"LocalHttpPort": port})) == port)
