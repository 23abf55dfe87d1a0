"""Runs the demonstration: storage, data, host, orchestration, result; everything it starts ends in reverse order."""

from __future__ import annotations

from durablehost.system.interruption import INTERRUPTED, end_at_once_on_ctrl_c

if __name__ == "__main__":
    # The imports below take a second.
    end_at_once_on_ctrl_c()

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from demo import orchestration
from demo.arguments import Arguments, parse_arguments
from demo.ending import end_on_signals, run_program
from demo.errors import DemoError
from demo.host import running_on_a_free_port
from demo.view import open_progress, result_tables
from durablehost.emulator.choice import use_own
from durablehost.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
DATA_FOLDER = ROOT / ".local" / "demo"
# Of the folder of the app. It is kept, so that you can read the results after the demonstration.
RESULTS = ".local/demo/results"
SAMPLE = ROOT / "sample_data" / "nyc_weather_2013.parquet"
CONTAINER = "readings"


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    end_on_signals()
    folder = _run_folder()
    try:
        code = report(run(arguments, folder), as_json=arguments.as_json)
    except (DemoError, ConfigurationError) as error:
        say(f"{error}\nLogs and data of this run: {folder}")
        return 1
    except KeyboardInterrupt:
        say("stopped")
        shutil.rmtree(folder, ignore_errors=True)
        return INTERRUPTED
    if code == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def run(arguments: Arguments, folder: Path) -> orchestration.Status:
    """The final status of the orchestration; everything that was started for it has ended."""
    began = time.monotonic()
    say("starting Azurite")
    with running_azurite(folder) as storage:
        say(f"uploading {SAMPLE.name} to the container {CONTAINER!r}")
        upload_sample(storage)
        with running_on_a_free_port(
            durablehost_command,
            settings_file=ROOT / "local.settings.json",
            settings=app_settings(storage),
            log_file=folder / "durablehost.log",
        ) as durablehost:
            links = orchestration.start(durablehost.url, arguments.request())
            say(f"following the orchestration {links['id']}")
            try:
                with open_progress(sys.stderr, arguments.chunks) as progress:
                    return orchestration.follow(
                        links["statusQueryGetUri"], show=progress.show, check_host=durablehost.check_running
                    )
            finally:
                say(f"stopping durablehost and Azurite after {time.monotonic() - began:.1f} s")


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """The connection string of an Azurite of this run, which ends even if this process is killed."""
    own = use_own(folder, lambda text: None)
    assert own is not None
    chosen, address = own
    try:
        yield address.connection_string
    finally:
        assert chosen.use is not None
        chosen.use.end()


def upload_sample(connection_string: str) -> None:
    try:
        with BlobServiceClient.from_connection_string(connection_string) as service:
            service.create_container(CONTAINER).upload_blob(SAMPLE.name, SAMPLE.read_bytes())
    except AzureError as error:
        raise DemoError(f"the upload to the container {CONTAINER!r} failed: {error.message.splitlines()[0]}") from error


def durablehost_command(port: int) -> list[str]:
    say(f"starting durablehost on port {port}")
    options = ["--port", str(port), "--script-root", str(ROOT), "--no-azurite"]
    return [sys.executable, "-m", "durablehost", "start", *options]


def app_settings(connection_string: str) -> dict[str, str]:
    return {
        "AzureWebJobsStorage": connection_string,
        "READINGS": f"az://{CONTAINER}/*.parquet",
        "READINGS_CONNECTION": "AzureWebJobsStorage",
        "RESULTS": RESULTS,
    }


def report(status: orchestration.Status, *, as_json: bool) -> int:
    """Prints the result; the exit code is 0 only for a completed orchestration whose result could be written."""
    output = status.get("output")
    if status["runtimeStatus"] != "Completed" or not isinstance(output, dict):
        say(f"the orchestration ended as {status['runtimeStatus']}: {output}")
        return 1
    try:
        sys.stdout.write(f"{json.dumps(output, indent=2) if as_json else result_tables(output)}\n")
        sys.stdout.flush()
    except OSError as error:
        say(f"the result could not be written to stdout: {error.strerror}")
        return 1
    return 0


def say(text: str) -> None:
    sys.stderr.write(f"demo: {text}\n")
    sys.stderr.flush()


def _run_folder() -> Path:
    """A new folder per run, because the emulator of a killed run may still write to its own."""
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=DATA_FOLDER))


if __name__ == "__main__":
    run_program(main)
