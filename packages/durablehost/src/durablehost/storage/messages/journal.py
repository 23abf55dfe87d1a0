"""The receipts of the messages that a host holds, in a local file that survives it.

A killed host leaves its messages invisible until their visibility timeouts are over. A host that starts on the same
machine reads the receipts in the journal of the dead one, and makes these messages visible at once.

Rule of this file: a journal may only be used if its host is dead, and a living host keeps its journal locked. Only the
end of the process frees the lock. A lock is visible only on the kernel it was taken on, so the journal of another
kernel proves nothing. A journal may be out of date: the storage refuses a receipt that is not the last one of its
message.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType

from durablehost.system.file_lock import try_lock
from durablehost.system.kernel import kernel_id

_SUFFIX = ".journal"
_OWNER_ONLY = 0o600
# The file is rewritten when it has grown to this, or to twice its size after the last rewrite.
_COMPACT_BYTES = 256 * 1024
# A journal of another hub is left to the next host of that hub, but not for ever.
_FOREIGN_MAX_AGE_SECONDS = 24 * 60 * 60
_LOCK_ATTEMPTS = 100
_LOCK_PAUSE_SECONDS = 0.01

_WORKER_ID = re.compile(r"[\w.-]{1,200}")
_QUEUE_NAME = re.compile(r"[a-z0-9-]{1,200}")

_log = logging.getLogger("Host.TaskHub")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Identifies the hub of a journal: its name, its account, and the kernel of the host."""

    hub: str
    queues: str
    kernel: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A message in a queue, with the pop receipts that may be its last, newest first."""

    queue_name: str
    message_id: str
    pop_receipts: tuple[str, ...]


class Journal:
    """The messages that one host holds, in memory and, if there is one, in a file."""

    def __init__(self, file: FileIO | None = None) -> None:
        self._file = file
        self._start = self._size = file.tell() if file else 0
        self._limit = _COMPACT_BYTES
        self._held: dict[tuple[str, str], tuple[str, ...]] = {}

    @property
    def has_file(self) -> bool:
        """Whether another host can read the journal."""
        return self._file is not None

    @property
    def is_empty(self) -> bool:
        return not self._held

    def hold(self, queue_name: str, receipts: Iterable[tuple[str, str]]) -> None:
        """Adds messages of a queue, each as id and pop receipt, or replaces their receipts."""
        lines = []
        for message_id, pop_receipt in receipts:
            key = (queue_name, message_id)
            # If the emulator is killed, too, it goes back to its saved state, in which the earlier receipt is the last.
            self._held[key] = (pop_receipt, *self._held.get(key, ())[:1])
            lines.append(f"{queue_name} {message_id} {pop_receipt}\n")
        self._write("".join(lines))

    def settle(self, queue_name: str, message_id: str) -> None:
        """Removes a message that was deleted, made visible, or received by another host."""
        if self._held.pop((queue_name, message_id), None):
            self._write(f"{queue_name} {message_id}\n")

    def end(self) -> None:
        """Stops writing to the file."""
        self._file = None

    def _write(self, text: str) -> None:
        if self._file is None or not text:
            return
        try:
            self._size += self._file.write(text.encode())
            if self._size > self._limit:
                self._compact(self._file)
        except OSError as error:
            _log.warning("The journal of held messages ends here; it cannot be written: %s", error)
            # The file stays open and locked, to show that this host is alive.
            self.end()

    def _compact(self, file: FileIO) -> None:
        content = "".join(
            f"{queue_name} {message_id} {pop_receipt}\n"
            for (queue_name, message_id), pop_receipts in self._held.items()
            for pop_receipt in reversed(pop_receipts)
        )
        file.seek(self._start)
        self._size = self._start + file.write(content.encode())
        file.truncate(self._size)
        self._limit = max(_COMPACT_BYTES, 2 * self._size)


def _read(lines: Iterable[str]) -> Iterator[Receipt]:
    held: dict[tuple[str, str], tuple[str, ...]] = {}
    for line in lines:
        words = line.split(" ")
        if len(words) not in (2, 3) or not _QUEUE_NAME.fullmatch(words[0]):
            continue
        key = (words[0], words[1])
        if len(words) == 2:
            held.pop(key, None)
        else:
            held[key] = (words[2], *held.get(key, ())[:1])
    for (queue_name, message_id), pop_receipts in held.items():
        yield Receipt(queue_name=queue_name, message_id=message_id, pop_receipts=pop_receipts)


class DeadJournal:
    """The journal of a dead host, locked so that only one host works on it."""

    def __init__(self, path: Path, file: FileIO, receipts: tuple[Receipt, ...]) -> None:
        self._path = path
        self._file = file
        self.receipts = receipts

    @property
    def worker_id(self) -> str:
        return self._path.name.removesuffix(_SUFFIX)

    def remove(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Unlocks the journal, which can be used again."""
        self._file.close()


class JournalFolder:
    """The journals of the hosts of one app on this machine; between enter and exit this host has its own there."""

    def __init__(self, folder: Path | None, *, worker_id: str, hub_name: str, queue_endpoint: str) -> None:
        self._folder = folder
        self._owner = Owner(hub=hub_name.lower(), queues=queue_endpoint, kernel=kernel_id() or "")
        self._own_path = folder / f"{worker_id}{_SUFFIX}" if folder else None
        self._own_file: FileIO | None = None
        self._dead: set[str] = set()
        # Journals of other hubs and kernels, which are not read again.
        self._foreign: set[Path] = set()
        self.own = Journal()

    def __enter__(self) -> JournalFolder:
        if self._own_path is None or not self._owner.kernel:
            return self
        try:
            self._own_file = self._open_own(self._own_path)
        except OSError as error:
            _log.warning(
                "No journal of held messages can be kept in %s: %s. "
                "If this host is killed, they come back only when their visibility timeout is over.",
                self._folder,
                error.strerror or error,
            )
        else:
            self.own = Journal(self._own_file)
        return self

    def _open_own(self, path: Path) -> FileIO:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = FileIO(path, "x+", opener=_open_for_owner_only)
        try:
            _lock(file)
            # A file without this line has not been locked by its host yet.
            file.write(f"{json.dumps(asdict(self._owner))}\n".encode())
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_file is None or self._own_path is None:
            return
        self.own.end()
        self._own_file.close()
        if self.own.is_empty:
            with contextlib.suppress(OSError):
                self._own_path.unlink()

    def is_dead(self, worker_id: str) -> bool:
        """Whether a host has kept a journal here and has ended since. False if that is not known."""
        if worker_id in self._dead:
            return True
        if self._folder is None or not _WORKER_ID.fullmatch(worker_id):
            return False
        path = self._folder / f"{worker_id}{_SUFFIX}"
        if path != self._own_path and (journal := self._open_dead(path)):
            journal.close()
        return worker_id in self._dead

    def find_dead(self) -> Iterator[DeadJournal]:
        """The journals of dead hosts of this hub; the caller closes or removes each."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                if path.suffix == _SUFFIX and path != self._own_path and path not in self._foreign:
                    yield from filter(None, [self._open_dead(path)])

    def _open_dead(self, path: Path) -> DeadJournal | None:
        """Returns the journal if its host is dead and was of this hub. Remembers dead hosts of any hub."""
        try:
            file = FileIO(path, "r+")
        except OSError:
            return None
        journal = None
        try:
            if try_lock(file):
                journal = self._judge(path, file)
        except OSError:
            journal = None
        if journal is None:
            file.close()
        return journal

    def _judge(self, path: Path, file: FileIO) -> DeadJournal | None:
        header, *lines = file.readall().decode("utf-8", "replace").split("\n")
        try:
            owner = Owner(**json.loads(header))
        except (ValueError, TypeError):
            # Its host is about to lock it, or was killed before that.
            return None
        # The last line is empty, or was not written completely.
        journal = DeadJournal(path, file, tuple(_read(lines[:-1])))
        if owner.kernel == self._owner.kernel:
            self._dead.add(journal.worker_id)
        if owner == self._owner:
            return journal
        self._foreign.add(path)
        if time.time() - os.fstat(file.fileno()).st_mtime > _FOREIGN_MAX_AGE_SECONDS:
            journal.remove()
        return None


def _open_for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _lock(file: FileIO) -> None:
    # Another host may lock the file for a moment, to see if this host is dead.
    for _ in range(_LOCK_ATTEMPTS):
        if try_lock(file):
            return
        time.sleep(_LOCK_PAUSE_SECONDS)
    raise OSError("another process keeps it locked")
