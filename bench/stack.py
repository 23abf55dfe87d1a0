"""Starts an Azurite and a host for a measurement, both on free ports and in a folder of the run.

Each ends with its block.
"""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.usage import Watch, children_of
from demo.errors import DemoError
from demo.host import HOST, DurableHost, running_durablehost
from durablehost.emulator import azurite as emulator
from durablehost.emulator.azurite import Azurite, Ports
from durablehost.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
NOOP_APP = ROOT / "bench" / "apps" / "noop"
# Set for every host by the environment, which overrides host.json.
HUB = "BenchHub"
HUB_NAME_VARIABLE = "AzureFunctionsJobHost__extensions__durableTask__hubName"

_numbers = itertools.count(1)


@contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    location = folder / f"azurite-{next(_numbers)}"
    try:
        azurite = emulator.start(location=location, ports=emulator.free_ports(), folders=[ROOT])
    except ConfigurationError as error:
        raise BenchError(str(error)) from error
    with azurite:
        yield azurite


@contextmanager
def running_host(
    storage: Ports, folder: Path, *, app: Path = NOOP_APP, settings: Mapping[str, str] | None = None
) -> Iterator[DurableHost]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "durablehost",
        "start",
        "--port",
        str(port),
        "--script-root",
        str(app),
        "--no-azurite",
    ]
    try:
        with running_durablehost(
            command,
            port=port,
            settings={
                "AzureWebJobsStorage": storage.connection_string,
                HUB_NAME_VARIABLE: HUB,
                **(settings or {}),
            },
            log_file=folder / f"durablehost-{next(_numbers)}.log",
        ) as host:
            yield host
    except DemoError as error:
        raise BenchError(str(error)) from error


def watch(host: DurableHost, azurite: Azurite) -> Watch:
    return Watch({"host": [host.pid], "workers": children_of(host.pid), "azurite": [azurite.pid]})


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        return int(candidate.getsockname()[1])
