"""The command line: `start` and `durable`, with the options of `func` that make sense here, `console` and `azurite`.

Exit codes: 0 after Ctrl+C of the host, 1 if the running host fails, 2 for an invalid configuration or environment, 3
for wrong arguments, 130 after Ctrl+C of anything else. A `ConfigurationError` is one line on stderr, never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from durablehost import __version__
from durablehost.commands.arguments import DurableCommand, add_common_options, add_durable_parser, durable_command
from durablehost.commands.azurite import (
    add_azurite_parser,
    install_azurite,
    print_connection_string,
    run_azurite,
)
from durablehost.commands.console import add_console_parser, serve_console
from durablehost.console import Console
from durablehost.errors import ConfigurationError, DurableHostError
from durablehost.printable import print_exception, printable, without_secrets
from durablehost.settings import Settings, StartOptions, find_script_root, load_settings
from durablehost.system.background_stream import BackgroundStream, is_same_file
from durablehost.system.interruption import interruptible

Run = Callable[[Settings, Console], int]


class ExitCode(IntEnum):
    """The exit codes of durablehost."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    ARGUMENTS = 3
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, *, run: Run | None = None) -> int:
    """Runs one command and returns its exit code; `run` stands in for the host in tests."""
    sys.excepthook = print_exception
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return ExitCode.OK
    if parsed.command == "start":
        with _background_console() as console:
            return _reported(console, lambda: _start(parsed, console, run))
    if parsed.command == "console":
        with _background_console() as console, interruptible():
            return _reported(console, lambda: _show_hub(parsed, console))
    # stdout is for the result alone.
    console = Console(sys.stderr if parsed.command == "durable" else sys.stdout, sys.stderr)
    with interruptible():
        if parsed.command == "durable":
            return _reported(console, lambda: _act_on_hub(durable_command(parsed), console))
        return _reported(console, lambda: _act_on_azurite(parsed, console))


def _reported(console: Console, command: Callable[[], int]) -> int:
    """The exit code of the command, or of its error, which is printed as one line."""
    try:
        _check_working_directory()
        return command()
    except ConfigurationError as error:
        console.error(str(error))
        return ExitCode.CONFIGURATION
    except DurableHostError as error:
        # Storage or a worker process failed; the text says who has to act.
        console.error(str(error))
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _check_working_directory() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigurationError("The current folder does not exist any more: change to another one.") from error


@contextmanager
def _background_console() -> Iterator[Console]:
    """A console that never blocks: nor do the tracebacks that Python itself prints."""
    with ExitStack() as stack:
        out = stack.enter_context(BackgroundStream(sys.stdout))
        # One queue for one terminal keeps the lines in their order.
        err = out if is_same_file(sys.stdout, sys.stderr) else stack.enter_context(BackgroundStream(sys.stderr))
        stack.enter_context(redirect_stdout(cast(TextIO, out)))
        stack.enter_context(redirect_stderr(cast(TextIO, err)))
        yield Console(out, err)


def _start(parsed: argparse.Namespace, console: Console, run: Run | None) -> int:
    settings = load_settings(_options(parsed), os.environ)
    try:
        return (run or _run_host())(settings, console)
    except ConfigurationError:
        raise
    except DurableHostError as error:
        raise DurableHostError(f"The host could not start: {error}") from error
    except KeyboardInterrupt:
        # Ctrl+C before the host handles it, or while it ends.
        return ExitCode.OK


def _act_on_azurite(parsed: argparse.Namespace, console: Console) -> int:
    if parsed.action == "install":
        install_azurite(console)
        return ExitCode.OK
    settings = load_settings(StartOptions(script_root=parsed.script_root), os.environ)
    act = run_azurite if parsed.action == "start" else print_connection_string
    try:
        act(settings, console, Console(sys.stderr, sys.stderr))
    except KeyboardInterrupt:
        # The way to end `azurite start`.
        return ExitCode.OK
    return ExitCode.OK


def _act_on_hub(command: DurableCommand, notes: Console) -> int:
    options = StartOptions(
        script_root=command.script_root,
        starts_azurite=not command.no_azurite,
        shares_azurite=command.shared_azurite,
        hub_name=command.task_hub_name,
        connection_name=command.connection_string_setting,
    )
    settings = load_settings(options, os.environ)
    from durablehost.commands.verbs import run_verb

    try:
        return ExitCode.OK if run_verb(command, settings, notes) else ExitCode.FAILED
    except KeyboardInterrupt:
        # The way to end `watch`, unless it waits for the end of one instance.
        if command.verb == "watch" and command.id is None:
            return ExitCode.OK
        raise


def _show_hub(parsed: argparse.Namespace, console: Console) -> int:
    hub, connection = parsed.task_hub_name, parsed.connection_string_setting
    options = StartOptions(
        script_root=_folder_of_settings(parsed),
        port=parsed.port,
        starts_azurite=not parsed.no_azurite,
        shares_azurite=parsed.shared_azurite,
        hub_name=hub,
        connection_name=connection,
    )
    try:
        settings = load_settings(options, os.environ)
        serve_console(settings, console, allows_actions=parsed.allow_actions, is_own_hub=not (hub or connection))
    except KeyboardInterrupt:
        # The way to end it.
        return ExitCode.OK
    return ExitCode.OK


def _folder_of_settings(parsed: argparse.Namespace) -> Path | None:
    """The script root; a hub that is named in full needs no app."""
    if parsed.script_root or not (parsed.task_hub_name and parsed.connection_string_setting):
        return cast("Path | None", parsed.script_root)
    try:
        return find_script_root(Path.cwd())
    except ConfigurationError:
        return Path.cwd()


def _run_host() -> Run:
    # Imported late: --help and errors in settings need not wait for aiohttp and the Azure SDKs.
    from durablehost.host.host import run_host

    return run_host


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Not the usage: so many lines hide the one that says what is wrong.
        text = f"{self.prog}: {message}; see `{self.prog} --help`.\n"
        self.exit(ExitCode.ARGUMENTS, printable(without_secrets(text)))


class _CommandParser(_Parser):
    """Reports unknown arguments with the name of its command; its caller would report them as its own."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="durablehost",
        description="Runs Azure Functions apps of the Python v1 model, Durable Functions included, on this machine: "
        "state in Azurite or Azure Storage, no Core Tools needed.",
    )
    parser.add_argument("--version", action="version", version=f"durablehost {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_CommandParser)
    start = commands.add_parser(
        "start",
        help="run the function app of this folder until Ctrl+C",
        description="Runs the function app of this folder, or of the nearest one above it with a host.json, until "
        "Ctrl+C. Options override local.settings.json.",
        epilog="Exit codes: 0 ended by Ctrl+C, 1 the host failed or could not start, 2 invalid configuration or "
        "environment (one line names the cause), 3 wrong arguments.",
    )
    _add_start_options(start)
    add_durable_parser(commands)
    add_console_parser(commands)
    add_azurite_parser(commands, _CommandParser)
    return parser


def _add_start_options(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        "-p", "--port", type=int, help="port to listen on (default: Host.LocalHttpPort of local.settings.json, or 7071)"
    )
    start.add_argument("--address", help="IP address to listen on (default: Host.LocalHttpAddress, or 127.0.0.1)")
    start.add_argument(
        "--python",
        metavar="PROGRAM",
        help="Python that runs the functions (default: the active virtual environment, or .venv or venv of the app)",
    )
    start.add_argument(
        "--cors", metavar="ORIGINS", help="origins that browsers may call from, separated by commas, or *"
    )
    start.add_argument("--cors-credentials", action="store_true", help="allow such calls to carry credentials")
    start.add_argument(
        "--allowed-hosts", metavar="NAMES", help="further host names to answer to, separated by commas, or * for any"
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
        help="allow other machines to call without a key, if --address is one that they can reach",
    )
    start.add_argument(
        "--console",
        dest="opens_console",
        action="store_true",
        help="open the console in the browser when the host is ready",
    )
    start.add_argument("--functions", nargs="+", default=[], metavar="NAME", help="run these functions only")
    start.add_argument("--verbose", action="store_true", help="show the log of the host itself")
    add_common_options(start)


def _options(parsed: argparse.Namespace) -> StartOptions:
    return StartOptions(
        script_root=parsed.script_root,
        python=parsed.python,
        port=parsed.port,
        address=parsed.address,
        cors=parsed.cors,
        cors_credentials=parsed.cors_credentials,
        allowed_hosts=parsed.allowed_hosts,
        functions=tuple(parsed.functions),
        is_verbose=parsed.verbose,
        starts_azurite=not parsed.no_azurite,
        shares_azurite=parsed.shared_azurite,
        checks_keys=parsed.checks_keys,
        allows_anonymous=parsed.allows_anonymous,
        opens_console=parsed.opens_console,
    )
