"""The arguments of the verbs, and the errors before anything is sent."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path

import pytest

from durablehost.cli import main
from durablehost.commands.arguments import DurableCommand, add_durable_parser, durable_command
from durablehost.commands.verbs import payload_text
from durablehost.core.status import RuntimeStatus
from durablehost.errors import ConfigurationError


def command(*arguments: str) -> DurableCommand:
    parser = argparse.ArgumentParser()
    add_durable_parser(parser.add_subparsers(dest="command"))
    return durable_command(parser.parse_args(["durable", *arguments]))


def test_a_listing_accepts_every_filter() -> None:
    listing = command(
        *("get-instances", "--created-after", "2026-01-05", "--created-before", "2026-01-05T10:00:00+02:00"),
        *("--runtime-status", "running Failed", "--top", "3", "--continuation-token", "abc"),
        *("--task-hub-name", "Other", "--connection-string-setting", "OtherStorage"),
    )
    assert listing.created_after == datetime(2026, 1, 5, tzinfo=timezone.utc)
    assert listing.created_before == datetime(2026, 1, 5, 8, tzinfo=timezone.utc)
    assert listing.runtime_status == (RuntimeStatus.RUNNING, RuntimeStatus.FAILED)
    assert (listing.top, listing.continuation_token) == (3, "abc")
    assert (listing.task_hub_name, listing.connection_string_setting) == ("Other", "OtherStorage")
    assert command("get-instances").top == 10


def test_status_options_are_those_of_func() -> None:
    status = command("get-runtime-status", "--id", "x", "--show-input", "true", "--show-output")
    assert (status.show_input, status.show_output) == (True, True)
    assert not command("get-runtime-status", "--id", "x").show_output


def test_watching_accepts_an_instance_or_filters() -> None:
    watching = command("watch", "--runtime-status", "running", "--created-after", "2026-01-05", "--json")
    assert (watching.id, watching.runtime_status, watching.top) == (None, (RuntimeStatus.RUNNING,), 20)
    assert watching.as_json
    assert command("watch", "--id", "x").id == "x"
    assert not command("explain", "--id", "x").as_json


def test_reasons_and_names_have_the_defaults_of_func() -> None:
    assert command("terminate", "--id", "x").reason == "Instance termination."
    assert command("rewind", "--id", "x").reason == "Instance rewind."
    assert command("raise-event", "--id", "x").event_name.startswith("Event_")


@pytest.mark.parametrize(
    "arguments",
    [
        ["durable"],
        ["durable", "restart"],
        ["durable", "terminate"],
        ["durable", "start-new"],
        ["durable", "explain"],
        ["durable", "watch", "--top", "0"],
        ["durable", "get-instances", "--top", "0"],
        ["durable", "get-instances", "--created-after", "yesterday"],
        ["durable", "purge-history", "--runtime-status", "done"],
        ["durable", "get-runtime-status", "--id", "x", "--show-input", "maybe"],
    ],
)
def test_wrong_arguments_end_with_3(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 3
    shown = capsys.readouterr().err
    assert shown.startswith("durablehost durable")
    assert shown.count("\n") == 1


def test_the_help_of_a_verb_begins_with_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["durable", "watch", "--help"])
    shown = capsys.readouterr().out
    assert "Show instances while they run, until Ctrl+C," in shown
    assert shown.index("--runtime-status STATUS\n") < shown.index("\nwhich task hub:\n") < shown.index("--no-azurite  ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task-hub-name", "no-hub"], '--task-hub-name is "no-hub"'),
        (["--connection-string-setting", "Nowhere"], 'The storage connection "Nowhere" is not set'),
        (["--script-root", "nowhere"], "--script-root: there is no folder nowhere"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    monkeypatch.chdir(tmp_path)
    assert main(["durable", "get-instances", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


@pytest.mark.parametrize(
    ("written", "stored"),
    [(None, None), ('{"a": [1, 2]}', '{"a":[1,2]}'), ("true", "true"), ("hello you", '"hello you"'), ("", '""')],
)
def test_a_payload_is_json_or_else_a_string(written: str | None, stored: str | None) -> None:
    assert payload_text(written) == stored


def test_a_payload_in_a_file_is_json(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"sku": "Ä"}', "utf-8")
    assert payload_text(f"@{file}") == '{"sku":"Ä"}'
    file.write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        payload_text(f"@{file}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        payload_text(f"@{tmp_path / 'nothing'}")


def test_a_payload_in_a_file_may_have_an_encoding_of_windows_and_an_error_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_text('{"a": "ä"}', encoding)
        assert payload_text(f"@{file}") == '{"a":"ä"}'
    file.write_text('{"a":', "utf-8")
    with pytest.raises(ConfigurationError, match=r"input\.json: the file is not JSON: .* \(line 1, column 6\)\.$"):
        payload_text(f"@{file}")
