"""The routes of the console: what they answer, to whom, and with which headers."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from durablehost.app.invocation import Invocation
from durablehost.core.history import TaskCompleted, TaskFailed, TaskScheduled
from durablehost.core.lineage import continued_execution_id
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import StorageUnavailable, UnreadableState
from durablehost.keys.ring import KeyRing
from durablehost.web.console.hubs import HubNames
from durablehost.web.console.inputs import LOADED
from durablehost.web.console.rows import MOST_ROWS
from durablehost.web.console.site import _STATIC
from durablehost.web.console.view import LONG, WHOLE
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import BEGIN, make_app, make_function, responds

API = "/console/api"
LAST = f"{API}/orchestrators/Orch/inputs"
RING = KeyRing(
    master="master-key",
    host={"default": "host-key"},
    system={"durabletask_extension": "durable-key"},
    functions={},
)
ROUTES = (
    f"{API}/hub", f"{API}/instances", f"{API}/counts", f"{API}/changes", f"{API}/instances/a",
    f"{API}/instances/a/history", f"{API}/instances/a/history/0", f"{API}/instances/a/explanation", f"{API}/nothing",
    f"{API}/entities", f"{API}/entities/@counter@a",
    f"{API}/instances/a/logs", f"{API}/instances/a/output", f"{API}/instances/a/results",
    f"{API}/rows?id=a", f"{API}/hubs", f"{API}/hub?taskHub=Other", f"{API}/orchestrators/Orch/inputs",
)  # fmt: skip
FILES = (
    "/console",
    "/console/",
    "/console/app.mjs",
    "/console/style.css",
    "/console/vendor/htm-preact.mjs",
    "/console/vendor/uPlot.iife.min.js",
    "/console/vendor/uPlot.min.css",
)


async def got(edge: Edge, path: str, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with edge.request("GET", path, headers=named) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if answer.content_type == "application/json" else body


def add_entity(edge: Edge, instance_id: str, state: str) -> None:
    stored = json.dumps({"exists": True, "state": state})
    edge.hub.add(instance_id, input=stored, custom_status='{"entityExists":true}')


async def ids(edge: Edge, query: str) -> list[str]:
    status, answer = await got(edge, f"{API}/instances?{query}")
    assert status == 200
    return [row["id"] for row in answer["instances"]]


async def purged(edge: Edge, instance_id: str, updated: str = "2026-03-01T10:00:02.123456Z", **headers: str) -> int:
    """Asks for a purge of an instance that was last updated at that time, and returns the status of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"{API}/instances/{instance_id}?{urlencode({'updated': updated})}"
    async with edge.request("DELETE", path, headers=named) as answer:
        return int(answer.status)


class TestPurge:
    async def test_removes_the_instance_as_the_page_has_seen_it(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.FAILED)
        edge.hub.add("b", RuntimeStatus.FAILED)
        assert await purged(edge, "a") == 204
        assert list(edge.hub.records) == ["b"]
        assert await purged(edge, "a") == 404

    async def test_spares_an_instance_that_was_updated_at_another_time(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.FAILED)
        for updated in ("2026-03-01T10:00:01Z", "2026-03-01T10:00:02Z"):
            assert await purged(edge, "a", updated) == 412
        assert list(edge.hub.records) == ["a"]

    async def test_needs_the_time_of_the_last_update(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.FAILED)
        for updated in ("", "soon"):
            assert await purged(edge, "a", updated) == 400
        assert list(edge.hub.records) == ["a"]

    async def test_spares_an_instance_that_has_not_ended(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.RUNNING)
        assert await purged(edge, "a") == 412
        assert list(edge.hub.records) == ["a"]


async def inputs(edge: Edge, path: str) -> list[str]:
    status, answer = await got(edge, path)
    assert status == 200
    return [each["input"] for each in answer["inputs"]]


class TestList:
    async def test_rows_have_no_payloads(self, edge: Edge) -> None:
        edge.hub.add("a", input="17", custom_status='{"chunks_done": 1, "chunks_total": 2}')
        status, answer = await got(edge, f"{API}/instances")
        assert (status, answer["continuation"]) == (200, None)
        (row,) = answer["instances"]
        assert (row["id"], row["status"], row["progress"]["total"], "input" in row) == ("a", "Running", 2, False)

    async def test_filters_by_status_name_id_and_time(self, edge: Edge) -> None:
        edge.hub.add("a-1", RuntimeStatus.FAILED)
        edge.hub.add("a-2", name="Other")
        edge.hub.add("b-1", created_at=BEGIN + timedelta(days=1))
        assert await ids(edge, "runtimeStatus=Failed,Completed") == ["a-1"]
        assert await ids(edge, "name=Other") == ["a-2"]
        assert await ids(edge, "instanceIdPrefix=a-") == ["a-1", "a-2"]
        assert await ids(edge, "createdTimeFrom=2026-03-02T00:00:00Z") == ["b-1"]
        assert await ids(edge, "createdTimeTo=2026-03-02T00:00:00Z&name=Orch") == ["a-1"]

    async def test_filters_by_the_last_update(self, edge: Edge) -> None:
        edge.hub.add("old", last_updated_at=BEGIN - timedelta(hours=1))
        edge.hub.add("new")
        assert await ids(edge, "updatedTimeFrom=2026-03-01T10:00:00Z") == ["new"]

    async def test_searches_id_name_and_custom_status_without_regard_to_case(self, edge: Edge) -> None:
        edge.hub.add("order-1")
        edge.hub.add("b", name="SendOrder")
        edge.hub.add("c", custom_status='"the Order is late"')
        edge.hub.add("d", custom_status='"%sorder"' % (200 * "x"), input="order")
        assert await ids(edge, "search=ORDER") == ["b", "c", "order-1"]
        assert await ids(edge, "search=order&name=Orch") == ["c", "order-1"]

    async def test_a_search_reads_on_until_it_has_found_a_page_or_read_enough(
        self, edge: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        monkeypatch.setattr("durablehost.web.console.api.COUNTED", 6)
        for number in range(12):
            edge.hub.add(f"i{number:02}", name="Wanted" if number in (3, 4, 5, 11) else "Orch")
        _, answer = await got(edge, f"{API}/instances?search=wanted")
        assert [row["id"] for row in answer["instances"]] == ["i03", "i04", "i05"]
        _, answer = await got(edge, f"{API}/instances?search=wanted&continuation={quote(answer['continuation'])}")
        assert ([row["id"] for row in answer["instances"]], answer["continuation"]) == (["i11"], None)

    async def test_leaves_out_entities(self, edge: Edge) -> None:
        edge.hub.add("@counter@a")
        edge.hub.add("a")
        assert await ids(edge, "") == ["a"]

    async def test_goes_on_where_a_page_has_ended(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
        for number in range(5):
            edge.hub.add(f"i{number}")
        found, token = [], ""
        while token is not None:
            _, answer = await got(edge, f"{API}/instances?continuation={quote(token)}")
            found.append([row["id"] for row in answer["instances"]])
            token = answer["continuation"]
        assert found == [["i0", "i1"], ["i2", "i3"], ["i4"]]

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ("runtimeStatus=Dead", "Dead"),
            ("createdTimeFrom=yesterday", "createdTimeFrom"),
            ("updatedTimeFrom=yesterday", "updatedTimeFrom"),
            ("continuation=%21", "token"),
        ],
    )
    async def test_refuses_a_condition_that_cannot_be_read(self, edge: Edge, query: str, named: str) -> None:
        status, answer = await got(edge, f"{API}/instances?{query}")
        assert (status, named in answer["ExceptionMessage"]) == (400, True)


class TestRows:
    async def test_are_those_of_the_instances_that_exist(self, edge: Edge) -> None:
        edge.hub.add("a/b", RuntimeStatus.SUSPENDED, input="17")
        edge.hub.add("c,d")
        status, answer = await got(edge, f"{API}/rows?id=a%2Fb&id=none&id=c%2Cd")
        assert status == 200
        assert [(row["id"], row["status"]) for row in answer["rows"]] == [("a/b", "Suspended"), ("c,d", "Running")]
        assert "input" not in answer["rows"][0]

    async def test_are_asked_for_in_limited_numbers(self, edge: Edge) -> None:
        query = "&".join(f"id={number}" for number in range(MOST_ROWS + 1))
        assert (await got(edge, f"{API}/rows?{query}"))[0] == 400


class TestCounts:
    async def test_are_by_status(self, edge: Edge) -> None:
        for number, status in enumerate([RuntimeStatus.FAILED, RuntimeStatus.FAILED, RuntimeStatus.RUNNING]):
            edge.hub.add(f"i{number}", status)
        code, answer = await got(edge, f"{API}/counts")
        assert (code, answer["counts"], answer["isComplete"]) == (200, {"Failed": 2, "Running": 1}, True)
        assert (await got(edge, f"{API}/counts?instanceIdPrefix=x"))[1]["counts"] == {}
        assert (await got(edge, f"{API}/counts?search=I1"))[1]["counts"] == {"Failed": 1}

    async def test_have_the_times_of_creation_for_the_plot(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.FAILED)
        edge.hub.add("b", RuntimeStatus.FAILED, created_at=BEGIN + timedelta(seconds=1))
        begin = 1000 * int(BEGIN.timestamp()) + 123
        assert (await got(edge, f"{API}/counts"))[1]["created"] == {"Failed": [begin, begin + 1000]}

    async def test_say_if_there_are_more(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("durablehost.web.console.api.COUNTED", 2)
        for number in range(3):
            edge.hub.add(f"i{number}")
        _, answer = await got(edge, f"{API}/counts")
        assert (answer["counts"], answer["isComplete"]) == ({"Running": 2}, False)


class TestLastInputs:
    async def test_are_distinct_and_newest_first_whatever_the_ids(self, edge: Edge) -> None:
        for number, (instance_id, text) in enumerate([("d", "1"), ("c", "2"), ("a", "1"), ("b", "3")]):
            edge.hub.add(instance_id, input=text, created_at=BEGIN + timedelta(seconds=number))
        edge.hub.add("z", name="Other", input="4", created_at=BEGIN + timedelta(days=1))
        status, answer = await got(edge, LAST)
        assert (status, answer["isComplete"]) == (200, True)
        assert [(each["id"], each["input"]) for each in answer["inputs"]] == [("b", "3"), ("a", "1"), ("c", "2")]
        assert answer["inputs"][0]["created"] == "2026-03-01T10:00:03.123456Z"

    async def test_are_those_of_sub_orchestrations_only_if_there_are_no_others(self, edge: Edge) -> None:
        edge.hub.add("child", input="1", parent_id="parent", created_at=BEGIN + timedelta(seconds=1))
        assert await inputs(edge, LAST) == ["1"]
        edge.hub.add("started", input="2", created_at=BEGIN)
        assert await inputs(edge, LAST) == ["2"]

    async def test_are_five_at_most(self, edge: Edge) -> None:
        for number in range(9):
            edge.hub.add(f"i{number}", input=str(number), created_at=BEGIN + timedelta(seconds=number))
        assert await inputs(edge, LAST) == ["8", "7", "6", "5", "4"]

    async def test_are_found_by_the_name_in_any_case_if_the_orchestrators_are_known(self, edge: Edge) -> None:
        edge.hub.add("a", input="1")
        edge.hub.add("b", name="gone/Orch", input="2")
        assert await inputs(edge, f"{API}/orchestrators/ORCH/inputs") == ["1"]
        assert await inputs(edge, f"{API}/orchestrators/gone%2FOrch/inputs") == ["2"]
        assert await inputs(edge, f"{API}/orchestrators/GONE%2FORCH/inputs") == []
        assert (await got(edge, f"{API}/orchestrators/%20/inputs"))[0] == 404

    async def test_leave_out_entities_and_what_is_missing_too_long_or_damaged(self, edge: Edge) -> None:
        edge.hub.add("@orch@a", input="1")
        edge.hub.add("missing")
        edge.hub.add("long", input="x" * (LONG + 1))
        edge.hub.add("longest", input="x" * LONG)
        edge.hub.add("damaged", input="http://storage/blob", problem="the input cannot be read")
        assert await inputs(edge, LAST) == ["x" * LONG]

    @pytest.mark.parametrize("text", [None, "17"], ids=["missing", "equal"])
    async def test_cost_a_bounded_number_of_reads(
        self, edge: Edge, monkeypatch: pytest.MonkeyPatch, text: str | None
    ) -> None:
        for number in range(50):
            edge.hub.add(f"i{number:02}", input=text)
        read: list[str] = []

        async def counted(instance_id: str) -> InstanceRecord | None:
            read.append(instance_id)
            return edge.hub.records[instance_id]

        monkeypatch.setattr(edge.hub, "get_instance", counted)
        assert await inputs(edge, LAST) == ([] if text is None else ["17"])
        assert len(read) == LOADED

    async def test_are_looked_for_among_a_bounded_number_of_rows(
        self, edge: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("durablehost.web.console.api.COUNTED", 2)
        for number in range(3):
            edge.hub.add(f"i{number}", input=str(number), created_at=BEGIN + timedelta(seconds=number))
        _, answer = await got(edge, LAST)
        assert ([each["input"] for each in answer["inputs"]], answer["isComplete"]) == (["1", "0"], False)

    async def test_do_not_contain_an_instance_that_is_purged_meanwhile(
        self, edge: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edge.hub.add("a", input="1")

        async def gone(instance_id: str) -> None:
            return None

        monkeypatch.setattr(edge.hub, "get_instance", gone)
        assert await inputs(edge, LAST) == []


class TestHub:
    async def test_is_named_with_its_connection_and_cannot_be_switched_on_a_host(self, edge: Edge) -> None:
        _, hub = await got(edge, f"{API}/hub")
        assert (hub["hub"], hub["connection"], hub["switches"]) == ("TestHub", "Storage", False)
        assert (await got(edge, f"{API}/hubs"))[0] == 404

    async def test_of_a_page_has_to_be_that_of_the_host(self, edge: Edge) -> None:
        """A page stays open while a host ends, and another one with another hub begins."""
        edge.hub.add("run")
        assert (await got(edge, f"{API}/instances?taskHub=testhub&connection=storage"))[0] == 200
        for path in ("instances", "instances/run", "counts", "changes", "hub", "entities"):
            for names in ("taskHub=Other", "taskHub=TestHub&connection=Other", "connection=Other"):
                status, answer = await got(edge, f"{API}/{path}?{names}")
                assert (status, "Load /console" in answer["ExceptionMessage"]) == (409, True), path

    @pytest.mark.parametrize(
        ("names", "switches", "said"),
        [
            (
                "Mine Other",
                False,
                "the task hub 'Mine' in 'Storage' now, and the page shows the task hub 'Mine' in 'Other'",
            ),
            (
                "Other -",
                False,
                "the page shows the task hub 'Other'. Load /console to see this hub; `durablehost console`",
            ),
            ("Other -", True, "the task hub 'Other' without its storage connection. Add '&connection='"),
            ("- Other", True, "the storage connection 'Other' without a task hub. Load /console"),
        ],
    )
    async def test_that_is_another_one_is_refused_with_what_to_do(self, names: str, switches: bool, said: str) -> None:
        asked = HubNames(*(None if name == "-" else name for name in names.split()))
        assert said in (HubNames("Mine", "Storage").problem_of(asked, switches=switches) or "")


class TestInstance:
    async def test_has_its_payloads(self, edge: Edge) -> None:
        edge.hub.add("tenant/7", input="x" * 200_000, output='"done"')
        status, answer = await got(edge, f"{API}/instances/tenant%2F7")
        assert (status, answer["id"], answer["output"]["text"]) == (200, "tenant/7", '"done"')
        assert (len(answer["input"]["text"]), answer["input"]["length"]) == (100_000, 200_000)

    @pytest.mark.parametrize(
        "path",
        [
            "instances/none",
            "instances/none/history/0",
            "instances/none/output",
            "instances/none/results",
        ],
    )
    async def test_that_is_unknown_is_404(self, edge: Edge, path: str) -> None:
        assert (await got(edge, f"{API}/{path}"))[0] == 404

    async def test_that_is_unknown_has_a_history_that_is_missing(self, edge: Edge) -> None:
        assert await got(edge, f"{API}/instances/none/history") == (200, {"entries": [], "isMissing": True})

    async def test_is_replaced_unless_its_execution_is_that_of_before_or_continues_it(self, edge: Edge) -> None:
        edge.hub.add("a", execution_id="e1")
        edge.hub.add("b", execution_id=continued_execution_id(continued_execution_id("e1")))
        edge.hub.add("c", execution_id="e2")
        found = [(await got(edge, f"{API}/instances/{each}?since=e1"))[1]["isReplaced"] for each in "abc"]
        assert found == [False, False, True]
        assert (await got(edge, f"{API}/instances/c"))[1]["isReplaced"] is False

    async def test_has_a_history_with_the_times_at_which_activities_began(self, edge: Edge) -> None:
        edge.hub.add("a")
        edge.hub.histories["a"] = (
            TaskScheduled(timestamp=BEGIN, event_id=0, name="Work", input="x" * 5000),
            TaskCompleted(timestamp=BEGIN + timedelta(seconds=3), task_scheduled_id=0),
        )
        edge.starts.note("a", 0, BEGIN + timedelta(seconds=1))
        status, answer = await got(edge, f"{API}/instances/a/history")
        assert (status, len(answer["entries"])) == (200, 1)
        assert answer["entries"][0]["began"] == "2026-03-01T10:00:01.123456Z"
        assert len(answer["entries"][0]["input"]["text"]) == 200
        assert len((await got(edge, f"{API}/instances/a/history/0"))[1]["input"]["text"]) == 5000
        for position in ("1", "-1", "x", "\u0663", "9" * 5000):
            assert (await got(edge, f"{API}/instances/a/history/{quote(position)}"))[0] == 404

    async def test_that_is_pending_has_no_history_of_its_execution_before(self, edge: Edge) -> None:
        edge.hub.add("a", RuntimeStatus.PENDING)
        edge.hub.histories["a"] = (TaskScheduled(timestamp=BEGIN, event_id=0, name="Work"),)
        assert await got(edge, f"{API}/instances/a/history") == (200, {"entries": []})

    async def test_with_a_damaged_history_is_shown_with_the_reason(self, edge: Edge) -> None:
        edge.hub.add("a")
        edge.hub.history_failure = UnreadableState("row 3 is damaged")
        expected = {"entries": [], "problem": "row 3 is damaged"}
        assert await got(edge, f"{API}/instances/a/history") == (200, expected)

    async def test_shows_its_whole_output_alone(self, edge: Edge) -> None:
        edge.hub.add("a", output="x" * 5_000_000)
        edge.hub.add("b")
        _, answer = await got(edge, f"{API}/instances/a/output")
        assert (len(answer["text"]), answer["length"]) == (WHOLE, 5_000_000)
        assert await got(edge, f"{API}/instances/b/output") == (200, None)

    async def test_shows_the_whole_results_of_its_tasks_as_far_as_there_is_room(
        self, edge: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edge.hub.add("a")
        edge.hub.histories["a"] = (
            *(TaskScheduled(timestamp=BEGIN, event_id=number, name="Work") for number in range(4)),
            TaskCompleted(timestamp=BEGIN, task_scheduled_id=1, result="y" * 300),
            TaskCompleted(timestamp=BEGIN, task_scheduled_id=0, result="x" * 500),
            TaskFailed(timestamp=BEGIN, task_scheduled_id=2, reason="it broke"),
        )
        path = f"{API}/instances/a/results"
        assert (await got(edge, path))[1] == {"results": ["x" * 500, "y" * 300], "left": 0}
        monkeypatch.setattr("durablehost.web.console.api.WHOLE", 600)
        assert (await got(edge, path))[1] == {"results": ["x" * 500], "left": 1}

    async def test_shows_what_it_has_logged(self, edge: Edge) -> None:
        call = Invocation(invocation_id="i", function_name="Work", inputs={}, instance_id="a/b", task_id=3)
        edge.logs.add(call, 30, "slow")
        edge.logs.add(call, 20, "<done>")
        status, answer = await got(edge, f"{API}/instances/a%2Fb/logs")
        assert (status, answer["isKept"], answer["logged"]) == (200, True, 2)
        assert answer["lines"][0] == {
            "number": 1,
            "at": "2026-03-01T10:00:00.123456Z",
            "level": 30,
            "function": "Work",
            "task": 3,
            "text": {"text": "slow", "length": 4},
        }
        later = (await got(edge, f"{API}/instances/a%2Fb/logs?after=1"))[1]["lines"]
        assert [line["text"]["text"] for line in later] == ["<done>"]
        assert (await got(edge, f"{API}/instances/none/logs"))[1]["lines"] == []


class TestExplanation:
    async def test_says_why_an_instance_waits(self, edge: Edge) -> None:
        edge.hub.add("a")
        status, answer = await got(edge, f"{API}/instances/a/explanation")
        assert (status, len(answer["reasons"]) > 0) == (200, True)
        assert answer["text"] == " ".join(reason["text"] for reason in answer["reasons"])
        assert (await got(edge, f"{API}/instances/none/explanation"))[0] == 404


class TestEntities:
    async def test_are_listed_with_the_beginning_of_their_states(self, edge: Edge) -> None:
        add_entity(edge, "@counter@a", "5")
        add_entity(edge, "@counter@b", '"' + "x" * 999 + '"')
        add_entity(edge, "@door@", '{"open": true}')
        edge.hub.add("run")
        _, answer = await got(edge, f"{API}/entities")
        assert answer["continuation"] is None
        assert [(each["id"], each["name"], each["key"]) for each in answer["entities"]] == [
            ("@counter@a", "counter", "a"),
            ("@counter@b", "counter", "b"),
            ("@door@", "door", ""),
        ]
        states = [each["state"] for each in answer["entities"]]
        assert states[0] == {"text": "5", "length": 1}
        assert (len(states[1]["text"]), states[1]["length"]) == (200, 1001)
        _, answer = await got(edge, f"{API}/entities?name=Door")
        assert [each["id"] for each in answer["entities"]] == ["@door@"]

    async def test_are_listed_page_by_page(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("durablehost.web.console.entities.LISTED", 2)
        for key in "abc":
            add_entity(edge, f"@counter@{key}", "1")
        _, answer = await got(edge, f"{API}/entities")
        assert [each["key"] for each in answer["entities"]] == ["a", "b"]
        _, answer = await got(edge, f"{API}/entities?continuation={quote(answer['continuation'])}")
        assert ([each["key"] for each in answer["entities"]], answer["continuation"]) == (["c"], None)

    async def test_one_is_shown_with_its_whole_state(self, edge: Edge) -> None:
        add_entity(edge, "@counter@a/b", '"' + "x" * 999 + '"')
        status, answer = await got(edge, f"{API}/entities/{quote('@counter@a/b', safe='')}")
        assert (status, answer["key"], len(answer["state"]["text"])) == (200, "a/b", 1001)

    async def test_those_that_do_not_exist_are_404(self, edge: Edge) -> None:
        edge.hub.add("run")
        edge.hub.add("@counter@deleted", input='{"exists": false}')
        for instance_id in ("run", "@counter@deleted", "@counter@none"):
            assert (await got(edge, f"{API}/entities/{instance_id}"))[0] == 404

    async def test_a_damaged_one_says_so(self, edge: Edge) -> None:
        edge.hub.add("@counter@a", input="nonsense", custom_status='{"entityExists":true}')
        assert "unreadable" in (await got(edge, f"{API}/entities"))[1]["entities"][0]["state"]["text"]
        assert (await got(edge, f"{API}/entities/@counter@a"))[1]["problem"]


class TestStream:
    async def test_names_the_entities_that_have_changed_apart(self, edge: Edge) -> None:
        async with edge.request("GET", f"{API}/changes") as answer:
            await answer.content.readuntil(b"\n\n")
            add_entity(edge, "@counter@a", "5")
            assert await answer.content.readuntil(b"\n\n") == b'event: entities\ndata: ["@counter@a"]\n\n'

    async def test_tells_of_changes_until_the_host_stops(self, edge: Edge) -> None:
        async with edge.request("GET", f"{API}/changes") as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            opening = b'{"now":"2026-03-01T10:00:00.123456Z","hub":"TestHub","connection":"Storage"}'
            assert await answer.content.readuntil(b"\n\n") == b"event: open\ndata: %s\n\n" % opening
            edge.hub.add("a")
            changes = (await answer.content.readuntil(b"\n\n")).decode()
            assert changes.startswith("event: changes\ndata: [")
            assert [row["id"] for row in json.loads(changes.partition("data: ")[2])] == ["a"]
            await edge.server.drain(30)
            assert await answer.content.read() == b""

    async def test_tells_of_a_storage_that_does_not_answer(self, edge: Edge) -> None:
        edge.hub.failure = StorageUnavailable("no answer")
        async with edge.request("GET", f"{API}/changes") as answer:
            await answer.content.readuntil(b"\n\n")
            problem = await answer.content.readuntil(b"\n\n")
        assert problem == b'event: problem\ndata: {"text":"The task hub cannot be read: no answer"}\n\n'

    async def test_ends_when_the_page_is_closed(self, edge: Edge) -> None:
        def polls() -> int:
            return sum(task.get_name() == "poll for the console" for task in asyncio.all_tasks())

        async with edge.request("GET", f"{API}/changes") as answer:
            await answer.content.readuntil(b"\n\n")
            assert polls() == 1
        await eventually(lambda: polls() == 0)


class TestSecurity:
    @pytest.mark.parametrize("path", [*ROUTES, *FILES])
    async def test_pages_of_others_get_nothing(self, edge: Edge, path: str) -> None:
        edge.hub.add("a")
        for headers in (
            {"Origin": "https://evil.test"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
            {"Host": "evil.test:7071"},
            {"Host": "evil.test:7071", "Origin": "http://evil.test:7071", "Sec_Fetch_Site": "same-origin"},
            {"Sec_Purpose": "prefetch"},
        ):
            status, body = await got(edge, path, **headers)
            assert status == 403, headers
            assert set(body) == {"Message", "ExceptionMessage", "ExceptionType", "StackTrace"}

    @pytest.mark.parametrize("path", ROUTES)
    async def test_every_json_route_needs_a_key_of_the_management_api(self, serve: EdgeFactory, path: str) -> None:
        edge = await serve(keys=RING)
        edge.hub.add("a")
        assert await got(edge, path) == (401, b"")
        assert await got(edge, path, x_functions_key="guessed") == (401, b"")
        assert await got(edge, path, x_functions_key="host-key") == (403, b"")
        assert await got(edge, path.replace("/console/api", "/Console/API")) == (401, b"")
        if "changes" not in path:
            for key in ("durable-key", "master-key"):
                assert (await got(edge, path, x_functions_key=key))[0] in (200, 404, 409)

    async def test_the_page_itself_needs_no_key_and_shows_nothing_of_the_app(self, serve: EdgeFactory) -> None:
        edge = await serve(keys=RING)
        for path in FILES:
            status, body = await got(edge, path)
            assert (status, b"Orch" in body.replace(b"Orchestrator", b"")) == (200, False)

    @pytest.mark.parametrize("path", [*ROUTES, *FILES, "/console/none.mjs"])
    async def test_every_answer_has_the_headers_that_protect_it(self, edge: Edge, path: str) -> None:
        async with edge.request("GET", path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
    async def test_the_routes_only_read_but_for_the_purge(self, edge: Edge, method: str) -> None:
        edge.hub.add("a", RuntimeStatus.COMPLETED)
        for path in (*ROUTES, *FILES):
            is_purge = (method, path) == ("DELETE", f"{API}/instances/a")
            async with edge.request(method, path) as answer:
                assert answer.status == (400 if is_purge else 404 if "taskHub" not in path else 409)
        assert list(edge.hub.records) == ["a"]

    async def test_a_purge_needs_a_key_of_the_management_api(self, serve: EdgeFactory) -> None:
        edge = await serve(keys=RING)
        edge.hub.add("a", RuntimeStatus.COMPLETED)
        assert await purged(edge, "a") == 401
        assert await purged(edge, "a", x_functions_key="host-key") == 403
        assert await purged(edge, "a", x_functions_key="durable-key") == 204

    @pytest.mark.parametrize(
        "path", ["/console/../web/server.py", "/console/%2e%2e/api.py", "/console/..%2fapi.py", "/console//etc/passwd",
                 "/console/vendor/README.md", "/console/vendor", "/consolex"],
    )  # fmt: skip
    async def test_nothing_but_the_files_of_the_page_is_served(self, edge: Edge, path: str) -> None:
        async with edge.session.get(edge.url + path) as answer:
            assert answer.status == 404

    async def test_the_rpc_base_has_no_console(self, edge: Edge) -> None:
        async with edge.session.get(f"http://127.0.0.1:{edge.ports[1]}/console") as answer:
            assert answer.status == 404


class TestPage:
    def test_files_ask_for_nothing_from_elsewhere_and_have_nothing_inline(self) -> None:
        html = (_STATIC / "index.html").read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
        for path in (*_STATIC.glob("*.mjs"), *_STATIC.glob("*.css"), _STATIC / "index.html"):
            text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|@import|url\(", text), path

    async def test_the_home_page_links_to_it_with_and_without_keys(self, serve: EdgeFactory) -> None:
        for keys in (None, RING):
            edge = await serve(keys=keys)
            assert b'/console"' in (await got(edge, "/"))[1]

    async def test_an_app_may_have_the_route_itself(self, serve: EdgeFactory) -> None:
        edge = await serve(make_app(make_function("Own", route="console", auth_level="anonymous")), route_prefix="")
        edge.executor.answers["Own"] = responds(b"mine")
        assert await got(edge, "/console") == (200, b"mine")
