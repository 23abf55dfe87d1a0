"""Durable settings of `host.json` in a running host. What reads them is tested elsewhere; here, that they arrive."""

from __future__ import annotations

import pytest

from devhost.azurite import Azurite
from tests.e2e.conftest import RunningHost
from tests.e2e.features import FEATURES_APP, App
from tests.e2e.host_process import call
from tests.e2e.orchestration import MANAGEMENT, accepted
from tests.e2e.test_durable_verbs import Verbs

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
    prefix = "AzureFunctionsJobHost__extensions__durableTask__"
    with running_host(FEATURES_APP, environment={prefix + key: value for key, value in SETTINGS.items()}) as host:
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
        accepted(call("POST", start, 3600))
        assert accepted(call("POST", start, 0)).end()["runtimeStatus"] == "Completed"
    verbs = Verbs(azurite.connection_string, hub_name)
    for instance_id in (chained.id, child):
        history = verbs("get-history", "--id", instance_id).document
        assert [event["Version"] for event in history if event["EventType"] == "ExecutionStarted"] == ["2.5"]
