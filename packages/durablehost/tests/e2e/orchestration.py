"""An orchestration as an HTTP client sees it: starts it, follows it by its management URLs, waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from packages.durablehost.tests.e2e.host_process import Answer, call
from packages.durablehost.tests.eventually import eventually_blocking

MANAGEMENT = "/runtime/webhooks/durabletask"
FINISHED = frozenset({"Completed", "Failed", "Terminated", "Canceled"})


@dataclass(frozen=True, kw_only=True)
class Orchestration:
    """One instance, known by the management URLs of the 202 answer."""

    links: dict[str, str]

    @property
    def id(self) -> str:
        return self.links["id"]

    def under_id(self, instance_id: str) -> Orchestration:
        """The URLs of another instance, such as a child."""
        return Orchestration(links={name: link.replace(self.id, instance_id) for name, link in self.links.items()})

    def answer(self, **query: str) -> Answer:
        url = self.links["statusQueryGetUri"]
        return call("GET", f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url)

    def status(self, **query: str) -> Any:
        answer = self.answer(**query)
        assert answer.status in (200, 202), f"{answer.status}: {answer.body!r}"
        return answer.document

    def end(self, timeout_seconds: float = 60) -> Any:
        """Waits until the instance is finished, however it ended, and returns its status."""

        def finished() -> Any:
            status = self.status()
            assert status["runtimeStatus"] in FINISHED, f"{self.id}: {status}"
            return status

        return eventually_blocking(finished, timeout_seconds=timeout_seconds, interval_seconds=0.05)

    def output(self, timeout_seconds: float = 60) -> Any:
        """Waits until it has completed, and returns its output."""
        status = self.end(timeout_seconds)
        assert status["runtimeStatus"] == "Completed", status
        return status["output"]

    def failure(self, timeout_seconds: float = 60) -> str:
        """Waits until it has failed, and returns the reason."""
        status = self.end(timeout_seconds)
        assert status["runtimeStatus"] == "Failed", status
        return str(status["output"])

    def terminate(self, reason: str) -> Answer:
        return call("POST", self.links["terminatePostUri"].replace("{text}", quote(reason)))

    def raise_event(self, name: str, data: object) -> Answer:
        url = self.links["sendEventPostUri"].replace("{eventName}", quote(name))
        return call("POST", url, data, headers={"Content-Type": "application/json"})

    def suspend(self, reason: str) -> Answer:
        return call("POST", self.links["suspendPostUri"].replace("{text}", quote(reason)))

    def resume(self, reason: str) -> Answer:
        return call("POST", self.links["resumePostUri"].replace("{text}", quote(reason)))

    def purge(self) -> Answer:
        return call("DELETE", self.links["purgeHistoryDeleteUri"])


def accepted(answer: Answer) -> Orchestration:
    """The orchestration of a 202 answer."""
    assert answer.status == 202, f"{answer.status}: {answer.body!r}"
    return Orchestration(links=answer.document)


def start_run(app_url: str, request: object) -> Orchestration:
    """Starts this project's own orchestration."""
    return accepted(call("POST", f"{app_url}/api/starter_function", request))


def pages(app_url: str, **query: str) -> Iterator[Sequence[Any]]:
    """The pages of a listing, each fetched with the token of the one before."""
    url, token = f"{app_url}{MANAGEMENT}/instances?{urlencode(query)}", ""
    while True:
        answer = call("GET", url, headers={"x-ms-continuation-token": token} if token else None)
        assert answer.status == 200, f"{answer.status}: {answer.body!r}"
        yield answer.document
        token = answer.headers.get("x-ms-continuation-token", "")
        if not token:
            return


def instances(app_url: str, **query: str) -> list[Any]:
    return [status for page in pages(app_url, **query) for status in page]
