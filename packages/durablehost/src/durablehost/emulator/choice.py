"""Chooses the Azurite that an app uses, its own or the one on given ports, and starts it if need be. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from durablehost.emulator import azurite, use
from durablehost.emulator.address_file import Address, load_address, move_address
from durablehost.emulator.azurite import Ports, PortTaken
from durablehost.emulator.installation import cache_folder
from durablehost.emulator.run_folder import RunFolder, Running, locked, usable
from durablehost.emulator.use import Use
from durablehost.errors import ConfigurationError
from durablehost.system.local_folder import NAME as LOCAL_FOLDER
from durablehost.system.local_folder import make_local_folder

Say = Callable[[str], None]

# Those of `UseDevelopmentStorage=true` everywhere else.
USUAL_PORTS = Ports()

_TRIALS = 5
_LOCKS = 64


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The Azurite that an app uses. `use` None: durablehost has not started it. `origin`: whose it is, for the log."""

    use: Use | None
    origin: str


def use_own(script_root: Path, say: Say, *, may_start: bool = True) -> tuple[Chosen, Address] | None:
    """Uses the Azurite of the app, with a key and ports of its own; None if it neither runs nor may be started.

    Raises:
        ConfigurationError: it cannot start, or another Azurite has the data of the app.
    """
    folder = _new_folder(script_root) if may_start else RunFolder(script_root / LOCAL_FOLDER)
    if not may_start and not folder.exists():
        return None
    with folder.exclusively():
        joined = use.join(folder)
        if joined is None:
            return _start_own(folder, script_root, say) if may_start else None
    if not joined.running.has_own_key:
        joined.end()
        if may_start:
            raise _conflict(folder, joined.running, "--shared-azurite")
        return None
    address = Address(key=load_address(folder.local_folder, []).key, ports=joined.ports)
    origin = f"Using the Azurite of this app on {joined.ports}, which another process of it has started."
    return Chosen(use=joined, origin=origin), address


def _new_folder(script_root: Path) -> RunFolder:
    with usable(script_root / LOCAL_FOLDER):
        return RunFolder(make_local_folder(script_root))


def _start_own(folder: RunFolder, script_root: Path, say: Say) -> tuple[Chosen, Address]:
    _check_first_start(folder)
    warnings: list[str] = []
    address = load_address(folder.local_folder, warnings)
    for warning in warnings:
        say(warning)
    for _ in range(_TRIALS):
        if azurite.are_free(address.ports):
            say(f"Starting the Azurite of this app on {address.ports}, with its data in {folder.data}.")
            running = Running(ports=address.ports, has_own_key=True, app=str(script_root))
            with suppress(PortTaken):
                started = use.start(
                    folder,
                    running,
                    accounts=azurite.accounts_with(address.key),
                    folders=[script_root, Path.cwd()],
                    note=_note_of(address.ports),
                )
                return Chosen(use=started, origin=_unused_others()), address
        address = move_address(folder.local_folder, address)
    raise ConfigurationError(f"Azurite cannot start: other programs have taken its ports {_TRIALS} times.")


def _check_first_start(folder: RunFolder) -> None:
    """Refuses to run a second Azurite on data that the one on the usual ports may be using.

    Versions of durablehost without keys for Azurite ran it there; one that was killed has left it running.
    """
    has_old_data = folder.data.is_dir() and not folder.log_file.exists()
    if has_old_data and azurite.listening(USUAL_PORTS):
        raise ConfigurationError(
            f"An Azurite on {USUAL_PORTS} may be using the data of this app in {folder.data}. End it, and start "
            "again: the app gets an Azurite of its own with that data. To keep using that one, add --shared-azurite."
        )


def _unused_others() -> str:
    if not azurite.listening(USUAL_PORTS):
        return ""
    return f"The app does not use what answers on {USUAL_PORTS}, the usual ports of Azurite; --shared-azurite does."


def use_on_ports(
    ports: Ports, script_root: Path, say: Say, *, accounts: str | None = None, may_start: bool = True
) -> Chosen:
    """Uses the Azurite on these ports, whoever has started it. `accounts` are those of one that is started here.

    Raises:
        ConfigurationError: it cannot start, or must not.
    """
    note = _note_of(ports)
    for _ in range(_TRIALS):
        with _alone_on(ports, note):
            if joined := _join_on(ports, script_root, note):
                origin = f"Using the Azurite on {ports}, which durablehost has started for {joined.running.app}."
                return Chosen(use=joined, origin=origin)
            if azurite.listening(ports):
                return Chosen(use=None, origin=f"Using the Azurite on {ports}, which durablehost has not started.")
            if not may_start:
                raise ConfigurationError(
                    f"The storage emulator does not answer on {ports}. Start Azurite (`npx azurite`), or leave out "
                    "--no-azurite so that durablehost starts it."
                )
            # If something else has the ports by now, it is what answers there.
            with suppress(PortTaken):
                return Chosen(use=_start_on(ports, script_root, say, accounts, note), origin="")
    raise ConfigurationError(f"Azurite cannot start: other programs have taken the ports {ports}, and do not answer.")


def _start_on(ports: Ports, script_root: Path, say: Say, accounts: str | None, note: Path | None) -> Use:
    folder = _new_folder(script_root)
    with folder.exclusively():
        if running := folder.running():
            raise _conflict(folder, running, '"UseDevelopmentStorage=true" without --shared-azurite')
        say(f"Nothing answers on {ports}: starting Azurite, with its data in {folder.data}.")
        running = Running(ports=ports, has_own_key=False, app=str(script_root))
        return use.start(folder, running, accounts=accounts, folders=[script_root, Path.cwd()], note=note)


def _join_on(ports: Ports, script_root: Path, note: Path | None) -> Use | None:
    """Uses the Azurite of this app, or of the one that the note names, if it runs on these ports."""
    folders = [RunFolder(script_root / LOCAL_FOLDER)]
    with suppress(OSError):
        if note is not None:
            folders.append(RunFolder(Path(note.read_text("utf-8"))))
    for folder in folders:
        if folder.exists():
            with folder.exclusively():
                running = folder.running()
                if running is not None and running.ports == ports:
                    return use.join(folder)
    return None


def _note_of(ports: Ports) -> Path | None:
    """The file that names the app whose Azurite listens on these ports, for others; None if it cannot be written."""
    folder = cache_folder() / "azurite-on-ports"
    try:
        # One by one: a parent that `mkdir` makes has the mode of the umask.
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder / "-".join(map(str, astuple(ports)))


@contextmanager
def _alone_on(ports: Ports, note: Path | None) -> Iterator[None]:
    """Keeps other processes from starting an Azurite on these ports meanwhile."""
    # Few files, and hardly ever one that somebody with other ports has locked.
    lock_name = f"lock-{ports.blob % _LOCKS}"
    with nullcontext() if note is None else locked(note.with_name(lock_name)):
        yield


def _conflict(folder: RunFolder, running: Running, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"An Azurite on {running.ports} is already using the data of this app in {folder.data}: end the processes that "
        f"use it, or use it as well: {remedy}."
    )


def connection_string(script_root: Path) -> tuple[str, bool]:
    """The connection string of the app's Azurite, and whether that runs."""
    folder = _new_folder(script_root)
    with folder.exclusively():
        running = folder.running()
        if running is not None and not running.has_own_key:
            return running.ports.connection_string, True
        address = load_address(folder.local_folder, [])
    ports = address.ports if running is None else running.ports
    return ports.connection_string_with(address.key), running is not None
