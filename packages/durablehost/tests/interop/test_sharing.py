"""Two hosts at once on one hub, durablehost and the real engine: each gets its share of the partitions and the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from azure.data.tables import TableServiceClient

from durablehost.emulator.azurite import Azurite
from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.kinds import Host, Run

PARTITIONS = 4
# The owner of a partition looks every ten seconds whether another host asks for it.
SHARED_SECONDS = 120
# Enough for instances in every partition.
IDS = [f"shared-{number}" for number in range(12)]


class AnyHost(Protocol):
    @property
    def url(self) -> str: ...


def owners(azurite: Azurite, hub_name: str) -> Mapping[str | None, int]:
    """How many partitions each owner has."""
    with TableServiceClient.from_connection_string(azurite.connection_string) as tables:
        rows = list(tables.get_table_client(f"{hub_name}Partitions").list_entities())
    return Counter(row.get("CurrentOwner") for row in rows)


@pytest.mark.azurite
@pytest.mark.parametrize(
    "engine_is_first",
    [
        pytest.param(True, id="engine-first"),
        # Takes as long again; `dev.py test` leaves it out.
        pytest.param(False, id="durablehost-first", marks=pytest.mark.soak),
    ],
)
def test_the_host_that_starts_second_gets_half_of_the_partitions_and_no_work_is_lost_or_doubled(
    running_host: RunningHost,
    real_engine: StartEngine,
    azurite: Azurite,
    hub_name: str,
    options: StorageOptions,
    tmp_path: Path,
    engine_is_first: bool,
) -> None:
    runs = [Run(id=instance_id, folder=tmp_path / instance_id) for instance_id in IDS]

    starts: list[Callable[[], AbstractContextManager[AnyHost]]] = [
        lambda: running_host(SCRIPTED_APP, environment=ENVIRONMENT),
        real_engine,
    ]
    if engine_is_first:
        starts.reverse()
    with ExitStack() as hosts:
        first = Host(hosts.enter_context(starts[0]()).url, options)
        for run in runs[::2]:
            begin(first, run)
        second = Host(hosts.enter_context(starts[1]()).url, options)
        for run in runs[1::2]:
            begin(second, run)
        eventually_blocking(
            lambda: sorted(owners(azurite, hub_name).values()) == [PARTITIONS // 2] * 2,
            timeout_seconds=SHARED_SECONDS,
            interval_seconds=0.3,
        )
        for run in runs:
            run.gate.open()
            second.raise_event(run.id, "go", run.id)
        for run in runs:
            status = first.wait_for_status(run.id, "Completed", "Failed")
            assert status["output"] == ["gated", run.id, 1], status
            assert run.gate.runs == ["gated"]


def begin(host: Host, run: Run) -> None:
    run.folder.mkdir()
    host.start(run.id, [run.gated, ["event", "go"], ["activity", "echo", 1]])
