"""Durable entities on a real host: the app in `tests/apps/entities`, over HTTP and through the SDK."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest

from durablehost.core.history_json import parse_time
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import APPS, Answer, HostProcess, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted, instances
from packages.durablehost.tests.eventually import eventually_blocking

ENTITIES_APP = APPS / "entities"


@pytest.fixture(scope="module")
def host(shared_host: RunningHost) -> Iterator[HostProcess]:
    with shared_host(ENTITIES_APP) as host:
        yield host


class Counter:
    """One counter of the app, over the management API and over the functions of the app."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.key = key or uuid.uuid4().hex
        self.resource = f"{url}{MANAGEMENT}/entities/Counter/{self.key}"
        self.function = f"{url}/api/counters/{self.key}"

    @property
    def instance_id(self) -> str:
        return f"@counter@{self.key}"

    def read(self) -> Answer:
        return call("GET", self.resource)

    def signal(self, operation: str, body: object = None) -> None:
        headers = {"Content-Type": "application/json"}
        answer = call("POST", f"{self.resource}?op={operation}", body, headers=headers)
        assert (answer.status, answer.body) == (202, b"")

    def becomes(self, value: object) -> bool:
        return eventually_blocking(lambda: self.read().status == 200 and self.read().document == value)

    def ask(self, *steps: tuple[str, str, object], entity: str = "Counter") -> Orchestration:
        request = {"entity": entity, "key": self.key, "steps": steps}
        return accepted(call("POST", f"{self.url}/api/start/ask", request))


@pytest.fixture
def counter(host: HostProcess) -> Counter:
    return Counter(host.url)


class TestOrchestrations:
    def test_signal_and_call_in_order(self, counter: Counter) -> None:
        adds: list[tuple[str, str, object]] = [("signal", "add", number) for number in range(1, 11)]
        run = counter.ask(
            *adds, ("call", "get", None), ("call", "add", 1), ("signal", "reset", None), ("call", "get", 0)
        )
        assert run.output() == [55, 56, 0]

    def test_share_an_entity(self, counter: Counter) -> None:
        runs = [counter.ask(*[("call", "add", 1)] * 5) for _ in range(6)]
        answers = [answer for run in runs for answer in run.output()]
        assert sorted(answers) == list(range(1, 31))

    def test_get_the_error_of_an_operation_and_go_on(self, counter: Counter) -> None:
        run = counter.ask(("signal", "fail", "this"), ("call", "fail", "that"), ("call", "add", 2))
        assert run.output() == ["failed: cannot that", 2]

    def test_get_the_error_of_an_entity_that_cannot_be_run(self, counter: Counter, host: HostProcess) -> None:
        (answer,) = counter.ask(("call", "get", None), entity="Broken").output()
        assert answer == "failed: Entity function 'broken' failed: RuntimeError: no entity at all"
        assert "The entity '@broken@" in host.output

    def test_get_an_error_if_the_entity_does_not_exist(self, counter: Counter) -> None:
        (answer,) = counter.ask(("call", "get", None), entity="Nobody").output()
        assert answer.startswith(
            "failed: The function 'nobody' doesn't exist, is disabled, or is not an entity function."
        )
        assert "'Counter'" in answer

    def test_find_a_deleted_entity_as_new(self, counter: Counter) -> None:
        run = counter.ask(("call", "add", 7), ("call", "delete", None), ("call", "add", 1))
        assert run.output() == [7, 7, 1]

    def test_show_their_requests_in_the_history(self, counter: Counter) -> None:
        run = counter.ask(("signal", "add", 1), ("call", "get", None))
        run.output()
        events = [event["EventType"] for event in run.status(showHistory="true")["historyEvents"]]
        assert events == ["ExecutionStarted", "EventSent", "EventSent", "EventRaised", "ExecutionCompleted"]


class TestTheClientOfTheSdk:
    def test_signals_and_reads(self, counter: Counter) -> None:
        assert call("GET", counter.function).document == {"exists": False, "state": None}
        assert call("POST", f"{counter.function}/add", 3).status == 202
        assert call("POST", f"{counter.function}/add", 4).status == 202
        assert counter.becomes(7)
        assert call("GET", counter.function).document == {"exists": True, "state": 7}


class TestTheHttpApi:
    def test_signals_reads_and_deletes(self, counter: Counter) -> None:
        assert counter.read().status == 404
        # The SDK sends JSON within JSON.
        counter.signal("add", "5")
        assert counter.becomes(5)
        # An input that the SDK cannot read fails only the operation that reads it.
        counter.signal("add", 5)
        counter.signal("add", "1")
        assert counter.becomes(6)
        assert call("DELETE", counter.resource).status == 202
        assert eventually_blocking(lambda: counter.read().status == 404)

    def test_lists_existing_entities(self, host: HostProcess) -> None:
        began_at = datetime.now(timezone.utc)
        one, two, gone = (Counter(host.url) for _ in range(3))
        for counter in (one, two, gone):
            counter.ask(("call", "add", 2)).output()
        gone.ask(("call", "delete", None)).output()
        query = {"lastOperationTimeFrom": began_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        listed = entities(host.url, "/Counter", fetchState="true", **query)
        keys = sorted([one.key, two.key])
        assert [each["entityId"] for each in listed] == [{"name": "counter", "key": key} for key in keys]
        assert [each["state"] for each in listed] == [2, 2]
        assert all(parse_time(each["lastOperationTime"]) >= began_at for each in listed)
        assert [each["state"] for each in entities(host.url, **query)] == [None, None]
        later = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert entities(host.url, lastOperationTimeFrom=later) == []
        assert entities(host.url, "/Nobody") == []

    def test_lists_page_by_page(self, host: HostProcess) -> None:
        for _ in range(3):
            Counter(host.url).ask(("call", "add", 1)).output()
        seen, token = [], ""
        while True:
            answer = call("GET", f"{host.url}{MANAGEMENT}/entities?top=2", headers={"x-ms-continuation-token": token})
            seen += [each["entityId"]["key"] for each in answer.document]
            token = answer.headers["x-ms-continuation-token"]
            if not token:
                break
        assert seen == [each["entityId"]["key"] for each in entities(host.url, top="1000")]
        assert len(seen) >= 3

    def test_refuses_an_unknown_entity_and_a_bad_key(self, host: HostProcess) -> None:
        for path in ("Nobody/one?op=add", "Counter/a%2Fb?op=add"):
            answer = call("POST", f"{host.url}{MANAGEMENT}/entities/{path}")
            assert (answer.status, list(answer.document)) == (400, ["Message"])

    def test_shows_an_entity_as_an_instance(self, counter: Counter) -> None:
        counter.ask(("call", "add", 1)).output()
        instance = f"{counter.url}{MANAGEMENT}/instances/{counter.instance_id}"
        status = call("GET", instance)
        assert (status.status, status.document["runtimeStatus"]) == (202, "Running")
        assert status.document["customStatus"] == {"entityExists": True}
        assert counter.instance_id in [each["instanceId"] for each in instances(counter.url)]
        assert call("POST", f"{instance}/suspend?reason=lunch").status == 202
        eventually_blocking(lambda: call("GET", instance).document["runtimeStatus"] == "Suspended")
        counter.signal("add", "1")
        assert call("POST", f"{instance}/resume?reason=back").status == 202
        assert counter.becomes(2)
        assert call("POST", f"{instance}/terminate?reason=enough").status == 202
        eventually_blocking(lambda: call("GET", instance).status == 200)
        ended = call("GET", instance).document
        assert (ended["runtimeStatus"], ended["output"]) == ("Terminated", "enough")
        assert call("POST", f"{instance}/terminate?reason=again").status == 410
        assert call("DELETE", instance).document == {"instancesDeleted": 1}
        assert counter.read().status == 404
        assert counter.ask(("call", "add", 1)).output() == [1]


def test_entities_keep_their_state_and_their_signals_over_a_restart(running_host: RunningHost) -> None:
    with running_host(ENTITIES_APP) as first:
        counter = Counter(first.url)
        counter.ask(("call", "add", 20)).output()
        counter.signal("add", "1")
    with running_host(ENTITIES_APP) as second:
        assert Counter(second.url, counter.key).becomes(21)


def entities(url: str, path: str = "", **query: str) -> list[Any]:
    answer = call("GET", f"{url}{MANAGEMENT}/entities{path}?{urlencode(query)}")
    assert answer.status == 200, f"{answer.status}: {answer.body!r}"
    return list(answer.document)
