"""Finding, starting and stopping the emulator; programs written by the test stand in for Node and Azurite."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from devhost import azurite as emulator
from devhost.azurite import Ports
from devhost.errors import ConfigurationError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a #! line")

# Understands Azurite's options as far as the tests need, and listens as it does.
LISTENING_EMULATOR = """
import signal, socket, sys
ports = [int(sys.argv[sys.argv.index(f"--{service}Port") + 1]) for service in ("blob", "queue", "table")]
sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]
print(" ".join(sys.argv[1:]), flush=True)
print("Azurite Some service is successfully listening\\n" * 3, flush=True)
signal.pause()
"""


def write_program(path: Path, source: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{source}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def install(folder: Path) -> Path:
    entry_point = folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    entry_point.parent.mkdir(parents=True)
    entry_point.touch()
    return entry_point


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_an_installation_in_a_folder_above_is_found(tmp_path: Path, path_folder: Path) -> None:
    entry_point = install(tmp_path)
    node = write_program(path_folder / "node", "print('v20.6.0')")
    inside = tmp_path / "app" / "deep"
    inside.mkdir(parents=True)

    assert emulator.find_command([inside], own_folder=path_folder) == [node, str(entry_point)]


def test_the_first_folder_with_an_installation_wins(tmp_path: Path, path_folder: Path) -> None:
    first = install(tmp_path / "first")
    install(tmp_path / "second")
    write_program(path_folder / "node", "print('v22.1.0')")

    command = emulator.find_command([tmp_path / "first", tmp_path / "second"], own_folder=path_folder)

    assert command[1] == str(first)


def test_azurite_on_path_is_found_without_an_installation(tmp_path: Path, path_folder: Path) -> None:
    azurite = write_program(path_folder / "azurite", "")

    assert emulator.find_command([tmp_path], own_folder=tmp_path) == [azurite]


def test_nothing_found_is_an_error_that_says_how_to_install_it(tmp_path: Path, path_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="npm ci"):
        emulator.find_command([tmp_path], own_folder=tmp_path)


@pytest.mark.parametrize("answer", ["v18.20.4", "v20.5.1", "hello", ""])
def test_a_node_that_cannot_run_azurite_does_not_fit(path_folder: Path, answer: str) -> None:
    assert not emulator.node_fits(write_program(path_folder / "node", f"print({answer!r})"))


@pytest.mark.parametrize("answer", ["v20.6.0", "v22.20.0", "v24.0.0-nightly"])
def test_a_newer_node_fits(path_folder: Path, answer: str) -> None:
    assert emulator.node_fits(write_program(path_folder / "node", f"print({answer!r})"))


def test_a_node_that_fails_does_not_fit(path_folder: Path) -> None:
    assert not emulator.node_fits(write_program(path_folder / "node", "raise SystemExit(1)"))


def test_free_ports_are_distinct_and_nothing_listens_there() -> None:
    ports = emulator.free_ports()

    assert len({ports.blob, ports.queue, ports.table}) == 3
    assert emulator.listening(ports) == []


def test_only_all_three_ports_together_are_an_answer() -> None:
    ports = emulator.free_ports()
    with socket.create_server(("127.0.0.1", ports.queue)):
        assert emulator.listening(ports) == [ports.queue]
        assert not emulator.is_answering(ports)


def test_the_connection_string_names_the_three_endpoints() -> None:
    parts = dict(part.split("=", 1) for part in Ports(blob=1, queue=2, table=3).connection_string.strip(";").split(";"))

    assert parts["AccountName"] == "devstoreaccount1"
    assert parts["BlobEndpoint"] == "http://127.0.0.1:1/devstoreaccount1"
    assert parts["QueueEndpoint"] == "http://127.0.0.1:2/devstoreaccount1"
    assert parts["TableEndpoint"] == "http://127.0.0.1:3/devstoreaccount1"


def test_a_launched_emulator_answers_until_it_is_stopped(tmp_path: Path) -> None:
    command = [write_program(tmp_path / "azurite", LISTENING_EMULATOR)]
    ports = emulator.free_ports()

    with emulator.launch(command, location=tmp_path / "data", ports=ports) as running:
        assert emulator.is_answering(ports)
        assert running.is_running()

    assert not running.is_running()
    assert emulator.listening(ports) == []


def test_an_emulator_that_has_not_said_so_is_not_up_whoever_answers_on_its_ports(tmp_path: Path) -> None:
    silent = LISTENING_EMULATOR.replace("successfully listening", "starting")
    command = [write_program(tmp_path / "azurite", silent)]

    with pytest.raises(ConfigurationError, match="did not answer within"):
        emulator.launch(command, location=tmp_path / "data", ports=emulator.free_ports(), timeout_seconds=1)


def test_an_emulator_gets_its_folder_and_no_telemetry(tmp_path: Path) -> None:
    command = [write_program(tmp_path / "azurite", LISTENING_EMULATOR)]

    with emulator.launch(command, location=tmp_path / "data", ports=emulator.free_ports()) as running:
        options = shlex.split(running.log_file.read_text("utf-8"))

    assert options[options.index("--location") + 1] == str(tmp_path / "data")
    assert options[options.index("--tableHost") + 1] == "127.0.0.1"
    assert "--disableTelemetry" in options


def test_an_emulator_gets_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "AccountName=a;AccountKey=c2VjcmV0")
    monkeypatch.setenv("AZURITE_ACCOUNTS", "a:c2VjcmV0")
    program = LISTENING_EMULATOR.replace('" ".join(sys.argv[1:])', '" ".join(__import__("os").environ)')
    command = [write_program(tmp_path / "azurite", program)]

    with emulator.launch(command, location=tmp_path / "data", ports=emulator.free_ports()) as running:
        names = running.log_file.read_text("utf-8").split()

    assert {"PATH", "AZURITE_ACCOUNTS"} <= set(names)
    assert "AzureWebJobsStorage" not in names


def test_an_emulator_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LISTENING_EMULATOR
    command = [write_program(tmp_path / "azurite", deaf)]
    running = emulator.launch(command, location=tmp_path / "data", ports=emulator.free_ports())

    running.stop(timeout_seconds=0.1)

    assert not running.is_running()


def test_an_emulator_that_ends_at_once_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [write_program(tmp_path / "azurite", "raise SystemExit('no such option: --loose')")]

    with pytest.raises(ConfigurationError, match="no such option: --loose"):
        emulator.launch(command, location=tmp_path / "data", ports=emulator.free_ports())


def test_an_emulator_that_never_answers_is_stopped_and_an_error(tmp_path: Path) -> None:
    source = f"import os, signal, pathlib\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    command = [write_program(tmp_path / "azurite", f"{source}\nsignal.pause()")]

    with pytest.raises(ConfigurationError, match="did not answer within 1 seconds"):
        emulator.launch(command, location=tmp_path, ports=emulator.free_ports(), timeout_seconds=1)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_port_in_use_is_an_error_that_names_it(tmp_path: Path) -> None:
    ports = emulator.free_ports()
    with (
        socket.create_server(("127.0.0.1", ports.table)),
        pytest.raises(ConfigurationError, match=f"port {ports.table} is in use"),
    ):
        emulator.launch(["never-run"], location=tmp_path, ports=ports)


def test_a_command_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-such-program"):
        emulator.launch([str(tmp_path / "no-such-program")], location=tmp_path, ports=emulator.free_ports())
