"""Records the golden histories anew: `python -m packages.durablehost.tests.replay.golden.record`.

Run it only if the orchestrator is meant to schedule other work than before; otherwise a recording that no longer
replays shows a defect. It needs Azurite, like the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from azure.storage.blob import BlobServiceClient

from durablehost.clock import SystemClock
from durablehost.core.history import HistoryEvent, SubOrchestrationInstanceCreated
from durablehost.emulator import azurite as emulator
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from orchestrator_function import main as orchestrator
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess, environment_of, hosted, spawn_host
from packages.durablehost.tests.e2e.orchestration import Orchestration, start_run
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.proxy import Refuse, Rule, StorageProxy, no_fault, proxy_in_thread
from packages.durablehost.tests.faults.storage_call import StorageCall
from packages.durablehost.tests.replay.golden.recording import Recording, run_episode, save
from tests.e2e.expected import moment

HUB = "Golden"
CONTAINER = "readings"
JANUARY, FEBRUARY, APRIL = "2013-01-01T00:00:00Z", "2013-02-01T00:00:00Z", "2013-04-01T00:00:00Z"
SETTINGS = {
    "READINGS": f"az://{CONTAINER}/*.parquet",
    "AzureFunctionsJobHost__extensions__durableTask__storeInputsInOrchestrationHistory": "true",
}
WHOLE = {"start": JANUARY, "end": APRIL, "total_chunks": 12, "time": APRIL}
# Ten days each; only the last of the four meets February.
FOUR = {"start": "2013-01-02T00:00:00Z", "end": "2013-02-11T00:00:00Z", "total_chunks": 4, "time": APRIL}
# Two more than fit into one history.
GROUPS = {"start": JANUARY, "end": "2013-01-02T00:00:00Z", "total_chunks": 102, "time": APRIL}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with emulator.start(location=Path(folder) / "azurite", ports=emulator.free_ports()) as azurite:
            log = Path(folder) / "host.log"
            with proxy_in_thread(azurite.ports) as proxy:
                settings = {**SETTINGS, "READINGS_CONNECTION": "Readings", "Readings": proxy.connection_string}
                environment = environment_of(azurite.connection_string, HUB, settings)
                host = spawn_host(CHECKOUT, output_file=log, environment=environment, options=["--no-azurite"])
                with BlobServiceClient.from_connection_string(azurite.connection_string) as account:
                    upload(account.create_container(CONTAINER))
                with hosted(host):
                    runs = run_everything(host, proxy)
            for name, instance_id in runs.items():
                record(name, instance_id, azurite.connection_string)
            root = read_history(runs["groups"], azurite.connection_string)
            children = [each.instance_id for each in root if isinstance(each, SubOrchestrationInstanceCreated)]
            record("group", str(children[-1]), azurite.connection_string)


def run_everything(host: HostProcess, proxy: StorageProxy) -> dict[str, str]:
    """The ids of the finished runs, by the names of the recordings."""
    proxy.rule = without_february()
    partial = start_run(host.url, FOUR)
    partial.output()
    # The file can be read again while the run is under way.
    retried = start_run(host.url, FOUR)
    eventually_blocking(lambda: has_failure(retried))
    proxy.rule = no_fault
    retried.output()
    completed = start_run(host.url, WHOLE)
    completed.output()
    groups = start_run(host.url, GROUPS)
    groups.output()
    runs = {"partial": partial, "retried": retried, "completed": completed, "groups": groups}
    return {name: run.id for name, run in runs.items()}


def without_february() -> Rule:
    """Refuses February once it has been read, so that runs know what it contains."""
    reads = itertools.count()

    def rule(call: StorageCall) -> Refuse | None:
        is_read = call.method == "GET" and "/2.parquet" in call.path
        return Refuse(status=503) if is_read and next(reads) else None

    return rule


def upload(container: Any) -> None:
    """Uploads the sample data in three files, the second being February."""
    at, sample = pl.col("timestamp"), pl.read_parquet(CHECKOUT / "sample_data" / "nyc_weather_2013.parquet")
    february, march = moment(FEBRUARY), moment("2013-03-01T00:00:00Z")
    parts = (at < february, at.is_between(february, march, "left"), at >= march)
    for number, part in enumerate(parts, 1):
        container.upload_blob(f"{number}.parquet", parquet(sample.filter(part)))


def parquet(frame: pl.DataFrame) -> bytes:
    content = BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def has_failure(run: Orchestration) -> bool:
    events = run.status(showHistory="true").get("historyEvents") or ()
    return any(event["EventType"] == "TaskFailed" for event in events)


def record(name: str, instance_id: str, connection: str) -> None:
    recording = Recording(events=read_history(instance_id, connection))
    results = []
    for episode in recording.episodes():
        recorded, _ = run_episode(orchestrator, recording.started, episode.reopened(recording.started))
        results.append(recorded)
    save(name, Recording(events=recording.events, results=tuple(results)), scrub=scrub)


def read_history(instance_id: str, connection: str) -> tuple[HistoryEvent, ...]:
    async def read() -> tuple[HistoryEvent, ...]:
        options = StorageOptions(hub_name=HUB, connection=ConnectionString(connection))
        async with open_task_hub(options, SystemClock()) as hub:
            return await hub.read_history(instance_id)

    return asyncio.run(read())


def scrub(text: str) -> str:
    return text.replace(str(CHECKOUT), "/home/site/wwwroot").replace(sys.base_prefix, "/usr")


if __name__ == "__main__":
    main()
