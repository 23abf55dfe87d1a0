"""Looks for secrets in everything that real hosts print, answer, store and show to other users."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from durablehost.emulator import azurite as emulator
from packages.durablehost.tests.e2e.host_process import Answer, HostProcess, call, environment_of, hosted, spawn_host
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, accepted
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.hostile.routes import PUBLIC

pytestmark = [
    pytest.mark.azurite,
    pytest.mark.skipif(sys.platform == "win32", reason="looks at processes and modes as Linux and macOS have them"),
]

KEY = base64.b64encode(b"a key that is nobody else's").decode()
OPTIONS = ("--no-azurite", "--verbose", "--enableAuth")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[emulator.Azurite]:
    """An emulator whose account has a key of its own, so that the test can search for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURITE_ACCOUNTS", f"{emulator.ACCOUNT_NAME}:{KEY}")
        running = emulator.start(location=tmp_path / "azurite", ports=emulator.free_ports())
    with running:
        yield running


@pytest.fixture
def app(hostile_app: Path, storage: emulator.Azurite, hub_name: str) -> Path:
    """An app whose host shows every log record, with the storage connection in the developer's file."""
    connection = storage.connection_string.replace(emulator.ACCOUNT_KEY, KEY)
    host: dict[str, object] = {"version": "2.0", "logging": {"logLevel": {"default": "Trace"}}}
    host["extensions"] = {"durableTask": {"hubName": hub_name}}
    values = {"AzureWebJobsStorage": connection, "OTHER_STORAGE": connection, "FUNCTIONS_WORKER_RUNTIME": "python"}
    (hostile_app / "host.json").write_text(json.dumps(host), "utf-8")
    (hostile_app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}), "utf-8")
    return hostile_app


def test_a_host_with_keys_shows_none_of_them(app: Path, storage: emulator.Azurite, tmp_path: Path) -> None:
    host = spawn_host(app, output_file=tmp_path / "log", environment=environment_of(None, None, {}), options=OPTIONS)
    with hosted(host, is_awaited=False):
        eventually_blocking(lambda: "Host started (" in host.output)
        keys = json.loads((app / ".local" / "keys.json").read_text("utf-8"))
        answers = called_everywhere(host, keys["master"])
        processes = shown_of_processes()
        storage.stop()
        answers.append(call("GET", f"{host.url}{MANAGEMENT}/instances", headers={"x-functions-key": keys["master"]}))
        assert answers[-1].status == 503, answers[-1]

    shown = "\n".join([host.output, processes, *(f"{each.headers}\n{each.body.decode('latin-1')}" for each in answers)])
    durable = keys["system"].pop("durabletask_extension")
    found = [shown[max(0, i - 200) : i + 80] for each in [KEY, *every_text(keys)] if (i := shown.find(each)) >= 0]
    assert found == []
    # Only the links contain this key, because they need it.
    assert durable not in host.output + processes
    assert shown.count(durable) == shown.count(f"code={durable}") > 0
    assert_closed_to_others(app / ".local")


def called_everywhere(host: HostProcess, master: str) -> list[Answer]:
    """Every route once with the master key and once with none, functions that succeed and that fail among them."""
    with_key = {"x-functions-key": master, "Content-Type": "application/json"}
    chunk = {"chunk_id": 0, "start": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:00:01Z", "total_chunks": 1}
    run = {name: value for name, value in chunk.items() if name != "chunk_id"}
    started = call("POST", f"{host.url}/api/starter_function", run, headers=with_key)
    accepted(started).end()
    failed = call("POST", f"{host.url}{MANAGEMENT}/orchestrators/orchestrator_function", {"no": 1}, headers=with_key)
    accepted(failed).end()
    answers = [started, failed, call("POST", f"{host.url}/api/test_activity_function", chunk, headers=with_key)]
    # The echo function may return its own request, keys included.
    for route in (each for each in PUBLIC if "echo" not in each.path):
        path = route.path.format(id="known", event="go", entity="counter", key="k", function="waiting", rest="x")
        url = f"{host.url}{path}?showHistory=true"
        answers += [call(route.verb, url, {"input": "x"}, headers=key) for key in (with_key, {})]
    return answers


def shown_of_processes() -> str:
    """The command lines that every user of the machine sees."""
    return subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout


def every_text(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from every_text(each)
    else:
        yield str(value)


def assert_closed_to_others(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600


def local(**values: str) -> str:
    return json.dumps({"IsEncrypted": False, "Values": values})


# Mistakes in files that contain a key: the file, its text.
MISTAKES = {
    "a key without an account": ("local.settings.json", local(AzureWebJobsStorage=f"AccountKey={KEY}")),
    "no pairs": ("local.settings.json", local(AzureWebJobsStorage=KEY)),
    "an account that is not there": (
        "local.settings.json",
        local(AzureWebJobsStorage=f"AccountName=acct;AccountKey={KEY};EndpointSuffix=nowhere.invalid"),
    ),
    "a key that is not base64": (
        "local.settings.json",
        local(AzureWebJobsStorage=f"AccountName=acct;AccountKey=!{KEY};EndpointSuffix=nowhere.invalid"),
    ),
    "a signature in an endpoint": (
        "local.settings.json",
        local(
            AzureWebJobsStorage=";".join(
                f"{kind}Endpoint=http://127.0.0.1:9/?sig={KEY}" for kind in ("Blob", "Queue", "Table")
            )
            + f";SharedAccessSignature=sv=1&sig={KEY}"
        ),
    ),
    "JSON that breaks off": ("local.settings.json", local(AzureWebJobsStorage=f"AccountKey={KEY}")[:-2]),
    "a connection string for a name": (
        "host.json",
        json.dumps(
            {"version": "2.0",
             "extensions": {"durableTask": {"storageProvider": {"connectionName": f"AccountName=a;AccountKey={KEY}"}}}}
        ),
    ),
    "a connection string for a task hub": (
        "host.json",
        json.dumps({"version": "2.0", "extensions": {"durableTask": {"hubName": "%OTHER_STORAGE%"}}}),
    ),
    "a connection string for a number": (
        "local.settings.json", local(FUNCTIONS_WORKER_PROCESS_COUNT=f"AccountName=a;AccountKey={KEY}")
    ),
    "a connection string in the name of a setting": (
        "local.settings.json", local(**{f"AzureWebJobsStorage=AccountName=a;AccountKey={KEY}": ""})
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_refused_start_shows_no_key(app: Path, mistake: str) -> None:
    file, text = MISTAKES[mistake]
    (app / file).write_text(text, "utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "durablehost", "start", "--script-root", str(app), "--no-azurite", "--verbose"],
        env={**environment_of(None, None, {}), "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert KEY not in answer.stdout + answer.stderr


def test_refused_credentials_are_not_shown(app: Path) -> None:
    other = base64.b64encode(b"another key").decode()
    file = app / "local.settings.json"
    file.write_text(file.read_text("utf-8").replace(KEY, other), "utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "durablehost", "durable", "get-instances", "--script-root", str(app), "--no-azurite"],
        env=environment_of(None, None, {}), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert "refuses the credentials" in answer.stderr
    assert other not in answer.stdout + answer.stderr


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads what Linux shows of a process")
def test_only_worker_processes_get_the_settings(app: Path, tmp_path: Path) -> None:
    host = spawn_host(app, output_file=tmp_path / "log", environment=environment_of(None, None, {}))
    with hosted(host):
        children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
        held = {pid: KEY in Path(f"/proc/{pid}/environ").read_text() for pid in children}
        assert list(held.values()) == [True], "the worker process, and no other child"
        assert KEY not in Path(f"/proc/{host.pid}/environ").read_text()
