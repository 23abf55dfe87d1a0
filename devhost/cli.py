"""The command line: `start` and `durable`, with the options of `func` that make sense here.

Exit codes: 0 after Ctrl+C, 1 when the running host fails, 2 when something is not as it must be to start, 3 for wrong
arguments. A `ConfigurationError` is one line on stderr, never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

from devhost import __version__
from devhost.console import Console
from devhost.durable.arguments import DurableCommand, add_durable_parser, durable_command
from devhost.errors import ConfigurationError, DevHostError
from devhost.settings import Settings, StartOptions, load_settings

Run = Callable[[Settings, Console], int]


class ExitCode(IntEnum):
    """What the exit code of devhost says."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    ARGUMENTS = 3


def main(arguments: Sequence[str] | None = None, *, run: Run | None = None) -> int:
    """Runs one command and returns its exit code; `run` stands in for the host in tests."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return ExitCode.OK
    console = Console(sys.stdout, sys.stderr)
    try:
        if parsed.command == "durable":
            return _act_on_hub(durable_command(parsed))
        settings = load_settings(_options(parsed), os.environ)
        return (run or _run_host())(settings, console)
    except ConfigurationError as error:
        console.error(str(error))
        return ExitCode.CONFIGURATION
    except DevHostError as error:
        # Storage or a worker process failed while the host was starting; whoever can act on it knows from the text.
        console.error(f"The host could not start: {error}")
        return ExitCode.FAILED
    except KeyboardInterrupt:
        # Ctrl+C before the host listens to it, or while it ends.
        return ExitCode.OK


def _act_on_hub(command: DurableCommand) -> int:
    # stdout is for the answer alone.
    notes = Console(sys.stderr, sys.stderr)
    options = StartOptions(
        script_root=command.script_root,
        starts_azurite=not command.no_azurite,
        hub_name=command.task_hub_name,
        connection_name=command.connection_string_setting,
    )
    try:
        settings = load_settings(options, os.environ)
        from devhost.durable.verbs import run_verb

        run_verb(command, settings, notes)
    except ConfigurationError:
        raise
    except DevHostError as error:
        notes.error(str(error))
        return ExitCode.FAILED
    return ExitCode.OK


def _run_host() -> Run:
    # Imported late: --help and a wrong setting answer at once, without loading aiohttp and the Azure SDKs.
    from devhost.host import run_host

    return run_host


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.ARGUMENTS, f"{self.prog}: {message}\n")


class _CommandParser(_Parser):
    """Tells of arguments it does not know by itself: its caller would show the usage of all commands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="devhost",
        description="Runs Azure Functions apps of the Python v1 model, Durable Functions included, on this machine: "
        "state in Azurite or Azure Storage, no Core Tools needed.",
    )
    parser.add_argument("--version", action="version", version=f"devhost {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_CommandParser)
    start = commands.add_parser(
        "start",
        help="run the function app of this folder until Ctrl+C",
        description="Runs the function app of this folder, or of the nearest one above it with a host.json, until "
        "Ctrl+C. Options win over local.settings.json.",
        epilog="Exit codes: 0 ended by Ctrl+C, 1 the host failed, 2 a setting or the machine is not as it must be "
        "(the line says which), 3 wrong arguments.",
    )
    _add_start_options(start)
    add_durable_parser(commands)
    return parser


def _add_start_options(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        "-p", "--port", type=int, help="port to listen on (default: Host.LocalHttpPort of local.settings.json, or 7071)"
    )
    start.add_argument("--address", help="IP address to listen on (default: Host.LocalHttpAddress, or 127.0.0.1)")
    start.add_argument(
        "--script-root", "--prefix", type=Path, metavar="FOLDER", help="folder of the app (default: found from here up)"
    )
    start.add_argument("--cors", metavar="ORIGINS", help="origins that browsers may call from, split by commas, or *")
    start.add_argument("--cors-credentials", action="store_true", help="let such calls carry credentials")
    start.add_argument(
        "--allowed-hosts", metavar="NAMES", help="host names to answer to beside those of this machine, or * for any"
    )
    start.add_argument(
        "--enableAuth",
        dest="checks_keys",
        action="store_true",
        help="ask callers for a key, as Azure does (kept in .local/keys.json)",
    )
    start.add_argument(
        "--allow-anonymous",
        dest="allows_anonymous",
        action="store_true",
        help="let other machines call without a key, where --address lets them reach this one",
    )
    start.add_argument("--functions", nargs="+", default=[], metavar="NAME", help="run these functions only")
    start.add_argument("--verbose", action="store_true", help="show what the host itself logs")
    start.add_argument(
        "--no-azurite", action="store_true", help="do not start Azurite when the storage emulator does not answer"
    )


def _options(parsed: argparse.Namespace) -> StartOptions:
    return StartOptions(
        script_root=parsed.script_root,
        port=parsed.port,
        address=parsed.address,
        cors=parsed.cors,
        cors_credentials=parsed.cors_credentials,
        allowed_hosts=parsed.allowed_hosts,
        functions=tuple(parsed.functions),
        is_verbose=parsed.verbose,
        starts_azurite=not parsed.no_azurite,
        checks_keys=parsed.checks_keys,
        allows_anonymous=parsed.allows_anonymous,
    )
