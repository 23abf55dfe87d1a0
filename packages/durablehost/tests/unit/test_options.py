"""Which settings reach the storage and the engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.core.rules import Rules
from durablehost.engine.dispatcher import EngineOptions
from durablehost.host.engine_options import engine_options
from durablehost.host.hub_options import hub_options
from durablehost.settings import Settings, StartOptions, load_settings

AZURITE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    durable = {
        "hubName": "MyHub",
        "maxConcurrentActivityFunctions": 3,
        "maxConcurrentOrchestratorFunctions": 4,
        "maxOrchestrationActions": 5,
        "maxEntityOperationBatchSize": 6,
        "entityMessageReorderWindowInMinutes": 7,
        "defaultVersion": "8",
        "storeInputsInOrchestrationHistory": True,
        "storageProvider": {
            "partitionCount": 9,
            "controlQueueBatchSize": 10,
            "controlQueueBufferThreshold": 11,
            "controlQueueVisibilityTimeout": "00:02:00",
            "workItemQueueVisibilityTimeout": "00:03:00",
            "maxQueuePollingInterval": "00:00:12",
        },
    }
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": durable}}))
    return load_settings(StartOptions(script_root=tmp_path), AZURITE)


def test_durable_settings_are_the_options_of_the_engine(settings: Settings) -> None:
    assert engine_options(settings) == EngineOptions(
        max_orchestrations=4,
        max_activities=3,
        renew_seconds=40,
        max_entity_batch_size=6,
        entity_reorder_window_seconds=420,
        rules=Rules(max_actions=5, stores_inputs=True, default_version="8"),
    )


def test_settings_of_the_storage_provider_are_the_options_of_the_hub(settings: Settings) -> None:
    options = hub_options(settings)
    assert options.hub_name == "MyHub"
    assert options.partition_count == 9
    assert (options.control_queue_batch_size, options.control_queue_buffer_threshold) == (10, 11)
    assert (options.control_queue_visibility_seconds, options.work_item_visibility_seconds) == (120, 180)
    assert options.max_polling_interval_seconds == 12
