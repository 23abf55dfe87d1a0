"""The app in `tests/apps/features` for tests: its HTTP functions, and the gate at which its activities wait."""

from __future__ import annotations

from pathlib import Path

from packages.durablehost.tests.e2e.host_process import APPS, Answer, call
from packages.durablehost.tests.e2e.orchestration import Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking

FEATURES_APP = APPS / "features"


class App:
    """The features app on a running host."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self, name: str, value: object = None, *, instance_id: str = "") -> Orchestration:
        return accepted(call("POST", f"{self.url}/api/start/{name}/{instance_id}".rstrip("/"), value))

    def client(self, operation: str, instance_id: str, query: str = "") -> Answer:
        answer = call("POST", f"{self.url}/api/client/{operation}/{instance_id}{query}")
        assert answer.status != 500 or operation == "wait", answer.body
        return answer


class Gate:
    """What gated activities write to and wait for."""

    def __init__(self, folder: Path) -> None:
        self._runs, self._gate = folder / "runs", folder / "gate"

    def value(self, name: str) -> dict[str, str]:
        return {"name": name, "runs": str(self._runs), "gate": str(self._gate)}

    def wait_until_reached(self, count: int = 1) -> None:
        eventually_blocking(lambda: len(self.runs) >= count)

    @property
    def runs(self) -> list[str]:
        """The name of each call, in the order in which they began."""
        return self._runs.read_text().splitlines() if self._runs.exists() else []

    def open(self) -> None:
        self._gate.touch()
