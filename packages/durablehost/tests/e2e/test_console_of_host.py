"""What the console of a real host knows beyond the storage: logs of worker processes, and attempts by retry options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from packages.durablehost.tests.e2e.conftest import HELLO_APP, RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import call
from packages.durablehost.tests.e2e.orchestration import accepted
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.azurite


def got(url: str, path: str) -> Any:
    answer = call("GET", f"{url}/console/api/{path}")
    assert answer.status == 200, answer.body
    return answer.document


def test_the_logs_of_an_instance_are_those_of_its_activities_alone(running_host: RunningHost) -> None:
    with running_host(HELLO_APP) as host:
        runs = [accepted(call("POST", f"{host.url}/api/hello", [name])) for name in ("Ada", "Alan")]
        for run in runs:
            run.output()
        lines = [got(host.url, f"instances/{run.id}/logs")["lines"] for run in runs]
    shown = [[(line["function"], line["task"], line["text"]["text"]) for line in each] for each in lines]
    assert shown == [[("greet", 0, "greeting Ada")], [("greet", 0, "greeting Alan")]]


def test_an_attempt_that_fails_is_logged_and_the_next_one_explained(running_host: RunningHost, tmp_path: Path) -> None:
    options = {"calls": str(tmp_path / "calls"), "failures": 9, "attempts": 4, "interval": 600_000, "chunk_id": 17}
    with running_host(FEATURES_APP) as host:
        run = App(host.url).start("retried", options)

        def explanation() -> str:
            text: str = got(host.url, f"instances/{run.id}/explanation")["text"]
            assert "Attempt" in text, text
            return text

        text = eventually_blocking(explanation)
        (line,) = got(host.url, f"instances/{run.id}/logs")["lines"]
        run.terminate("seen")
        run.end()
    assert text is not None
    assert text.startswith("Chunk 17 ('flaky') has failed once: RuntimeError: call 1 fails. Attempt 2 of 4 is due at ")
    assert line["level"] == 40
    assert "RuntimeError: call 1 fails" in line["text"]["text"]
