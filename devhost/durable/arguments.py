"""The verbs of `devhost durable`, with the options, names and defaults of `func durable`.

The rule of this file: it only reads the command line, so that a wrong one is told before the Azure SDKs are loaded.
"""

from __future__ import annotations

import argparse
import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from devhost.core.history_json import parse_moment
from devhost.core.status import RuntimeStatus

_STATUSES = {status.value.lower(): status for status in RuntimeStatus}
_CREATED = ("--created-after", "--created-before")


@dataclass(frozen=True, kw_only=True)
class DurableCommand:
    """One call of a verb; what its verb has no option for has its default.

    `payload` is what `--input` or `--event-data` says, not read yet. Both times are inclusive.
    """

    verb: str
    script_root: Path | None = None
    connection_string_setting: str | None = None
    task_hub_name: str | None = None
    no_azurite: bool = False
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


def add_durable_parser(commands: Any) -> None:
    """Adds `durable` and its verbs to the subparsers of the command line."""
    durable = commands.add_parser(
        "durable",
        help="look at a task hub, or act on it, with no host running",
        description="Looks at the task hub of the function app of this folder, or acts on it, with no host running. "
        "Answers are JSON on stdout.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 a setting or the machine is not as it must be, "
        "3 wrong arguments.",
    )
    verbs = durable.add_subparsers(dest="verb", metavar="verb", required=True)
    _add_reading_verbs(verbs)
    _add_acting_verbs(verbs)


def durable_command(parsed: argparse.Namespace) -> DurableCommand:
    known = {field.name for field in fields(DurableCommand)}
    return DurableCommand(**{name: value for name, value in vars(parsed).items() if name in known})


def _add_reading_verbs(verbs: Any) -> None:
    instances = _verb(verbs, "get-instances", "list the status of instances")
    _add_filter(instances)
    instances.add_argument("--top", type=_positive, default=10, metavar="N", help="at most so many (default: 10)")
    instances.add_argument("--continuation-token", default="", metavar="TOKEN", help="the page after an earlier one")
    status = _verb(verbs, "get-runtime-status", "show the status of an instance", with_id=True)
    for shown in ("input", "output"):
        # `func durable` has `--show-input true`.
        status.add_argument(f"--show-{shown}", type=_boolean, nargs="?", const=True, default=False, metavar="true")
    _verb(verbs, "get-history", "show the history of an instance", with_id=True)


def _add_acting_verbs(verbs: Any) -> None:
    start = _verb(verbs, "start-new", "start an instance; a host has to run it")
    start.add_argument("--function-name", required=True, metavar="NAME", help="its orchestrator")
    start.add_argument("--id", help="its id (default: a new one)")
    start.add_argument("--input", dest="payload", metavar="JSON", help="its input, or @FILE")
    start.add_argument("--version", help="its version")
    event = _verb(verbs, "raise-event", "send an external event to an instance", with_id=True)
    event.add_argument("--event-name", default=f"Event_{uuid.uuid4().hex}", metavar="NAME", help="(default: a new one)")
    event.add_argument("--event-data", dest="payload", metavar="JSON", help="its data, or @FILE")
    terminate = _verb(verbs, "terminate", "end an instance", with_id=True)
    terminate.add_argument("--reason", default="Instance termination.", help="(default: %(default)s)")
    rewind = _verb(verbs, "rewind", "make a failed instance do again what failed", with_id=True)
    rewind.add_argument("--reason", default="Instance rewind.", help="(default: %(default)s)")
    purge = _verb(verbs, "purge-history", "remove finished instances")
    purge.add_argument("--id", help="this instance only")
    _add_filter(purge)
    _verb(verbs, "delete-task-hub", "delete everything in the storage that belongs to the hub, without asking")


def _verb(verbs: Any, name: str, summary: str, *, with_id: bool = False) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    if with_id:
        verb.add_argument("--id", required=True, help="the instance")
    verb.add_argument("--connection-string-setting", metavar="NAME", help="setting that holds the storage connection")
    verb.add_argument("--task-hub-name", metavar="NAME", help="another hub than that of host.json")
    verb.add_argument(
        "--script-root", "--prefix", type=Path, metavar="FOLDER", help="folder of the app (default: found from here up)"
    )
    verb.add_argument("--no-azurite", action="store_true", help="do not start Azurite where the emulator is not there")
    return verb


def _add_filter(verb: argparse.ArgumentParser) -> None:
    for option in _CREATED:
        verb.add_argument(option, type=_moment, metavar="TIME", help="ISO 8601, UTC unless it says otherwise")
    verb.add_argument("--runtime-status", type=_statuses, default=(), metavar="STATUS", help="one, or several: 'a b'")


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
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
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(_STATUSES)}")
    return tuple(_STATUSES[word.lower()] for word in words)
