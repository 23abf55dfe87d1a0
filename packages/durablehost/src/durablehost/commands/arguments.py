"""The verbs of `durablehost durable`, with the options, names and defaults of `func durable`.

Rule of this file: it only reads the command line, so that errors in it are reported without loading the Azure SDKs.
"""

from __future__ import annotations

import argparse
import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from durablehost.core.history_json import parse_moment
from durablehost.core.status import RuntimeStatus

_STATUSES = {status.value.lower(): status for status in RuntimeStatus}
_CREATED = ("--created-after", "--created-before")


@dataclass(frozen=True, kw_only=True)
class DurableCommand:
    """A verb with its options; members that the verb has no option for have their defaults.

    `payload` is the text of `--input` or `--event-data`, not parsed yet. Both times are inclusive.
    """

    verb: str
    script_root: Path | None = None
    connection_string_setting: str | None = None
    task_hub_name: str | None = None
    no_azurite: bool = False
    shared_azurite: bool = False
    id: str | None = None
    function_name: str = ""
    version: str | None = None
    payload: str | None = None
    event_name: str = ""
    reason: str = ""
    show_input: bool = False
    show_output: bool = False
    created_after: datetime | None = None
    created_before: datetime | None = None
    runtime_status: tuple[RuntimeStatus, ...] = ()
    top: int = 10
    continuation_token: str = ""
    as_json: bool = False

    @property
    def is_own_hub(self) -> bool:
        """Whether it is the hub of the app."""
        return self.task_hub_name is None and self.connection_string_setting is None


def add_durable_parser(commands: Any) -> None:
    """Adds `durable` and its verbs to the subparsers of the command line."""
    durable = commands.add_parser(
        "durable",
        help="read or change a task hub, with or without a running host",
        description="Reads or changes the task hub of the function app in this folder, with or without a running host. "
        "Results are JSON on stdout; those of explain and watch are text, or JSON with --json.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 invalid configuration or environment, 3 wrong arguments.",
    )
    verbs = durable.add_subparsers(dest="verb", metavar="verb", required=True)
    _add_reading_verbs(verbs)
    _add_acting_verbs(verbs)
    # Last, so that the help of a verb begins with its own options.
    for verb in verbs.choices.values():
        hub = verb.add_argument_group("which task hub")
        add_hub_options(hub)
        add_common_options(hub)


def durable_command(parsed: argparse.Namespace) -> DurableCommand:
    known = {field.name for field in fields(DurableCommand)}
    return DurableCommand(**{name: value for name, value in vars(parsed).items() if name in known})


def _add_reading_verbs(verbs: Any) -> None:
    instances = _verb(verbs, "get-instances", "list the status of instances")
    _add_filter(instances)
    instances.add_argument("--top", type=_positive, default=10, metavar="N", help="at most N instances (default: 10)")
    instances.add_argument("--continuation-token", default="", metavar="TOKEN", help="token of an earlier page")
    status = _verb(verbs, "get-runtime-status", "show the status of an instance", with_id=True)
    for shown in ("input", "output"):
        # `func durable` has `--show-input true`.
        option, text = f"--show-{shown}", f"show its {shown}"
        status.add_argument(option, type=_boolean, nargs="?", const=True, default=False, metavar="true", help=text)
    _verb(verbs, "get-history", "show the history of an instance", with_id=True)
    explanation = _verb(verbs, "explain", "say why an instance does not go on", with_id=True)
    _add_json(explanation, "print the sentences and their kinds as JSON")
    watch = _verb(verbs, "watch", "show instances while they run, until Ctrl+C, or one until its end")
    watch.add_argument("--id", help="show this instance only, until it ends; exit code 0: completed, 1: not completed")
    _add_filter(watch)
    watch.add_argument("--top", type=_positive, default=20, metavar="N", help="at most N instances (default: 20)")
    _add_json(watch, "print one line of JSON for each change")


def _add_acting_verbs(verbs: Any) -> None:
    start = _verb(verbs, "start-new", "start an instance; a host has to run it")
    start.add_argument("--function-name", required=True, metavar="NAME", help="name of the orchestrator")
    start.add_argument("--id", help="id of the instance (default: a new one)")
    start.add_argument("--input", dest="payload", metavar="JSON", help="input of the instance, or @FILE")
    start.add_argument("--version", help="version of the instance")
    event = _verb(verbs, "raise-event", "send an external event to an instance", with_id=True)
    event.add_argument(
        "--event-name",
        default=f"Event_{uuid.uuid4().hex}",
        metavar="NAME",
        help="name of the event (default: a random one)",
    )
    event.add_argument("--event-data", dest="payload", metavar="JSON", help="data of the event, or @FILE")
    terminate = _verb(verbs, "terminate", "end an instance", with_id=True)
    terminate.add_argument("--reason", default="Instance termination.", help="why (default: %(default)r)")
    rewind = _verb(verbs, "rewind", "repeat the failed work of a failed instance", with_id=True)
    rewind.add_argument("--reason", default="Instance rewind.", help="why (default: %(default)r)")
    purge = _verb(verbs, "purge-history", "remove finished instances")
    purge.add_argument("--id", help="remove this instance only")
    _add_filter(purge)
    _verb(verbs, "delete-task-hub", "delete everything in the storage that belongs to the hub, without asking")


def _verb(verbs: Any, name: str, summary: str, *, with_id: bool = False) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    if with_id:
        verb.add_argument("--id", required=True, help="id of the instance")
    return verb


def add_hub_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options that name a task hub."""
    parser.add_argument("--connection-string-setting", metavar="NAME", help="app setting with the storage connection")
    parser.add_argument("--task-hub-name", metavar="NAME", help="name of the task hub (default: that of host.json)")


def add_common_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options of every command that reads the settings of an app."""
    folder = "folder of the app (default: this one or one above it)"
    parser.add_argument("--script-root", "--prefix", type=Path, metavar="FOLDER", help=folder)
    no_azurite = "do not start Azurite if the storage emulator does not answer"
    parser.add_argument("--no-azurite", action="store_true", help=no_azurite)
    shared_azurite = "use the Azurite on ports 10000 to 10002, with its published key, not one of the app's own"
    parser.add_argument("--shared-azurite", action="store_true", help=shared_azurite)


def _add_filter(verb: argparse.ArgumentParser) -> None:
    for option in _CREATED:
        verb.add_argument(option, type=_moment, metavar="TIME", help="ISO 8601 time; UTC if it has no offset")
    verb.add_argument("--runtime-status", type=_statuses, default=(), metavar="STATUS", help="one, or several: 'a b'")


def _add_json(verb: argparse.ArgumentParser, summary: str) -> None:
    verb.add_argument("--json", dest="as_json", action="store_true", help=summary)


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return number


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false") from None


def _moment(text: str) -> datetime:
    moment = parse_moment(text)
    if moment is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time, such as 2026-01-05T10:00:00Z")
    return moment


def _statuses(text: str) -> tuple[RuntimeStatus, ...]:
    words = text.replace(",", " ").split()
    unknown = [word for word in words if word.lower() not in _STATUSES]
    if unknown:
        known = ", ".join(status.value for status in RuntimeStatus)
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {known}")
    return tuple(_STATUSES[word.lower()] for word in words)
