"""Any value in any argument of any call: the instance ends, without errors in the engine or its storage format."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import HistoryEvent
from durablehost.core.ids import partition_of
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import OrchestrationWorkItem, ReceivedMessage
from durablehost.storage.rows.history_rows import event_of_row, row_of_event, utf16_units
from durablehost.storage.rows.instance_rows import update_row
from durablehost.storage.rows.message_json import Envelope, envelope_from_text, envelope_to_text
from durablehost.storage.rows.table import Row, _encode, _stored
from packages.durablehost.tests.replay.odd_programs import PROGRAMS, Step, child, counter, echo, interpreter
from packages.durablehost.tests.replay.simulation import SimulatedHub, Simulation

LONGEST_KEY = 512
# Members that go to a blob if they are too large have no limit.
BOUNDED_COLUMNS = ("Name", "Version", "InstanceId", "CustomStatus", "EventType", "RuntimeStatus")


@dataclass
class StoringHub(SimulatedHub):
    """Takes every message and every row through the form in which it is stored."""

    def put(self, message: TaskMessage) -> str:
        partition_of(message.target.instance_id, 4)
        text = envelope_to_text(message, activity_id="0", sequence_number=1)
        ElementTree.fromstring(f"<MessageText>{text}</MessageText>")
        read = envelope_from_text(text)
        assert isinstance(read, Envelope)
        assert read.message == message
        return super().put(message)

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        kept: Sequence[ReceivedMessage] = (),
    ) -> None:
        for event in checkpoint.new_events:
            assert _read_back(event) == event
        if update := checkpoint.update:
            _check_row(update_row(item.instance_id, update, input_text=None, output_text=None, hub_name="Hub"))
        await super().complete_orchestration(item, checkpoint, deferred=deferred, kept=kept)


class StoringSimulation(Simulation):
    hub_type = StoringHub


def _read_back(event: HistoryEvent) -> HistoryEvent:
    row = row_of_event(event, "e1")
    _check_row(row)
    members: dict[str, Any] = json.loads(_encode(row))
    return event_of_row(_stored({**members, "odata.etag": "e"}).columns)


def _check_row(row: Row) -> None:
    assert utf16_units(str(row.get("PartitionKey", ""))) <= LONGEST_KEY
    assert all(utf16_units(str(row.get(column, ""))) <= 30 * 1024 for column in BOUNDED_COLUMNS)


def simulation_of(program: Sequence[Step], seed: int) -> Simulation:
    orchestrators: Mapping[str, Any] = {"run": interpreter([program]), "child": child}
    return StoringSimulation(orchestrators, {"echo": echo}, {"counter": counter}, seed=seed)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, st.integers(0, 2**32))
def test_an_instance_ends_for_any_arguments_of_its_calls(program: list[Step], seed: int) -> None:
    world = simulation_of(program, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status, output = asyncio.run(world.run("run", 0))
    assert status in (RuntimeStatus.COMPLETED, RuntimeStatus.FAILED), (program, output)
