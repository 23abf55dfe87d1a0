"""How dev.py reads its command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dev


def test_soak_tests_are_left_out_unless_a_mark_expression_is_given() -> None:
    arguments = dev.pytest_arguments(["-k", "window"])

    assert arguments[:2] == ["-m", "not soak"]
    assert arguments[-2:] == ["-k", "window"]


@pytest.mark.parametrize(("arguments", "is_shared"), [
    ([], True),
    (["--maxfail=10", "-v"], True),
    (["tests/unit", "-v"], False),
    (["tests/unit/test_windows.py::TestSplitting"], False),
])  # fmt: skip
def test_two_processes_share_the_whole_suite_but_not_what_the_caller_names(
    arguments: list[str], is_shared: bool
) -> None:
    assert ("--numprocesses=2" in dev.pytest_arguments(arguments)) == is_shared


@pytest.mark.parametrize("arguments", [["-m", "soak"], ["-msoak"], ["tests/unit", "-m", "azurite"]])
def test_a_mark_expression_of_the_caller_stands_alone(arguments: list[str]) -> None:
    assert dev.pytest_arguments(arguments) == arguments


def test_an_unknown_command_is_one_line_that_names_the_known_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tset"]) == 2

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "dev.py: there is no command 'tset'; there are: demo, start, test, bench, check.\n"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_command_the_usage_is_printed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.main(arguments) == 0

    usage = capfd.readouterr().out
    assert all(f"\n  {command} " in usage for command in dev.COMMANDS)


PUBLISHED = (
    "AccountName=devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AzureWebJobsStorage", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=x"),
        ("READINGS", "az://readings/x.parquet?sv=2024-01-01&sig=abc"),
        ("Hub", "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=abc"),
        ("Sas", "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig=abc"),
        ("Sql", "Server=x;User Id=u;Password=abc"),
        ("Database", "postgres://user:abc@server/db"),
        ("AZURE_CLIENT_SECRET", "abc"),
        ("ApiKey", "abc"),
        ("AzureWebJobsStorage__accountKey", "abc"),
        ("COSMOS_KEY", "abc"),
        ("DB_PASS", "abc"),
        ("Credentials", "abc"),
        ("Escaped", "https://a.blob.core.windows.net/c%3Fsp%3Dr%26sig%3Dabc"),
        ("Json", '{"client_secret": "abc"}'),
        ("Header", "Authorization: Bearer abcdef"),
        ("Key1", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="),
        ("Jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3"),
        ("Pat", "ghp_abcdefghijklmnop"),
        ("Certificate", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
    ],
)
def test_check_refuses_a_secret_in_the_settings(name: str, value: str) -> None:
    assert dev.secrets_in(json.dumps({"Values": {"FUNCTIONS_WORKER_RUNTIME": "python", name: value}})) == [name]


@pytest.mark.parametrize(
    "value", ["UseDevelopmentStorage=true", PUBLISHED, "", "az://readings/*.parquet", "https://a.example/design?q=1"]
)
def test_check_accepts_settings_without_secrets(value: str) -> None:
    vault = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"
    others = {"API_KEY": "", "PARTITION_KEY": "chunk", "DB_PASSWORD": vault}
    assert dev.secrets_in(json.dumps({"Values": {"X": value, **others}})) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_check_reads_settings_in_the_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"Sql": "Password=abc"}}', encoding)
    assert dev.secrets_in(dev.committed_settings(dev.Checkout(tmp_path))) == ["Sql"]


@pytest.mark.parametrize(
    "text",
    [
        '{"ConnectionStrings": {"Sql": "Server=x;Password=abc"}}',
        '{"ConnectionStrings": {"Other": {"Sql": "Server=x;Password=abc"}}}',
        '{"values": {"Sql": "AccountKey=c2VjcmV0"}}',
        '{"Values": {"Sql": "https://a.example/b?sv=1\\u0026sig=abc"}}',
        '{"Values": {// mine\n"Sql": "AccountKey=c2VjcmV0",}}',
        '{"Other": [{"Sql": "redis://:abc@server"}]}',
    ],
)
def test_check_refuses_a_secret_wherever_it_is_in_the_file(text: str) -> None:
    assert dev.secrets_in(text) == ["Sql"]


@pytest.mark.parametrize("text", ['{"Values": {"X": "AccountKey=c2VjcmV0"', '{\n// AccountKey=c2VjcmV0\n"Values": {}}'])
def test_check_refuses_a_secret_in_a_comment_and_in_a_file_that_is_no_json(text: str) -> None:
    assert dev.secrets_in(text) == ["of the whole file"]


@pytest.mark.parametrize("text", ["", "[]", "null", '{"Values": null}', '{"Values":{"a":"http://x","b":"c@d"}}'])
def test_check_accepts_a_file_without_secrets_whatever_it_is(text: str) -> None:
    assert dev.secrets_in(text) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_check_reads_the_settings_that_git_would_commit(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text("of the file", "utf-8")
    checkout = dev.Checkout(tmp_path)
    assert dev.committed_settings(checkout) == "of the file"
    for command in (["init", "-q"], ["add", file.name]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    file.write_text("of this developer", "utf-8")
    assert dev.committed_settings(checkout) == "of the file"


def test_the_settings_of_this_repository_have_no_secret() -> None:
    assert dev.secrets_in((dev.ROOT / "local.settings.json").read_text("utf-8")) == []


def test_start_runs_the_app_of_the_project_or_the_one_that_the_caller_names_from_the_callers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def hand_over(command: list[str], folder: Path, *, holds_ctrl_c: bool) -> int:
        assert (folder, holds_ctrl_c) == (tmp_path, True)
        started.append(command)
        return 0

    monkeypatch.setattr(dev, "set_up", lambda checkout: None)
    monkeypatch.setattr(dev, "hand_over", hand_over)
    monkeypatch.chdir(tmp_path)
    checkout = dev.Checkout(dev.ROOT)
    assert dev.start(checkout, ["--port", "7072"]) == dev.start(checkout, ["--script-root", "other"]) == 0
    first, second = started
    assert first[1:] == ["start", "--script-root", str(dev.ROOT), "--port", "7072"]
    assert second[1:] == ["start", "--script-root", str(dev.ROOT), "--script-root", "other"]


def test_check_takes_no_arguments() -> None:
    assert dev.main(["check", "--fix"]) == 2


@pytest.mark.parametrize("command", ["demo", "bench"])
def test_wrong_arguments_are_reported_before_any_set_up(command: str, tmp_path: Path) -> None:
    script = tmp_path / "dev.py"
    script.write_text(Path(dev.__file__).read_text("utf-8"), "utf-8")
    # A copy without requirements or lock file: set-up could only fail there.
    for package in ("demo", "bench"):
        shutil.copytree(dev.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("results"))

    answer = subprocess.run([sys.executable, str(script), command, "--chunks", "many"], capture_output=True, text=True)

    assert answer.returncode == 2
    assert answer.stderr.splitlines() == [
        f"dev.py {command}: argument --chunks: 'many' is not a whole number from 1 to 10000"
    ]
