"""What a measurement runs on: an Azurite and a host of its own, both on free ports and in a folder of the run.

What was started ends with the block it was started for.
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
from demo.host import HOST, Devhost, running_devhost
from devhost import azurite as emulator
from devhost.azurite import Azurite, Ports
from devhost.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
NOOP_APP = ROOT / "bench" / "apps" / "noop"
# Given to every host by the environment, which wins over what its host.json says.
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
) -> Iterator[Devhost]:
    port = free_port()
    command = [sys.executable, "-m", "devhost", "start", "--port", str(port), "--script-root", str(app), "--no-azurite"]
    try:
        with running_devhost(
            command,
            port=port,
            settings={
                "AzureWebJobsStorage": storage.connection_string,
                HUB_NAME_VARIABLE: HUB,
                **(settings or {}),
            },
            log_file=folder / f"devhost-{next(_numbers)}.log",
        ) as host:
            yield host
    except DemoError as error:
        raise BenchError(str(error)) from error


def watch(host: Devhost, azurite: Azurite) -> Watch:
    return Watch({"host": [host.pid], "workers": children_of(host.pid), "azurite": [azurite.pid]})


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        return int(candidate.getsockname()[1])
