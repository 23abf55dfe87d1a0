"""The demonstration's course: storage, data, host, orchestration, result; what was started ends in reverse order."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from demo import orchestration
from demo.arguments import Arguments, parse_arguments
from demo.ending import end_on_signals
from demo.errors import DemoError
from demo.host import choose_port, running_devhost
from demo.view import Progress, result_tables
from devhost import azurite as emulator
from devhost.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
DATA_FOLDER = ROOT / ".local" / "demo"
SAMPLE = ROOT / "sample_data" / "nyc_weather_2013.parquet"
CONTAINER = "readings"


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    end_on_signals()
    folder = _run_folder()
    try:
        status = run(arguments, folder)
    except (DemoError, ConfigurationError) as error:
        say(f"{error}\nLogs and data of this run: {folder}")
        return 1
    except KeyboardInterrupt:
        say("stopped")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    if (code := report(status, as_json=arguments.as_json)) == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def run(arguments: Arguments, folder: Path) -> orchestration.Status:
    """The final status of the orchestration; all that was started for it has ended."""
    began = time.monotonic()
    ports = azurite_ports()
    say(f"starting Azurite on ports {ports.blob}, {ports.queue} and {ports.table}")
    with emulator.start(location=folder / "azurite", ports=ports, folders=[ROOT]) as azurite:
        say(f"uploading {SAMPLE.name} to the container {CONTAINER!r}")
        upload_sample(azurite.connection_string)
        port = choose_port(ROOT / "local.settings.json")
        say(f"starting devhost on port {port}")
        with running_devhost(
            devhost_command(port),
            port=port,
            settings=app_settings(azurite.connection_string),
            log_file=folder / "devhost.log",
        ) as devhost:
            links = orchestration.start(devhost.url, arguments.request())
            say(f"following the orchestration {links['id']}")
            progress = Progress(sys.stderr, arguments.chunks)
            try:
                return orchestration.follow(
                    links["statusQueryGetUri"], show=progress.show, check_host=devhost.check_running
                )
            finally:
                progress.close()
                say(f"stopping devhost and Azurite after {time.monotonic() - began:.1f} s")


def azurite_ports() -> emulator.Ports:
    usual = emulator.Ports()
    return emulator.free_ports() if emulator.listening(usual) else usual


def upload_sample(connection_string: str) -> None:
    try:
        with BlobServiceClient.from_connection_string(connection_string) as service:
            service.create_container(CONTAINER).upload_blob(SAMPLE.name, SAMPLE.read_bytes())
    except AzureError as error:
        raise DemoError(f"the upload to the container {CONTAINER!r} failed: {error.message.splitlines()[0]}") from error


def devhost_command(port: int) -> list[str]:
    options = ["--port", str(port), "--script-root", str(ROOT), "--no-azurite"]
    return [sys.executable, "-m", "devhost", "start", *options]


def app_settings(connection_string: str) -> dict[str, str]:
    return {
        "AzureWebJobsStorage": connection_string,
        "READINGS": f"az://{CONTAINER}/*.parquet",
        "READINGS_CONNECTION": "AzureWebJobsStorage",
    }


def report(status: orchestration.Status, *, as_json: bool) -> int:
    """Prints the result; the exit code is 0 only for a completed orchestration."""
    output = status.get("output")
    if status["runtimeStatus"] != "Completed" or not isinstance(output, dict):
        say(f"the orchestration ended as {status['runtimeStatus']}: {output}")
        return 1
    sys.stdout.write(f"{json.dumps(output, indent=2) if as_json else result_tables(output)}\n")
    return 0


def say(text: str) -> None:
    sys.stderr.write(f"demo: {text}\n")
    sys.stderr.flush()


def _run_folder() -> Path:
    """A new folder per run, for an emulator that outlived a killed run may still write to its own."""
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=DATA_FOLDER))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
