"""`durablehost azurite`: installs Azurite, runs that of an app without a host, and prints its connection string."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from durablehost.console import Console
from durablehost.emulator import installation
from durablehost.emulator.choice import connection_string, use_own
from durablehost.errors import ConfigurationError
from durablehost.settings import Settings

_POLL_SECONDS = 0.5


def add_azurite_parser(commands: Any, parser_class: type[Any]) -> None:
    """Adds `azurite` and its actions to the subparsers of the command line."""
    azurite = commands.add_parser(
        "azurite",
        help="install or run Azurite, the storage emulator",
        description="Azurite emulates Azure Storage on this machine. `durablehost start` runs it when it is needed.",
    )
    actions = azurite.add_subparsers(dest="action", metavar="action", required=True, parser_class=parser_class)
    actions.add_parser(
        "install",
        help="install the version for this durablehost, for your user only",
        description="Installs the pinned version of Azurite, with all it needs but Node.js, into your cache folder.",
    )
    shown = actions.add_parser(
        "connection-string",
        help="print the connection string of the app's own Azurite",
        description="Prints the connection string of the app's own Azurite, for tools such as Storage Explorer. It "
        "stays the same, unless another program takes a port. Contains the key.",
    )
    run = actions.add_parser(
        "start",
        help="run the app's own Azurite until Ctrl+C, without a host",
        description="Runs the app's own Azurite until Ctrl+C, and prints its connection string.",
    )
    for action in (shown, run):
        folder = "folder of the app (default: this one or one above it)"
        action.add_argument("--script-root", "--prefix", type=Path, metavar="FOLDER", help=folder)


def install_azurite(console: Console) -> None:
    """Installs the pinned version, unless it is installed."""
    if installation.is_installed():
        console.line(f"Azurite {installation.version()} is installed already, in {installation.installation_folder()}")
        return
    console.line(f"Installing Azurite {installation.version()} (about half a minute) ...")
    console.line(f"Azurite {installation.version()} is installed in {installation.install()}")


def print_connection_string(settings: Settings, console: Console, notes: Console) -> None:
    """Prints the connection string; notes go to another console, because stdout is for the result alone."""
    _check_uses_azurite(settings)
    text, is_running = connection_string(settings.script_root)
    console.line(text)
    if not is_running:
        notes.line("This Azurite does not run now: `durablehost start` or `durablehost azurite start` runs it.")


def run_azurite(settings: Settings, console: Console, notes: Console) -> None:
    """Runs the app's own Azurite until KeyboardInterrupt.

    Raises:
        ConfigurationError: it cannot start, or has ended.
    """
    _check_uses_azurite(settings)
    own = use_own(settings.script_root, notes.log)
    assert own is not None
    chosen, address = own
    assert chosen.use is not None
    try:
        if chosen.origin:
            notes.log(chosen.origin)
        console.line(address.connection_string)
        while chosen.use.is_running():
            time.sleep(_POLL_SECONDS)
    finally:
        chosen.use.end()
    raise ConfigurationError(f"Azurite has ended. Its log is {chosen.use.log_file}.")


def _check_uses_azurite(settings: Settings) -> None:
    # Imported late, because it loads the Azure SDKs.
    from durablehost.emulator.local_storage import has_own_azurite

    if not has_own_azurite(settings):
        raise ConfigurationError(
            f"This app has no Azurite of its own: its storage connection {settings.storage.connection_name} is not "
            "UseDevelopmentStorage=true."
        )
