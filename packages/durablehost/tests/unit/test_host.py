"""The decisions of the host: when to refuse a start, and how to react to a signal."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from durablehost.console import Console
from durablehost.errors import ConfigurationError
from durablehost.host import host
from durablehost.host.host import Host, hand_back
from durablehost.host.shutdown import ShutdownSignal
from durablehost.settings import LogLevel, Settings, StartOptions, load_settings
from packages.durablehost.tests.eventually import WAIT_SECONDS


class TestShutdown:
    async def test_first_signal_stops_in_order_and_the_second_at_once(self) -> None:
        shutdown = ShutdownSignal()
        shutdown.has_started()
        shutdown.request()
        assert shutdown.requested.is_set()
        assert not shutdown.scope.cancel_called
        shutdown.request()
        assert shutdown.scope.cancel_called

    async def test_closed_terminal_stops_in_order_however_often_it_is_reported(self) -> None:
        shutdown = ShutdownSignal()
        shutdown.has_started()
        shutdown.hang_up()
        shutdown.hang_up()
        assert shutdown.requested.is_set()
        assert not shutdown.scope.cancel_called
        shutdown.request()
        assert not shutdown.scope.cancel_called

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
    async def test_closed_terminal_is_ignored_if_it_was_before(self) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with ShutdownSignal().on_signals():
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    async def test_signal_while_starting_cancels_the_start(self) -> None:
        shutdown = ShutdownSignal()
        with shutdown.scope:
            shutdown.request()
            await anyio.sleep_forever()
        assert shutdown.scope.cancelled_caught

    @pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGTERM there")
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    async def test_signals_of_the_system_arrive(self, name: str) -> None:
        shutdown, number = ShutdownSignal(), signal.Signals[name]
        shutdown.has_started()
        before = signal.getsignal(number)
        with shutdown.on_signals():
            os.kill(os.getpid(), number)
            await asyncio.wait_for(shutdown.requested.wait(), WAIT_SECONDS)
        assert signal.getsignal(number) == before


async def test_a_host_stops_even_if_storage_accepts_no_returned_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await hand_back(anyio.sleep_forever, seconds=0.01)
    assert "has not accepted the messages and partitions of this host within 0.01 seconds" in caplog.text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return load_settings(StartOptions(script_root=tmp_path, port=port), {})


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


class TestStart:
    async def refusal(self, settings: Settings) -> str:
        out = io.StringIO()
        with pytest.raises(ConfigurationError) as caught:
            await Host(settings, Console(out, out)).run()
        return str(caught.value)

    async def test_is_refused_on_a_port_in_use_with_the_option_that_helps(
        self, settings: Settings, taken_port: int
    ) -> None:
        message = await self.refusal(replace(settings, http=replace(settings.http, port=taken_port)))
        assert f"Port {taken_port} is unavailable" in message
        assert "--port" in message

    async def test_is_refused_on_an_address_of_another_machine(self, settings: Settings) -> None:
        http = replace(settings.http, address="192.0.2.1")
        message = await self.refusal(replace(settings, http=http, allows_anonymous=True))
        assert "192.0.2.1 is not an address of this machine" in message

    async def test_is_refused_without_functions(self, settings: Settings) -> None:
        assert f"No functions were found in {settings.script_root}" in await self.refusal(settings)

    async def test_names_outputs_that_are_lost_whatever_levels_are_shown(self, settings: Settings) -> None:
        write_activity(settings.script_root, '{"name": "$return", "type": "queue", "direction": "out"}')
        out = io.StringIO()
        hidden = replace(settings, log=replace(settings.log, levels={"default": LogLevel.NONE}))
        with pytest.raises(ConfigurationError, match="AzureWebJobsStorage"):
            await Host(hidden, Console(out, out)).run()
        assert "Function 'Hello': durablehost does not serve the output binding '$return'" in out.getvalue()

    async def test_is_refused_if_no_function_is_allowed_to_run(self, settings: Settings) -> None:
        message = await self.refusal(replace(settings, functions=("Gone",)))
        assert "allowed to run (Gone)" in message

    async def test_is_refused_if_every_function_is_in_error(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        (settings.script_root / "Broken").mkdir()
        (settings.script_root / "Broken" / "function.json").write_text("{")
        assert "see the errors above" in await self.refusal(settings)
        assert "The 'Broken' function is in error: " in caplog.text

    async def test_counts_a_function_whose_route_is_no_template_as_in_error(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_function(settings.script_root, '{"name": "req", "type": "httpTrigger", "route": "{id:nope}"}')
        assert "see the errors above" in await self.refusal(settings)
        assert "The 'Hello' function is in error: the route parameter 'id' is not valid" in caplog.text

    async def test_sets_the_version_of_python_as_core_tools_does(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_activity(settings.script_root)
        seen: list[Settings] = []

        def refuse(given: Settings, *_: object, **__: object) -> None:
            seen.append(given)
            raise ConfigurationError("enough")

        monkeypatch.setattr(host, "usable_storage", refuse)
        assert await self.refusal(settings) == "enough"
        major, minor = sys.version_info[:2]
        assert seen[0].environment["FUNCTIONS_WORKER_RUNTIME_VERSION"] == f"{major}.{minor}"

    @pytest.mark.parametrize(
        ("address", "checks_keys", "danger"),
        [
            ("127.0.0.1", False, None),
            ("127.0.0.1", True, None),
            ("127.8.9.1", False, None),
            ("0.0.0.0", False, "it checks no keys."),
            ("0.0.0.0", True, "the keys cross the network unencrypted."),
        ],
    )
    async def test_warns_about_an_address_that_other_machines_reach(
        self, settings: Settings, address: str, checks_keys: bool, danger: str | None
    ) -> None:
        out = io.StringIO()
        http = replace(settings.http, address=address)
        changed = replace(settings, http=http, checks_keys=checks_keys, allows_anonymous=True)
        with pytest.raises(ConfigurationError):
            await Host(changed, Console(out, out)).run()
        warnings = [line for line in out.getvalue().splitlines() if line.startswith("Listening on")]
        expected = f"Listening on {address}: other machines can reach this host, and {danger}"
        assert warnings == ([expected] if danger else [])

    @pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.20"])
    async def test_is_refused_if_other_machines_could_call_without_a_key(
        self, settings: Settings, address: str
    ) -> None:
        out = io.StringIO()
        http = replace(settings.http, address=address)
        with pytest.raises(ConfigurationError) as refused:
            await Host(replace(settings, http=http), Console(out, out)).run()
        message = str(refused.value)
        assert all(part in message for part in (address, "--enableAuth", "--allow-anonymous"))
        assert "\n" not in message
        assert out.getvalue() == ""

    @pytest.mark.parametrize(
        ("origins", "checks_keys", "count"), [("*", False, 1), ("*", True, 0), ("http://a", False, 0)]
    )
    async def test_warns_if_every_page_may_call(
        self, settings: Settings, origins: str, checks_keys: bool, count: int
    ) -> None:
        out = io.StringIO()
        http = replace(settings.http, cors_origins=(origins,))
        with pytest.raises(ConfigurationError):
            await Host(replace(settings, http=http, checks_keys=checks_keys), Console(out, out)).run()
        assert out.getvalue().count("CORS is *") == count

    async def test_makes_the_key_file_before_storage_is_checked_and_prints_its_path(self, settings: Settings) -> None:
        write_activity(settings.script_root)
        out = io.StringIO()
        with pytest.raises(ConfigurationError, match="AzureWebJobsStorage"):
            await Host(replace(settings, checks_keys=True), Console(out, out)).run()
        file = settings.script_root / ".local" / "keys.json"
        assert str(file) in out.getvalue()
        assert json.loads(file.read_text())["master"] not in out.getvalue()

    async def test_makes_no_key_file_if_no_keys_are_checked(self, settings: Settings) -> None:
        write_activity(settings.script_root)
        assert "AzureWebJobsStorage" in await self.refusal(settings)
        assert not (settings.script_root / ".local").exists()

    async def test_is_refused_without_a_storage_connection(self, settings: Settings) -> None:
        write_activity(settings.script_root)
        assert "AzureWebJobsStorage" in await self.refusal(settings)


def write_activity(script_root: Path, *others: str) -> None:
    write_function(script_root, '{"name": "name", "type": "activityTrigger", "direction": "in"}', *others)


def write_function(script_root: Path, *bindings: str) -> None:
    folder = script_root / "Hello"
    folder.mkdir()
    (folder / "__init__.py").write_text("def main(name): return name\n")
    (folder / "function.json").write_text(f'{{"bindings": [{", ".join(bindings)}]}}')
