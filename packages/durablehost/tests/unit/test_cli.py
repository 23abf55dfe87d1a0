"""How the command line translates its arguments, and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import durablehost
from durablehost import __version__, cli
from durablehost.cli import main
from durablehost.console import Console
from durablehost.errors import ConfigurationError, StorageUnavailable
from durablehost.settings import Settings


class Host:
    """Stands in for the host: keeps its start options."""

    def __init__(self, *, raises: BaseException | None = None) -> None:
        self.settings: list[Settings] = []
        self._raises = raises

    def __call__(self, settings: Settings, console: Console) -> int:
        self.settings.append(settings)
        if self._raises is not None:
            raise self._raises
        return 0


@pytest.fixture
def app_root(tmp_path: Path) -> Path:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    return tmp_path


def test_start_hands_every_option_to_the_settings(app_root: Path) -> None:
    host = Host()
    options = ["-p", "7090", "--address", "0.0.0.0", "--cors", "https://a", "--cors-credentials", "--no-azurite"]
    options += ["--allowed-hosts", "my-laptop", "--allow-anonymous", "--shared-azurite", "--console"]
    code = main(["start", *options, "--script-root", str(app_root), "--functions", "A", "B", "--verbose"], run=host)
    (settings,) = host.settings
    assert code == 0
    assert settings.script_root == app_root.resolve()
    assert (settings.http.port, settings.http.address) == (7090, "0.0.0.0")
    assert (settings.http.cors_origins, settings.http.cors_credentials) == (("https://a",), True)
    assert settings.http.allowed_hosts == ("my-laptop",)
    assert settings.allows_anonymous is True
    assert settings.opens_console is True
    assert settings.functions == ("A", "B")
    assert settings.log.is_verbose is True
    assert settings.starts_azurite is False
    assert settings.shares_azurite is True
    assert settings.checks_keys is False


def test_a_console_without_a_host_needs_no_app_if_its_hub_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, str, int, bool, bool]] = []

    def serve(settings: Settings, console: Console, *, allows_actions: bool, is_own_hub: bool) -> None:
        hub, storage = settings.durable.hub_name, settings.storage.connection_name
        shown.append((hub, storage, settings.http.port, allows_actions, is_own_hub))
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "serve_console", serve)
    monkeypatch.chdir(tmp_path)
    named = ["--task-hub-name", "Orders", "--connection-string-setting", "Production"]
    assert main(["console", *named]) == 0
    assert main(["console", *named, "--port", "7090", "--allow-actions"]) == 0
    assert main(["console", "--task-hub-name", "Orders"]) == 2
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    assert main(["console"]) == 0
    assert shown == [
        ("Orders", "Production", 7079, False, False),
        ("Orders", "Production", 7090, True, False),
        ("TestHubName", "AzureWebJobsStorage", 7079, False, True),
    ]


def test_key_checks_need_the_option_enable_auth(app_root: Path) -> None:
    host = Host()
    for options in ([], ["--enableAuth"]):
        assert main(["start", "--script-root", str(app_root), *options], run=host) == 0
    assert [settings.checks_keys for settings in host.settings] == [False, True]


def test_script_root_is_also_called_prefix(app_root: Path) -> None:
    host = Host()
    main(["start", "--prefix", str(app_root)], run=host)
    assert host.settings[0].script_root == app_root.resolve()


def test_a_relative_script_root_starts_at_the_working_directory_and_the_last_one_counts(
    app_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    monkeypatch.chdir(app_root.parent)
    assert main(["start", "--script-root", "elsewhere", "--script-root", app_root.name], run=host) == 0
    assert host.settings[0].script_root == app_root.resolve()


@pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be removed there")
@pytest.mark.parametrize("command", [["start"], ["durable", "get-instances"], ["console"], ["azurite", "install"]])
def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path, command: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
    environment = {**os.environ, "PYTHONPATH": str(Path(durablehost.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "-c", code, "durablehost", *command],
        cwd=gone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == "The current folder does not exist any more: change to another one.\n"


def test_app_is_found_from_the_working_directory_up(app_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = app_root / "function"
    below.mkdir()
    monkeypatch.chdir(below)
    host = Host()
    assert main(["start"], run=host) == 0
    assert host.settings[0].script_root == app_root.resolve()


def test_wrong_setting_ends_with_2_and_one_line(app_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app_root / "host.json").write_text('{"version": "1.0"}')
    assert main(["start", "--script-root", str(app_root)], run=Host()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "host.json: version" in captured.err


def test_host_that_cannot_start_ends_with_2_and_its_line(app_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Host(raises=ConfigurationError("Port 7071 is unavailable."))
    assert main(["start", "--script-root", str(app_root)], run=host) == 2
    assert capsys.readouterr().err == "Port 7071 is unavailable.\n"


def test_storage_that_fails_while_starting_ends_with_1(app_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Host(raises=StorageUnavailable("The table service does not answer."))
    assert main(["start", "--script-root", str(app_root)], run=host) == 1
    assert capsys.readouterr().err == "The host could not start: The table service does not answer.\n"


def test_ctrl_c_while_starting_ends_with_0(app_root: Path) -> None:
    assert main(["start", "--script-root", str(app_root)], run=Host(raises=KeyboardInterrupt())) == 0


@pytest.mark.parametrize(
    "arguments", [["start", "--port", "x"], ["start", "--colour"], ["start", "--enable-auth"], ["begin"]]
)
def test_wrong_arguments_end_with_3_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, run=Host())
    assert caught.value.code == 3
    shown = capsys.readouterr().err
    assert shown.startswith("durablehost")
    assert shown.count("\n") == 1


def test_the_error_about_an_unknown_option_names_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["start", "--colour"], run=Host())
    assert capsys.readouterr().err == (
        "durablehost start: unrecognized arguments: --colour; see `durablehost start --help`.\n"
    )


def test_wrong_arguments_are_shown_with_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["start", "--colour=\x1b]0;owned\x07"], run=Host())
    assert "unrecognized arguments: --colour=\\u001b]0;owned\\u0007;" in capsys.readouterr().err


def test_wrong_arguments_and_settings_are_shown_without_secrets(
    app_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["start", "--connection-string", "AccountName=a;AccountKey=abc;"], run=Host())
    assert "--connection-string AccountName=a;AccountKey=***;; see" in capsys.readouterr().err
    (app_root / "local.settings.json").write_text(
        '{"IsEncrypted": false, "Values": {"HUB": "AccountName=a;AccountKey=abc;"}}'
    )
    (app_root / "host.json").write_text('{"version": "2.0", "extensions": {"durableTask": {"hubName": "%HUB%"}}}')
    assert main(["start", "--script-root", str(app_root)], run=Host()) == 2
    assert 'hubName is "AccountName=a;AccountKey=***;"; a task hub name is' in capsys.readouterr().err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"], run=Host())
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"durablehost {__version__}\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], run=Host()) == 0
    assert "start" in capsys.readouterr().out


def test_modules_of_the_app_never_replace_those_of_the_host(tmp_path: Path) -> None:
    """`python -m` searches the working directory first, which is that of the app."""
    for name in ("json", "logging", "queue", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError(__file__)", "utf-8")
    command = [sys.executable, "-m", "durablehost", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"durablehost {__version__}\n", "")
