"""`durablehost console`: the console for a task hub of any host, with no app and no host running.

The hub is only opened: no lease is taken, no message received, and nothing created.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from typing import Any

from durablehost.commands.arguments import add_common_options, add_hub_options
from durablehost.console import Console
from durablehost.errors import ConfigurationError
from durablehost.settings import Settings

# Not that of a host, which may run beside it.
PORT = 7079


def add_console_parser(commands: Any) -> None:
    """Adds `console` to the subparsers of the command line."""
    console: argparse.ArgumentParser = commands.add_parser(
        "console",
        help="show a task hub in the browser, without a host, until Ctrl+C",
        description="Serves the console for a task hub until Ctrl+C: that of the app in this folder, or any hub of "
        "`func` or of Azure. Runs nothing, and only reads unless --allow-actions is given.",
    )
    console.add_argument(
        "-p", "--port", type=int, default=PORT, help="port to listen on, for this machine alone (default: %(default)s)"
    )
    console.add_argument(
        "--allow-actions", action="store_true", help="allow to start, change and purge instances, and signal entities"
    )
    add_hub_options(console)
    add_common_options(console)


def serve_console(settings: Settings, console: Console, *, allows_actions: bool, is_own_hub: bool) -> None:
    """Serves the console until KeyboardInterrupt. `is_own_hub`: the hub is that of the app.

    Raises:
        DurableHostError: the storage cannot be used, or the port is taken.
    """
    asyncio.run(_serve(settings, console, allows_actions=allows_actions, is_own_hub=is_own_hub))


async def _serve(settings: Settings, console: Console, *, allows_actions: bool, is_own_hub: bool) -> None:
    # Imported late, because it loads the Azure SDKs.
    from durablehost.clock import SystemClock
    from durablehost.commands.hub import client_of, functions_of, receiving_nothing
    from durablehost.commands.hubs import SettingsHubs
    from durablehost.console import configure_logging
    from durablehost.emulator.local_storage import usable_storage
    from durablehost.storage.hub.task_hub import open_task_hub
    from durablehost.system.open_files import raise_limit
    from durablehost.web.connections import most_connections
    from durablehost.web.console_server import ConsoleServer

    configure_logging(console, settings.log)
    app = functions_of(settings) if is_own_hub else None
    names = [function.registered_name for function in app.orchestrators.values()] if app else []
    clock = SystemClock()
    async with (
        usable_storage(settings, console) as usable,
        open_task_hub(receiving_nothing(usable), clock) as hub,
        AsyncExitStack() as others,
    ):
        hub_name = usable.durable.hub_name
        has_hub = bool((await hub.look_around("")).leases)
        if allows_actions and not has_hub:
            raise ConfigurationError(
                f"There is no task hub '{hub_name}' in this storage to act on. Check --task-hub-name and "
                "--connection-string-setting; a host creates its hub at its first start."
            )
        server = ConsoleServer(
            client_of(hub, usable, app),
            clock,
            hub_name=hub_name,
            connection_name=usable.storage.connection_name,
            orchestrators=names,
            allows_actions=allows_actions,
            connections=most_connections(raise_limit()),
            hubs=SettingsHubs(usable, clock, others),
        )
        await server.start(settings.http.port)
        try:
            console.line(f"Task hub: {hub_name} (storage: {usable.storage.connection_name})")
            if not has_hub:
                console.line("There is no such task hub in this storage yet.")
            console.line(
                "With actions: every program of this machine can change this hub."
                if allows_actions
                else "Only reads. To act on instances, give --allow-actions."
            )
            console.line(f"Console: {server.url}")
            await asyncio.Event().wait()
        finally:
            await server.stop()
