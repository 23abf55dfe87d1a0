"""The output of the host at its start and end, and the fate of running work."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from durablehost.emulator import azurite as emulator
from durablehost.emulator.address_file import load_address
from durablehost.host.worker_id import is_process_alive
from packages.durablehost.tests.e2e.conftest import HELLO_APP, RunningHost
from packages.durablehost.tests.e2e.host_process import HostProcess, call, environment_of, hosted, spawn_host
from packages.durablehost.tests.e2e.processes import children_of, command_lines
from packages.durablehost.tests.eventually import eventually_blocking

TIME = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]"
GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
EXECUTING = rf"{TIME} Executing 'Functions\.greet' \(Reason='\(null\)', Id={GUID}\)"
EXECUTED = rf"{TIME} Executed 'Functions\.greet' \(Succeeded, Id={GUID}, Duration=\d+ms\)"


def refusal(app_root: Path, options: Sequence[str] = (), *, storage: str | None = None) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a start that is not meant to succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "durablehost", "start", "--script-root", str(app_root), "--no-azurite", *options],
        env=environment_of(storage, None, {}),
        cwd=app_root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    return text.strip()


@pytest.fixture
def app_root(tmp_path: Path) -> Path:
    return shutil.copytree(HELLO_APP, tmp_path / "app")


class TestConsole:
    @pytest.mark.skipif(sys.platform == "win32", reason="BROWSER names no program there")
    def test_is_opened_in_the_browser_on_request_and_without_a_key(
        self, running_host: RunningHost, app_root: Path, tmp_path: Path
    ) -> None:
        browser, opened = tmp_path / "browser", tmp_path / "opened"
        browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}.new" && mv "{opened}.new" "{opened}"\n')
        browser.chmod(0o755)
        options = ("--no-azurite", "--console", "--enableAuth")
        # Not awaited: with keys, its status is not for everybody.
        with running_host(app_root, environment={"BROWSER": str(browser)}, options=options, is_awaited=False) as host:
            eventually_blocking(opened.exists)
            assert opened.read_text("utf-8") == f"{host.url}/console\n"

    def test_shows_banner_ready_line_and_functions_in_this_order(self, running_host: RunningHost) -> None:
        with running_host() as host:
            wanted = [
                r"durablehost \d+\.\d+\.\d+, a local host for Azure Functions",
                r"Function app: .*hello",
                rf"{TIME} Worker process started and initialized\.",
                rf"{TIME} Host lock lease acquired by instance ID '.+'\.",
                rf"Console: {host.url}/console",
                r"Functions:",
                rf"\tstart_hello: \[GET,POST\] {host.url}/api/hello/\{{instanceId\?\}}",
                r"\tgreet: activityTrigger",
                r"\tgreet_all: orchestrationTrigger",
                r"For detailed output, run durablehost with --verbose flag\.",
            ]
            assert re.search(".*".join(f"^{each}$.*" for each in wanted), host.output, re.DOTALL | re.MULTILINE)

    def test_names_the_debugger_that_the_functions_run_under(self, running_host: RunningHost) -> None:
        # Any arguments of Python stand for one.
        with running_host(environment={"languageWorkers__python__arguments": "-X utf8"}) as host:
            line = r"^Debugger: +-X utf8 \(from languageWorkers__python__arguments; no time limits\)$"
            assert re.search(line, host.output, re.MULTILINE)
            assert greet(host, ["Ada"])

    def test_names_a_slow_import_and_answers_503_meanwhile(
        self, running_host: RunningHost, app_root: Path, tmp_path: Path
    ) -> None:
        go_on = tmp_path / "go_on"
        wait = f"import pathlib, time\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)\n"
        script = app_root / "greet" / "__init__.py"
        script.write_text(script.read_text().replace("import logging\n", f"import logging\n{wait}"))
        assert wait in script.read_text()
        with running_host(app_root, is_awaited=False) as host:
            eventually_blocking(lambda: re.search(rf"{TIME} The app is still loading greet \.\.\.", host.output))
            answer = call("POST", f"{host.url}/api/hello", ["Ada"])
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "Host lock lease acquired" not in host.output
            go_on.touch()
            host.wait_until_ready()

    def test_shows_each_call_and_the_logs_of_user_code(self, running_host: RunningHost) -> None:
        with running_host() as host:
            greet(host, ["Ada"])
            eventually_blocking(lambda: re.search(EXECUTED, host.output))
            assert re.search(rf"{EXECUTING}\n{TIME} greeting Ada\n{EXECUTED}", host.output)

    def test_shows_routes_and_requests_when_verbose(self, running_host: RunningHost) -> None:
        with running_host(options=["--no-azurite", "--verbose"]) as host:
            call("GET", f"{host.url}/api/hello")
            assert re.search(
                r"Mapped function route 'api/hello/\{instanceId\?\}' \[get,post\] to 'start_hello'", host.output
            )
            assert "Executing HTTP request:" in host.output
            assert "For detailed output" not in host.output

    def test_has_no_colors_in_a_file(self, running_host: RunningHost) -> None:
        with running_host() as host:
            assert "\x1b" not in host.output

    def test_names_a_function_in_error_and_serves_the_others(self, running_host: RunningHost, app_root: Path) -> None:
        (app_root / "greet_all" / "function.json").write_text("{")
        with running_host(app_root) as host:
            assert "The 'greet_all' function is in error: " in host.output
            assert "\tgreet: activityTrigger" in host.output
            assert "\tgreet_all:" not in host.output

    def test_shows_how_to_install_modules_that_are_missing(self, running_host: RunningHost, app_root: Path) -> None:
        (app_root / "greet" / "__init__.py").write_text("import no_such_module")
        with running_host(app_root) as host:
            assert f"{sys.executable} -m pip install -r {app_root / 'requirements.txt'}" in host.output


class TestRefusal:
    def test_of_a_host_json_names_file_and_place(self, app_root: Path) -> None:
        (app_root / "host.json").write_text('{"version": "2.0",}}')
        code, out, err = refusal(app_root)
        assert (code, out) == (2, "")
        assert one_line(err).startswith(f"{app_root / 'host.json'} is not valid JSON")

    def test_of_a_port_in_use_names_port_and_option(self, app_root: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, _, err = refusal(app_root, ["--port", str(port)])
        assert code == 2
        assert one_line(err) == (
            f"Port {port} is unavailable. Close the process using that port, or specify another port using --port [-p]."
        )

    def test_of_an_app_without_functions_names_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "host.json").write_text('{"version": "2.0"}')
        code, _, err = refusal(tmp_path)
        assert code == 2
        assert f"No functions were found in {tmp_path}" in one_line(err)

    def test_of_a_storage_that_does_not_answer_shows_the_remedy(self, app_root: Path) -> None:
        ports = emulator.free_ports()
        code, _, err = refusal(app_root, storage=ports.connection_string)
        assert code == 2
        assert f"does not answer on 127.0.0.1:{ports.blob}, " in one_line(err)
        assert "Start Azurite" in err

    def test_of_an_emulator_with_a_missing_service_names_it(self, app_root: Path) -> None:
        ports = emulator.free_ports()
        with socket.socket() as other:
            other.bind(("127.0.0.1", ports.blob))
            other.listen()
            code, _, err = refusal(app_root, storage=ports.connection_string)
        assert code == 2
        assert f"The Queue service at {ports.queue_endpoint} does not answer" in one_line(err)
        assert "Azurite runs without all of its services" in err

    def test_of_a_connection_string_names_the_setting(self, app_root: Path) -> None:
        code, _, err = refusal(app_root, storage="nonsense")
        assert code == 2
        assert '"AzureWebJobsStorage"' in one_line(err)

    def test_of_a_missing_storage_setting_names_it(self, app_root: Path) -> None:
        (app_root / "local.settings.json").unlink()
        code, _, err = refusal(app_root)
        assert code == 2
        assert "AzureWebJobsStorage" in one_line(err)

    def test_of_arguments_names_the_help(self, app_root: Path) -> None:
        code, _, err = refusal(app_root, ["--colour"])
        assert code == 3
        assert one_line(err).endswith("see `durablehost start --help`.")


class TestEnd:
    def test_ctrl_c_stops_the_host_in_order(self, running_host: RunningHost) -> None:
        with running_host() as host:
            host.interrupt()
            assert host.wait() == 0
            assert "Traceback" not in host.output

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
    def test_sigterm_stops_the_host_in_order(self, running_host: RunningHost) -> None:
        with running_host() as host:
            host.terminate()
            assert host.wait() == 0

    def test_waits_for_a_running_activity_and_prints_its_name(self, running_host: RunningHost, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with running_host() as host:
            links = greet(host, [f"wait:{gate}"], awaited=False)
            eventually_blocking(lambda: "waiting for the file" in host.output)
            host.interrupt()
            eventually_blocking(lambda: "for running functions to end: greet (1)" in host.output)
            gate.touch()
            assert host.wait() == 0
            assert re.search(EXECUTED, host.output)
            port = host.port
        with running_host(port=port) as host:
            assert output(links) == ["Hello at last!"]
            # The result was stored before the end: the activity has run once only.
            assert host.output.count("waiting for the file") == 1

    def test_a_second_ctrl_c_stops_the_host_at_once(self, running_host: RunningHost, tmp_path: Path) -> None:
        with running_host() as host:
            greet(host, [f"wait:{tmp_path / 'never'}"], awaited=False)
            eventually_blocking(lambda: "waiting for the file" in host.output)
            host.interrupt()
            eventually_blocking(lambda: "for running functions to end" in host.output)
            host.interrupt()
            assert host.wait(10) == 0

    @pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be seen to leave no children there")
    def test_leaves_no_process_behind(self, running_host: RunningHost) -> None:
        with running_host() as host:
            children = children_of(host.pid)
            assert children
            host.interrupt()
            host.wait()
            assert not [pid for pid in children if is_process_alive(pid)]

    def test_a_kill_loses_nothing(self, running_host: RunningHost, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with running_host(environment=SHORT_INVISIBILITY) as host:
            links = greet(host, ["Ada", f"wait:{gate}"], awaited=False)
            eventually_blocking(lambda: "waiting for the file" in host.output)
            eventually_blocking(lambda: "TaskCompleted" in history(links))
            host.kill()
            port = host.port
        gate.touch()
        # A killed host cannot return its messages: the request becomes visible after its visibility timeout.
        with running_host(port=port, environment=SHORT_INVISIBILITY):
            assert output(links, timeout_seconds=90) == ["Hello Ada!", "Hello at last!"]

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes are filled as on POSIX")
    def test_is_orderly_if_nobody_reads_the_output_and_the_terminal_goes_away(
        self, azurite: emulator.Azurite, hub_name: str, app_root: Path, tmp_path: Path
    ) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 65536)
        os.set_blocking(writer, True)
        environment = environment_of(azurite.connection_string, hub_name, {})
        with hosted(spawn_host(app_root, output_file=tmp_path / "log", environment=environment, stdout=writer)) as host:
            os.close(writer)
            assert output(greet(host, ["Ada"])) == ["Hello Ada!"]
            # The terminal goes away: reported by the shell and by the kernel.
            for _ in range(2):
                os.kill(host.pid, signal.SIGHUP)
            assert host.wait() == 0
        assert host.output == ""
        os.close(reader)


class TestAzurite:
    @pytest.mark.skipif(sys.platform == "win32", reason="there is no ps")
    def test_of_an_app_has_a_key_of_its_own_and_keeps_its_data_over_a_kill(
        self, app_root: Path, tmp_path: Path
    ) -> None:
        environment = environment_of(None, None, {})
        with hosted(spawn_host(app_root, output_file=tmp_path / "first.log", environment=environment)) as first:
            links = greet(first, ["Ada"])
            address = load_address(app_root / ".local", [])
            assert printed(app_root, ["azurite", "connection-string"]).strip() == address.connection_string
            (instance,) = json.loads(printed(app_root, ["durable", "get-instances"]))
            assert instance["instanceId"] == links["id"]
            assert emulator.ACCOUNT_KEY not in address.connection_string
            assert "durablehost.emulator.keeper" in command_lines()
            assert address.key not in command_lines()
            port = first.port
            with hosted(spawn_host(app_root, output_file=tmp_path / "second.log", environment=environment)) as second:
                assert "Using the Azurite of this app on" in second.output
                first.kill()
                assert output({"statusQueryGetUri": links["statusQueryGetUri"].replace(first.url, second.url)})
                second.kill()
        eventually_blocking(lambda: not emulator.listening(address.ports))
        third = spawn_host(app_root, output_file=tmp_path / "third.log", environment=environment, port=port)
        with hosted(third):
            assert output(links) == ["Hello Ada!"]
        assert emulator.listening(address.ports) == []
        for log in tmp_path.glob("*.log"):
            assert address.key not in log.read_text("utf-8")

    def test_is_started_if_nothing_answers_and_stopped_at_the_end(self, app_root: Path, tmp_path: Path) -> None:
        ports = emulator.free_ports()
        environment = environment_of(ports.connection_string, None, {})
        with hosted(spawn_host(app_root, output_file=tmp_path / "first.log", environment=environment)) as host:
            assert "starting Azurite, with its data in" in host.output
            links = greet(host, ["Ada"])
            port = host.port
            host.interrupt()
            assert host.wait() == 0
        assert emulator.listening(ports) == []
        assert (app_root / ".local" / ".gitignore").read_text() == "*\n"
        second = spawn_host(app_root, output_file=tmp_path / "second.log", environment=environment, port=port)
        with hosted(second):
            assert output(links) == ["Hello Ada!"]

    def test_that_is_starting_is_stopped_by_ctrl_c(self, app_root: Path, tmp_path: Path) -> None:
        ports = emulator.free_ports()
        environment = environment_of(ports.connection_string, None, {})
        host = spawn_host(app_root, output_file=tmp_path / "host.log", environment=environment)
        with hosted(host, is_awaited=False):
            eventually_blocking(lambda: "starting Azurite" in host.output)
            host.interrupt()
            assert host.wait() == 0
        assert emulator.listening(ports) == []
        assert "Traceback" not in host.output


def printed(app_root: Path, arguments: Sequence[str]) -> str:
    """What a command of durablehost prints on stdout, in the folder of the app."""
    command = [sys.executable, "-m", "durablehost", *arguments, "--script-root", str(app_root)]
    environment = environment_of(None, None, {})
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


SHORT_INVISIBILITY = {
    f"AzureFunctionsJobHost__extensions__durableTask__storageProvider__{name}": value
    for name, value in {
        "workItemQueueVisibilityTimeout": "00:00:05",
        "maxQueuePollingInterval": "00:00:01",
    }.items()
}


def greet(host: HostProcess, names: list[str], *, awaited: bool = True) -> dict[str, str]:
    """Starts a greeting; returns the management URLs, once it has completed if it is awaited."""
    answer = call("POST", f"{host.url}/api/hello", names)
    assert answer.status == 202, f"{answer.status}\n{host.output}"
    links: dict[str, str] = answer.document
    if awaited:
        output(links)
    return links


def output(links: dict[str, str], *, timeout_seconds: float = 30) -> object:
    """Waits until the orchestration has completed, and returns its output."""

    def completed() -> bool:
        status = call("GET", links["statusQueryGetUri"])
        return status.status == 200 and status.document["runtimeStatus"] == "Completed"

    eventually_blocking(completed, timeout_seconds=timeout_seconds, interval_seconds=0.05)
    return call("GET", links["statusQueryGetUri"]).document["output"]


def history(links: dict[str, str]) -> list[str]:
    """Returns the types of the stored events; none if the record is still that of a start."""
    answer = call("GET", f"{links['statusQueryGetUri']}&showHistory=true")
    return [event["EventType"] for event in answer.document.get("historyEvents", ())]
