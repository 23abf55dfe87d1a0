"""What `UseDevelopmentStorage=true` becomes for an app; a program written by the test stands in for Azurite."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import pytest

from durablehost.cli import main
from durablehost.console import Console
from durablehost.emulator import azurite as emulator
from durablehost.emulator import local_storage
from durablehost.emulator.address_file import load_address
from durablehost.emulator.azurite import Ports
from durablehost.emulator.choice import connection_string
from durablehost.emulator.local_storage import usable_storage
from durablehost.errors import ConfigurationError, StorageUnavailable
from durablehost.settings import Settings, StartOptions, load_settings
from durablehost.storage.account.connection import Connection, ConnectionString
from packages.durablehost.tests.unit.stand_ins import LISTENING_EMULATOR, listening_to, use_stand_in

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a #! line")

DEVELOPMENT = "UseDevelopmentStorage=true"
IN_AZURE = "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5;EndpointSuffix=core.windows.net"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections whose services were asked to answer; they all do."""
    connections: list[Connection] = []

    async def check_connection(connection: Connection) -> None:
        connections.append(connection)

    monkeypatch.setattr(local_storage, "check_connection", check_connection)
    return connections


@pytest.fixture
def usual_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ports:
    return use_stand_in(LISTENING_EMULATOR, tmp_path, monkeypatch)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(output: io.StringIO) -> Console:
    return Console(output, output, environment={})


def make_app(tmp_path: Path, storage: str = DEVELOPMENT, **values: str) -> Path:
    app = tmp_path / "app"
    app.mkdir()
    document = {"IsEncrypted": False, "Values": {"AzureWebJobsStorage": storage, **values}}
    (app / "local.settings.json").write_text(json.dumps(document))
    return app


def settings_of(
    app: Path, environment: Mapping[str, str] | None = None, *, shared: bool = False, starts: bool = True
) -> Settings:
    options = StartOptions(script_root=app, shares_azurite=shared, starts_azurite=starts)
    return load_settings(options, environment or {})


async def test_the_app_sees_the_connection_string_of_its_own_azurite_in_all_settings(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console
) -> None:
    app = make_app(tmp_path, Readings="useDevelopmentStorage=True;", Elsewhere=IN_AZURE, Plain="x;y")
    settings = settings_of(app, {"OfTheShell": DEVELOPMENT})
    async with usable_storage(settings, console) as usable:
        seen = usable.environment
        text = seen["AzureWebJobsStorage"]
        assert text.startswith("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=")
        assert emulator.ACCOUNT_KEY not in text
        assert seen["Readings"] == seen["OfTheShell"] == usable.storage.connection["AzureWebJobsStorage"] == text
        assert (seen["Elsewhere"], seen["Plain"]) == (IN_AZURE, "x;y")
        assert checked == [ConnectionString(text)]
        assert emulator.listening(usual_ports) == []


async def test_a_shared_azurite_has_the_usual_ports_and_a_warning_about_its_key(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console, output: io.StringIO
) -> None:
    settings = settings_of(make_app(tmp_path), shared=True)
    async with usable_storage(settings, console, is_host=True) as usable:
        assert usable == settings
        assert emulator.is_answering(usual_ports)
    assert f"Nothing answers on {usual_ports}: starting Azurite" in output.getvalue()
    assert "The key of this Azurite is published: web pages" in output.getvalue()
    assert emulator.listening(usual_ports) == []


async def test_a_host_says_whose_azurite_it_uses_and_a_verb_does_not(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console, output: io.StringIO
) -> None:
    settings = settings_of(make_app(tmp_path), shared=True)
    with listening_to(*astuple(usual_ports)):
        async with usable_storage(settings, console):
            assert output.getvalue() == ""
        async with usable_storage(settings, console, is_host=True):
            assert f"Using the Azurite on {usual_ports}, which durablehost has not started." in output.getvalue()


async def test_without_permission_to_start_one_the_app_uses_the_azurite_that_runs(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console
) -> None:
    app = make_app(tmp_path)
    forbidden = settings_of(app, starts=False)
    with pytest.raises(ConfigurationError, match="leave out --no-azurite"):
        async with usable_storage(forbidden, console):
            pass
    with listening_to(*astuple(usual_ports)):
        async with usable_storage(forbidden, console) as usable:
            assert usable == forbidden
    async with usable_storage(settings_of(app), console) as own, usable_storage(forbidden, console) as usable:
        assert usable.storage == own.storage


async def test_an_azurite_on_given_ports_gets_the_key_of_the_connection_string(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console, output: io.StringIO
) -> None:
    text = usual_ports.connection_string_with("a2V5")
    settings = settings_of(make_app(tmp_path, text))
    async with usable_storage(settings, console, is_host=True) as usable:
        assert usable == settings
        assert emulator.is_answering(usual_ports)
    assert "published" not in output.getvalue()


@pytest.mark.parametrize("how", ["no azurite of the app's own", "connection string", "in another container"])
async def test_a_host_warns_about_the_published_key_however_it_comes_to_it(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console, output: io.StringIO, how: str
) -> None:
    text = usual_ports.connection_string
    storage = {"connection string": text, "in another container": text.replace("127.0.0.1", "azurite")}.get(how)
    settings = settings_of(make_app(tmp_path, storage or DEVELOPMENT), starts=False)
    with listening_to(*astuple(usual_ports)):
        async with usable_storage(settings, console):
            assert output.getvalue() == ""
        async with usable_storage(settings, console, is_host=True):
            assert "The key of this Azurite is published: web pages" in output.getvalue()


async def test_an_azurite_that_refuses_the_api_version_is_an_error_with_the_option_to_add(
    tmp_path: Path, usual_ports: Ports, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(connection: Connection) -> None:
        raise StorageUnavailable("The Queue service does not work: The API version 2020-12-06 is not supported.")

    monkeypatch.setattr(local_storage, "check_connection", refused)
    settings = settings_of(make_app(tmp_path), shared=True)
    with listening_to(*astuple(usual_ports)), pytest.raises(ConfigurationError, match="with --skipApiVersionCheck"):
        async with usable_storage(settings, console):
            pass


async def test_a_storage_that_is_no_emulator_starts_nothing(
    tmp_path: Path, usual_ports: Ports, checked: list[Connection], console: Console
) -> None:
    settings = settings_of(make_app(tmp_path, IN_AZURE, Readings=DEVELOPMENT))
    async with usable_storage(settings, console) as usable:
        assert usable == settings
    assert not (tmp_path / "app" / ".local").exists()


def test_the_command_prints_the_connection_string_alone_on_stdout(
    tmp_path: Path, usual_ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["azurite", "connection-string", "--script-root", str(make_app(tmp_path))]
    assert main(command) == 0
    first = capsys.readouterr()
    assert first.out.count("\n") == 1
    assert first.out.startswith("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=")
    assert first.err == "This Azurite does not run now: `durablehost start` or `durablehost azurite start` runs it.\n"
    assert main(command) == 0
    assert capsys.readouterr().out == first.out


def test_the_command_runs_azurite_until_ctrl_c(tmp_path: Path, usual_ports: Ports) -> None:
    app = make_app(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(local_storage.__file__).parents[2])}
    command = [sys.executable, "-m", "durablehost", "azurite", "start", "--script-root", str(app)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == connection_string(app)[0]
            ports = load_address(app / ".local", []).ports
            assert emulator.is_answering(ports)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert emulator.listening(ports) == []


@pytest.mark.parametrize("action", ["connection-string", "start"])
def test_an_app_on_another_storage_has_no_azurite_of_its_own(
    tmp_path: Path, usual_ports: Ports, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    assert main(["azurite", action, "--script-root", str(make_app(tmp_path, IN_AZURE))]) == 2
    assert "its storage connection AzureWebJobsStorage is not UseDevelopmentStorage=true" in capsys.readouterr().err
