"""Durable settings of `host.json` reach a running host. Their parsing is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App, Gate
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, accepted
from packages.durablehost.tests.e2e.test_durable_verbs import Verbs
from packages.durablehost.tests.e2e.test_entities import ENTITIES_APP, Counter
from packages.durablehost.tests.eventually import eventually_blocking

PREFIX = "AzureFunctionsJobHost__extensions__durableTask__"
SETTINGS = {
    "maxOrchestrationActions": "3",
    "storeInputsInOrchestrationHistory": "true",
    "overridableExistingInstanceStates": "AnyState",
    "defaultVersion": "2.5",
}


@pytest.mark.azurite
def test_durable_settings_reach_the_client_and_the_engine(
    running_host: RunningHost, azurite: Azurite, hub_name: str
) -> None:
    with running_host(FEATURES_APP, environment={PREFIX + key: value for key, value in SETTINGS.items()}) as host:
        app = App(host.url)
        chained = app.start("chained", "-")
        assert chained.output() == "-abc"
        shown = chained.status(showHistory="true")["historyEvents"]
        assert [event["Input"] for event in shown if event["EventType"] == "TaskCompleted"] == [
            '["\\"-a\\""]',
            '["\\"-ab\\""]',
            '["\\"-abc\\""]',
        ]
        assert "Maximum amount of orchestration actions (3)" in app.start("fanned", [1, 2, 3, 4]).failure()
        parent = app.start("parent", ["one", "two"])
        (_, child, _), _ = parent.output()

        start = f"{host.url}{MANAGEMENT}/orchestrators/napped/again"
        accepted(call("POST", start, "3600"))
        assert accepted(call("POST", start, "0")).end()["runtimeStatus"] == "Completed"
    verbs = Verbs(azurite.connection_string, hub_name)
    for instance_id in (chained.id, child):
        history = verbs("get-history", "--id", instance_id).document
        assert [event["Version"] for event in history if event["EventType"] == "ExecutionStarted"] == ["2.5"]


@pytest.mark.azurite
def test_limits_reach_the_engine(running_host: RunningHost, tmp_path: Path) -> None:
    with running_host(FEATURES_APP, environment={f"{PREFIX}maxConcurrentActivityFunctions": "1"}) as host:
        app, gate = App(host.url), Gate(tmp_path)
        run = app.start("gated_fan", [gate.value(name) for name in "abc"])
        gate.wait_until_reached()
        assert app.start("idle").output() == "nothing to do"
        assert len(gate.runs) == 1
        gate.open()
        assert run.output() == ["a", "b", "c"]
    with running_host(ENTITIES_APP, environment={f"{PREFIX}maxEntityOperationBatchSize": "1"}) as host:
        counter = Counter(host.url)
        counter.ask(("call", "add", 1)).output()
        instance = f"{host.url}{MANAGEMENT}/instances/{counter.instance_id}"
        call("POST", f"{instance}/suspend")
        eventually_blocking(lambda: call("GET", instance).document["runtimeStatus"] == "Suspended")
        before = host.output.count("Executing 'Functions.counter'")
        for _ in range(3):
            counter.signal("add", "1")
        call("POST", f"{instance}/resume")
        assert counter.becomes(4)
        assert host.output.count("Executing 'Functions.counter'") == before + 3
