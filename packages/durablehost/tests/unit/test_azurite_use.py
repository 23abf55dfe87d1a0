"""Which Azurite an app uses, and how long that runs; a program written by the test stands in for Azurite."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.emulator import choice, keeper, use
from durablehost.emulator.address_file import Address
from durablehost.emulator.azurite import Azurite, Ports
from durablehost.emulator.choice import Chosen, connection_string, use_on_ports, use_own
from durablehost.emulator.run_folder import RunFolder
from durablehost.errors import ConfigurationError
from durablehost.system.local_folder import make_local_folder
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.unit.stand_ins import LISTENING_EMULATOR, listening_to, use_stand_in, write_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a #! line")

SHOWS_ACCOUNTS = LISTENING_EMULATOR.replace('" ".join(sys.argv[1:])', '__import__("os").environ["AZURITE_ACCOUNTS"]')

# A process that uses an Azurite until it is killed.
USER = """
import sys, time
from pathlib import Path
from durablehost.emulator.choice import use_own
kept = use_own(Path(sys.argv[1]), print)
print("ready", flush=True)
time.sleep(600)
"""


def say(text: str) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def usual_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ports:
    monkeypatch.setenv(emulator.ACCOUNTS_VARIABLE, "of-the-developer")
    return use_stand_in(SHOWS_ACCOUNTS, tmp_path, monkeypatch)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return tmp_path / "app"


@pytest.fixture
def uses() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def own(app: Path, uses: ExitStack, say: Callable[[str], None] = say) -> tuple[Chosen, Address]:
    found = use_own(app, say)
    assert found is not None
    assert found[0].use is not None
    uses.callback(found[0].use.end)
    return found


def on_ports(ports: Ports, app: Path, uses: ExitStack) -> Chosen:
    chosen = use_on_ports(ports, app, say)
    if chosen.use is not None:
        uses.callback(chosen.use.end)
    return chosen


@contextmanager
def user_process(app: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the app's own Azurite."""
    environment = {**os.environ, "PYTHONPATH": str(Path(choice.__file__).parents[2])}
    command = [sys.executable, "-c", USER, str(app)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout)
            yield process
        finally:
            process.kill()


class TestOwn:
    def test_has_a_key_of_its_own_that_only_the_owner_can_read(self, app: Path, uses: ExitStack) -> None:
        chosen, address = own(app, uses)
        assert address.key != emulator.ACCOUNT_KEY
        assert len(address.key) == len(emulator.ACCOUNT_KEY)
        assert chosen.use is not None
        assert f"devstoreaccount1:{address.key}" in chosen.use.log_file.read_text()
        assert stat.S_IMODE((app / ".local" / "azurite.json").stat().st_mode) == 0o600
        assert address.key not in repr(address)
        assert address.connection_string == address.ports.connection_string_with(address.key)

    def test_keeps_key_and_ports_at_the_next_start(self, app: Path) -> None:
        found = []
        for _ in range(2):
            with ExitStack() as uses:
                found.append(own(app, uses)[1])
            assert emulator.listening(found[0].ports) == []
        assert found[0] == found[1]
        assert connection_string(app) == (found[0].connection_string, False)

    def test_gets_other_ports_if_one_is_taken_and_keeps_them(self, app: Path) -> None:
        with ExitStack() as uses:
            first = own(app, uses)[1]
        with listening_to(first.ports.queue), ExitStack() as uses:
            second = own(app, uses)[1]
            assert not set(astuple(first.ports)) & set(astuple(second.ports))
            assert second.key == first.key
            assert connection_string(app) == (second.connection_string, True)
        with ExitStack() as uses:
            assert own(app, uses)[1] == second

    def test_gets_other_ports_if_another_program_takes_one_while_it_starts(
        self, app: Path, uses: ExitStack, tmp_path: Path
    ) -> None:
        mark = tmp_path / "tried"
        fails_once = (
            f"import pathlib, sys\nmark = pathlib.Path({str(mark)!r})\n"
            "if not mark.exists():\n    mark.touch()\n    sys.exit('listen EADDRINUSE: address already in use')\n"
        )
        write_program(tmp_path / "bin" / "azurite", fails_once + SHOWS_ACCOUNTS)
        before = connection_string(app)
        _, address = own(app, uses)
        assert emulator.is_answering(address.ports)
        assert before != connection_string(app) == (address.connection_string, True)

    def test_of_two_apps_are_two(self, tmp_path: Path, uses: ExitStack) -> None:
        first, second = (own(tmp_path / name, uses)[1] for name in ("one", "two"))
        assert first.key != second.key
        assert not set(astuple(first.ports)) & set(astuple(second.ports))

    def test_is_shared_by_all_that_start_at_once(self, app: Path, uses: ExitStack) -> None:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: own(app, uses), range(4)))
        assert len({address.ports for _, address in found}) == 1
        assert sum("another process of it has started" in chosen.origin for chosen, _ in found) == 3

    def test_ends_with_its_last_user(self, app: Path) -> None:
        with ExitStack() as last:
            with ExitStack() as first:
                ports = own(app, first)[1].ports
                own(app, last)
            assert emulator.is_answering(ports)
        assert emulator.listening(ports) == []

    def test_ends_when_its_only_user_is_killed(self, app: Path) -> None:
        with user_process(app):
            ports = own_ports(app)
            assert emulator.is_answering(ports)
        assert eventually_blocking(lambda: not emulator.listening(ports))

    def test_goes_on_for_others_when_its_starter_is_killed(self, app: Path) -> None:
        with ExitStack() as uses:
            with user_process(app) as starter:
                ports = own(app, uses)[1].ports
                starter.send_signal(signal.SIGKILL)
                starter.wait()
            marks = app / ".local" / "azurite-run"
            # The keeper has noticed the end of its starter.
            assert eventually_blocking(lambda: len(list(marks.glob("user-*"))) == 1)
            assert emulator.is_answering(ports)
        assert emulator.listening(ports) == []

    def test_cannot_be_joined_any_more_once_its_end_was_decided(self, app: Path) -> None:
        class Ending(Azurite):
            def __init__(self) -> None:
                self.is_ended = False

            def is_running(self) -> bool:
                return not self.is_ended

            def stop(self, *, timeout_seconds: float = 10) -> None:
                self.is_ended = True

        folder = RunFolder(make_local_folder(app))
        with folder.exclusively():
            lock = folder.lock_running()
        woken = threading.Event()
        woken.set()
        with ExitStack() as at_end:
            at_end.enter_context(lock)
            azurite = Ending()
            at_end.enter_context(azurite)
            keeper.wait_while_used(azurite, folder, woken, at_end)
            # The keeper still runs.
            assert azurite.is_ended
            with folder.exclusively():
                assert folder.running() is None

    def test_whose_start_is_interrupted_ends(self, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(use, "_wait_for_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            use_own(app, say)
        folder = RunFolder(app / ".local")
        assert not folder.is_running()
        with folder.exclusively():
            assert not folder.has_users()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can end a process with its parent")
    def test_ends_with_the_process_that_runs_it(self, app: Path, uses: ExitStack) -> None:
        chosen, address = own(app, uses)
        assert chosen.use is not None
        assert chosen.use.keeper_pid is not None
        os.kill(chosen.use.keeper_pid, signal.SIGKILL)
        assert eventually_blocking(lambda: not emulator.listening(address.ports))
        assert eventually_blocking(lambda: not RunFolder(app / ".local").is_running())

    def test_that_cannot_start_leaves_nothing_and_says_why(self, app: Path, tmp_path: Path) -> None:
        write_program(tmp_path / "bin" / "azurite", "raise SystemExit('no such option: --loose')")
        with pytest.raises(ConfigurationError, match="no such option: --loose"):
            use_own(app, say)
        assert list((app / ".local" / "azurite-run").glob("user-*")) == []

    def test_does_not_run_beside_one_that_may_have_its_data(self, app: Path, usual_ports: Ports) -> None:
        (app / ".local" / "azurite").mkdir(parents=True)
        connection_string(app)
        with listening_to(*astuple(usual_ports)), pytest.raises(ConfigurationError, match="add --shared-azurite"):
            use_own(app, say)
        with ExitStack() as uses:
            own(app, uses)
        with listening_to(*astuple(usual_ports)), ExitStack() as uses:
            chosen, _ = own(app, uses)
            assert f"does not use what answers on {usual_ports}" in chosen.origin

    @pytest.mark.parametrize("text", ["{", "[]", '{"key": "c2VjcmV0"}', '{"key": "c2VjcmV0", "ports": {"blob": 0}}'])
    def test_with_a_damaged_file_is_an_error_that_does_not_repeat_it(self, app: Path, text: str) -> None:
        connection_string(app)
        (app / ".local" / "azurite.json").write_text(text)
        with pytest.raises(ConfigurationError, match=r"azurite\.json is not valid: remove it") as refused:
            use_own(app, say)
        assert "c2VjcmV0" not in str(refused.value)

    def test_whose_folder_cannot_be_made_is_an_error_that_names_it(self, app: Path) -> None:
        app.mkdir()
        (app / ".local").touch()
        for act in (lambda: use_own(app, say), lambda: connection_string(app)):
            with pytest.raises(ConfigurationError, match=r"app/\.local cannot be used"):
                act()

    def test_in_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(
        self, app: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        app.mkdir()
        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(ConfigurationError, match=r"Read-only file system\. Copy the app to a folder in which"):
            use_own(app, say)

    @pytest.mark.parametrize("name", ["lock", "running"])
    def test_whose_lock_file_cannot_be_opened_is_an_error_that_names_it(self, app: Path, name: str) -> None:
        (app / ".local" / "azurite-run" / name).mkdir(parents=True)
        with pytest.raises(ConfigurationError, match=f"azurite-run/{name} cannot be used: Is a directory"):
            use_own(app, say)

    def test_that_may_not_be_started_is_used_only_if_it_runs(self, app: Path, uses: ExitStack) -> None:
        assert use_own(app, say, may_start=False) is None
        assert not app.exists()
        _, address = own(app, uses)
        found = use_own(app, say, may_start=False)
        assert found is not None
        assert found[0].use is not None
        uses.callback(found[0].use.end)
        assert found[1] == address


class TestOnPorts:
    def test_runs_until_the_last_app_that_uses_it_ends(self, tmp_path: Path, usual_ports: Ports) -> None:
        with ExitStack() as second:
            with ExitStack() as first:
                assert on_ports(usual_ports, tmp_path / "one", first).origin == ""
                found = on_ports(usual_ports, tmp_path / "two", second)
                assert found.origin.endswith(f"which durablehost has started for {tmp_path / 'one'}.")
            assert emulator.is_answering(usual_ports)
        assert emulator.listening(usual_ports) == []
        assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
        left = [path.name for path in (tmp_path / "cache" / "azurite-on-ports").iterdir()]
        assert left == [f"lock-{usual_ports.blob % 64}"]

    def test_of_another_app_named_by_its_connection_string_stays_for_both(self, tmp_path: Path) -> None:
        with ExitStack() as second:
            with ExitStack() as first:
                ports = own(tmp_path / "one", first)[1].ports
                found = on_ports(ports, tmp_path / "two", second)
                assert found.origin.endswith(f"which durablehost has started for {tmp_path / 'one'}.")
            assert emulator.is_answering(ports)
        assert emulator.listening(ports) == []

    def test_is_one_for_all_that_start_at_once(self, tmp_path: Path, usual_ports: Ports, uses: ExitStack) -> None:
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(lambda n: on_ports(usual_ports, tmp_path / f"app{n}", uses), range(3)))
        assert sorted(chosen.origin == "" for chosen in found) == [False, False, True]
        assert all(chosen.use for chosen in found)

    def test_that_somebody_else_has_started_is_used_and_left_alone(self, app: Path, usual_ports: Ports) -> None:
        with listening_to(*astuple(usual_ports)):
            chosen = use_on_ports(usual_ports, app, say)
        assert chosen.use is None
        assert chosen.origin.endswith("which durablehost has not started.")

    def test_is_not_started_if_that_is_forbidden(self, app: Path, usual_ports: Ports) -> None:
        with pytest.raises(ConfigurationError, match=f"does not answer on {usual_ports}.*leave out --no-azurite"):
            use_on_ports(usual_ports, app, say, may_start=False)

    def test_gets_the_account_of_the_connection_string(self, app: Path, usual_ports: Ports) -> None:
        for accounts, seen in (("a:a2V5", "a:a2V5"), (None, "of-the-developer")):
            use = use_on_ports(usual_ports, app, say, accounts=accounts).use
            assert use is not None
            use.end()
            assert seen in use.log_file.read_text()

    def test_does_not_start_on_data_that_is_in_use(self, app: Path, uses: ExitStack, usual_ports: Ports) -> None:
        ports = own(app, uses)[1].ports
        with pytest.raises(ConfigurationError, match=f"An Azurite on {ports} is already using the data of this app"):
            use_on_ports(usual_ports, app, say)
        # Named by its ports, it is the same one.
        assert on_ports(ports, app, uses).use is not None

    def test_keeps_the_data_from_an_own_one(self, app: Path, uses: ExitStack, usual_ports: Ports) -> None:
        on_ports(usual_ports, app, uses)
        with pytest.raises(ConfigurationError, match="or use it as well: --shared-azurite"):
            use_own(app, say)


def own_ports(app: Path) -> Ports:
    found = use_own(app, say, may_start=False)
    assert found is not None
    assert found[0].use is not None
    found[0].use.end()
    return found[1].ports
