"""Rows and messages of durablehost compared with those of the real engine, column by column and member by member.

What the real engine leaves is in `real_layout.json`, so the comparison runs everywhere. To record it again, run this
file with RECORD_LAYOUT=1 where there is an engine (see `engine.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("anyio")

from durablehost.emulator.azurite import Azurite
from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.faults.proxy import Fault, proxy_in_thread
from packages.durablehost.tests.faults.storage_call import Operation, StorageCall
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.kinds import KINDS, Host, Runs
from packages.durablehost.tests.interop.layout import RECORDED, Layout, Recorder, differences, to_text, unexpected

# The others show no more columns, and take longer.
COMPARED = [
    "fan-out", "children", "timer", "race", "event-after-its-wait", "continued", "entity", "large", "suspended",
    "terminated-later", "rewound", "versioned",
]  # fmt: skip
# Each with its reason in docs/differences.md, "In storage"; some depend on the moment on the real engine, too.
DIFFERENT = [
    "History EventRaised: Input: *",
    "History EventRaised: Name: *",
    "History GenericEvent: Details: *",
    "History GenericEvent: Result: *",
    "History OrchestratorCompleted: IsPlayed: *",
    "Message EventRaisedEvent: Sender.ExecutionId: *",
    "Message TaskCompletedEvent: TaskMessage.Event.Result: *",
    "Message TaskFailedEvent: *",
    "Message Task*Event: RequestTime: *",
    "Message reference to a blob: CompressedBlobName: *",
]
SENT = (Operation.SEND_CONTROL, Operation.SEND_REQUEST)


@contextmanager
def recording(azurite: Azurite, recorder: Recorder) -> Iterator[str]:
    """Yields the connection string of a storage that notes what is sent; the rows are noted at the end."""
    messages: list[bytes] = []

    def note(call: StorageCall) -> Fault | None:
        if call.operation in SENT:
            messages.append(call.body)
        return None

    with proxy_in_thread(azurite.ports) as proxy:
        proxy.rule = note
        yield proxy.connection_string
    recorder.add_rows(azurite.connection_string)
    for each in messages:
        recorder.add_message(each)


def carry_out(host: Host, folder: Path) -> None:
    runs = Runs(folder, {name: KINDS[name] for name in COMPARED})
    runs.begin(host)
    runs.end(host)


def assert_like_recorded(layout: Layout) -> None:
    found = differences(json.loads(RECORDED.read_text("utf-8")), layout)
    assert "\n".join(unexpected(found, DIFFERENT)) == ""


@pytest.mark.azurite
def test_durablehost_leaves_the_rows_and_messages_of_the_real_engine(
    running_host: RunningHost, azurite: Azurite, hub_name: str, options: StorageOptions, tmp_path: Path
) -> None:
    recorder = Recorder(hub_name, tmp_path)
    with recording(azurite, recorder) as storage:
        with running_host(SCRIPTED_APP, environment={**ENVIRONMENT, "AzureWebJobsStorage": storage}) as host:
            carry_out(Host(host.url, options), tmp_path)
    assert_like_recorded(recorder.finish())


@pytest.mark.azurite
def test_the_real_engine_leaves_what_is_recorded(
    real_engine: StartEngine, azurite: Azurite, hub_name: str, options: StorageOptions, tmp_path: Path
) -> None:
    recorder = Recorder(hub_name, tmp_path)
    with recording(azurite, recorder) as storage:
        with real_engine(storage) as engine:
            carry_out(Host(engine.url, options), tmp_path)
    layout = recorder.finish()
    if os.environ.get("RECORD_LAYOUT"):
        RECORDED.write_text(to_text(layout), "utf-8")
    assert_like_recorded(layout)
