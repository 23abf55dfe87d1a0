"""The console in a real browser: what it shows, that it follows changes, what it does, and that it asks nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    OrchestrationInstance,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstancePage, InstanceQuery
from durablehost.errors import StorageUnavailable
from durablehost.keys.ring import KeyRing
from packages.durablehost.tests.browser.chromium import Chromium
from packages.durablehost.tests.browser.devtools import Page, open_page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import BEGIN

KEY = "durable-key"
RING = KeyRing(master="master-key", host={"default": "host-key"}, system={"durabletask_extension": KEY}, functions={})
STATUS = '{"phase": "processing", "chunks_done": %d, "chunks_total": 100, "chunks_failed": 2}'


@pytest.fixture
async def page(browser: Chromium) -> AsyncIterator[Page]:
    async with open_page(browser) as page:
        yield page
    assert page.errors == []


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    return await serve()


def console(edge: Edge, view: str = "") -> str:
    return f"http://localhost:{edge.server.port}/console{view}"


def hold_listings(edge: Edge, monkeypatch: pytest.MonkeyPatch, *, name: str) -> asyncio.Event:
    """Holds back the answers of the storage about the instances of an orchestrator until the event is set."""
    go_on = asyncio.Event()
    listed = edge.hub.list_instances

    async def held(query: InstanceQuery, **options: Any) -> InstancePage:
        if query.name == name:
            await go_on.wait()
        return await listed(query, **options)

    monkeypatch.setattr(edge.hub, "list_instances", held)
    return go_on


def change(edge: Edge, instance_id: str, **changes: Any) -> None:
    """Stores a change, as an episode does."""
    record = edge.hub.records[instance_id]
    later = record.last_updated_at + timedelta(seconds=1)
    edge.hub.records[instance_id] = replace(record, **{"last_updated_at": later, **changes})


def history(*more: HistoryEvent) -> tuple[HistoryEvent, ...]:
    """One activity that has completed, one that has failed, a timer, a child and an event."""
    at = BEGIN
    instance = OrchestrationInstance(instance_id="run", execution_id="e1")
    return (
        ExecutionStarted(timestamp=at, orchestration_instance=instance, name="Orch", input="17"),
        TaskScheduled(timestamp=at, event_id=0, name="Load", input='[{"path": "%s"}]' % ("x" * 300)),
        TaskScheduled(timestamp=at, event_id=1, name="Check", input="[2]"),
        TimerCreated(timestamp=at, event_id=2, fire_at=at + timedelta(seconds=60)),
        SubOrchestrationInstanceCreated(timestamp=at, event_id=3, name="Child", instance_id="run:3", input="3"),
        EventRaised(timestamp=at + timedelta(seconds=1), name="approve", input="true"),
        TaskCompleted(timestamp=at + timedelta(seconds=2), task_scheduled_id=0, result='{"rows": 12}'),
        TaskFailed(
            timestamp=at + timedelta(seconds=3), task_scheduled_id=1, reason="the blob is gone", details="line 7"
        ),
        *more,
    )


def add_history(edge: Edge) -> None:
    """Stores the history of `run`, its child, and the parent that it may have."""
    edge.hub.histories["run"] = history()
    edge.hub.add("run:3", name="Child", parent_id="run")
    edge.hub.add("root")


async def test_the_list_shows_instances_and_follows_their_changes(edge: Edge, page: Page) -> None:
    edge.hub.add("run-1", custom_status=STATUS % 10)
    edge.hub.add("run-2", RuntimeStatus.FAILED)
    await page.go(console(edge))
    await page.shows("Task hub TestHub", "Live", "run-1", "run-2", "10 of 100 chunks, 2 failed", "2 instances")

    change(edge, "run-1", custom_status=STATUS % 63)
    await page.shows("63 of 100 chunks, 2 failed")
    edge.hub.add("run-3", last_updated_at=BEGIN + timedelta(seconds=3))
    await page.shows("run-3", "3 instances", "2 Running", "1 Failed")
    assert not any("/counts" in url for url in page.urls)

    assert {url.split("/")[2] for url in page.urls} == {f"localhost:{edge.server.port}"}


async def test_a_filter_is_part_of_the_address_and_of_what_is_asked(edge: Edge, page: Page) -> None:
    edge.hub.add("run-1")
    edge.hub.add("run-2", RuntimeStatus.FAILED)
    await page.go(console(edge, "#/?status=Failed"))
    await page.shows("run-2", "1 instance")
    assert "run-1" not in await page.text()
    await page.click("Clear")
    await page.shows("run-1", "2 instances")
    await page.type("input[placeholder=any]:not([list])", "run-2")
    await page.shows("1 instance")
    assert await page.run("location.hash") == "#/?prefix=run-2"
    await eventually(lambda: any("instanceIdPrefix=run-2" in url for url in page.urls))


async def test_an_instance_is_opened_with_its_history_and_moves(edge: Edge, page: Page) -> None:
    edge.hub.add("run", custom_status=STATUS % 63, input='{"chunks": 100}', parent_id="root")
    add_history(edge)
    await page.go(console(edge))
    await page.click("run")
    await page.shows("Running for", "63 of 100 chunks, 2 failed", "Load", "Check", "approve", '"chunks": 100')
    await page.shows("Why is it waiting?", "run:3")
    assert await page.run("document.querySelectorAll('.timeline svg .bar').length") == 5
    links = await page.run("[...document.querySelectorAll('main a')].map(a => a.hash)")
    assert {"#/instances/root", "#/instances/run%3A3"} <= set(links)

    end = ExecutionCompleted(timestamp=BEGIN, orchestration_status=RuntimeStatus.COMPLETED, result='"all done"')
    edge.hub.histories["run"] = history(end)
    change(
        edge,
        "run",
        runtime_status=RuntimeStatus.COMPLETED,
        output='"all done"',
        completed_at=BEGIN + timedelta(seconds=9),
    )
    await page.shows("Completed after 9 s", '"all done"')
    assert "Why is it waiting?" not in await page.text()


async def test_a_failed_activity_is_found_and_unfolded(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    add_history(edge)
    await page.go(console(edge, "#/instances/run"))
    await page.click("Failed 1")
    await page.click("activity Check (task 1)")
    await page.shows("the blob is gone", "line 7")
    assert "Load" not in await page.run("document.querySelector('.long').innerText")
    await page.click("All 6")
    await page.click("activity Load (task 0)")
    await page.shows("x" * 300, '"rows": 12')


async def test_a_history_of_5000_activities_draws_the_rows_in_sight_alone(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    edge.hub.histories["run"] = tuple(
        TaskScheduled(timestamp=BEGIN, event_id=number, name=f"Work{number}", input=str(number))
        for number in range(5000)
    )
    await page.go(console(edge, "#/instances/run"))
    await page.shows("0 of 5,000 activities", "Work0")
    assert await page.run("document.querySelectorAll('.long tbody tr').length") < 100
    assert await page.run("document.querySelectorAll('.timeline .bar').length") < 500
    await page.run("document.querySelector('.long').scrollTop = 1e9")
    await page.shows("Work4999")


async def test_all_finished_instances_that_match_are_purged_after_they_were_counted(
    edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
    for number in range(7):
        edge.hub.add(f"old-{number}", RuntimeStatus.FAILED if number % 2 else RuntimeStatus.COMPLETED)
    edge.hub.add("old-running")
    edge.hub.add("new-1", RuntimeStatus.COMPLETED)
    await page.go(console(edge, "#/?prefix=old-"))
    await page.click("Purge all that match …")
    await page.shows("7 instances match the filter and have ended.", "This cannot be undone.")
    assert len(edge.hub.records) == 9
    edge.hub.add("old-later", RuntimeStatus.COMPLETED)
    await page.click("Purge 7 instances")
    await eventually(lambda: set(edge.hub.records) == {"old-running", "new-1", "old-later"})
    await page.shows("old-running")


async def test_a_purge_by_a_filter_without_finished_instances_says_so(edge: Edge, page: Page) -> None:
    edge.hub.add("running")
    edge.hub.add("finished", RuntimeStatus.COMPLETED)
    await page.go(console(edge, "#/?status=Running"))
    await page.click("Purge all that match …")
    await page.shows("No instance that has ended matches the filter.")
    await page.click("Cancel")
    assert set(edge.hub.records) == {"running", "finished"}


def add_entity(edge: Edge, instance_id: str, state: str, seconds: int = 0) -> None:
    at = BEGIN + timedelta(seconds=seconds)
    stored = json.dumps({"exists": True, "state": state})
    edge.hub.add(instance_id, input=stored, custom_status='{"entityExists":true}', last_updated_at=at)


async def test_entities_have_a_view_of_their_own_and_follow_changes(edge: Edge, page: Page) -> None:
    add_entity(edge, "@counter@a", "41")
    add_entity(edge, "@door@front", '{"open": true}')
    await page.go(console(edge))
    await page.click("Entities", "nav a")
    await page.shows("counter", "41", "door", "front", "2 entities")
    await page.type("form.filters input", "door")
    await page.shows("1 entity")
    await page.type("form.filters input", "")
    add_entity(edge, "@counter@a", "42", 1)
    await page.shows("42", "2 entities")

    await page.click("front")
    await page.shows("State", '"open": true')
    add_entity(edge, "@door@front", '{"open": "ajar"}', 2)
    await page.shows('"open": "ajar"')
    await page.go(console(edge, "#/entities/%40counter%40none"))
    await page.shows("There is no entity with this id.")
    page.errors = [error for error in page.errors if "404" not in error]


async def test_an_address_leads_to_the_view_that_its_id_belongs_to(edge: Edge, page: Page) -> None:
    add_entity(edge, "@counter@a", "5")
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/%40counter%40a"))
    await page.shows("counter a", "State", "Signal …")
    await page.run("location.hash = '#/entities/run'")
    await page.shows("Running for", "Terminate …")


async def test_an_entity_is_signalled_after_a_confirmation(edge: Edge, page: Page) -> None:
    add_entity(edge, "@counter@my key", "41")
    await page.go(console(edge, "#/entities/%40counter%40my%20key"))
    await page.click("Signal …")
    await page.type("dialog input[name=operation]", "add")
    await page.type("dialog textarea", "5")
    assert edge.hub.sent == []
    await page.click("Signal", "dialog button")
    await page.shows("Signal add: the request is stored.")
    (message,) = edge.hub.sent
    assert isinstance(message.event, EventRaised)
    request = json.loads(message.event.input or "")
    # JSON within a text, as the SDK's client stores it.
    assert (message.target.instance_id, request["op"], request["input"]) == ("@counter@my key", "add", '"5"')


async def test_an_orchestration_leads_to_the_entities_that_it_calls(edge: Edge, page: Page) -> None:
    add_entity(edge, "@counter@a", "41")
    edge.hub.add("run")
    sent = EventSent(timestamp=BEGIN, event_id=4, instance_id="@counter@a", name="op", input="{}")
    edge.hub.histories["run"] = history(sent)
    await page.go(console(edge, "#/instances/run"))
    await page.click("@counter@a")
    await page.shows("State", "41")


async def test_every_action_asks_first_and_calls_the_management_api(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/run"))
    await page.click("Raise event …")
    await page.type("dialog input[name=event]", "approve")
    await page.type("dialog textarea", "{nonsense")
    await page.click("Raise event", "dialog button")
    await page.shows("Data, as JSON:")
    await page.type("dialog textarea", '{"by": "me"}')
    await page.click("Raise event", "dialog button")
    await page.shows("Raise event: the request is stored.")
    await page.click("Suspend …")
    assert len(edge.hub.sent) == 1
    await page.click("Suspend", "dialog button")
    await page.shows("Suspend: the request is stored.")
    event, suspended = (message.event for message in edge.hub.sent)
    assert isinstance(event, EventRaised)
    assert (event.name, event.input) == ("approve", '{"by":"me"}')
    assert isinstance(suspended, ExecutionSuspended)

    change(edge, "run", runtime_status=RuntimeStatus.SUSPENDED)
    await page.click("Resume …")
    await page.click("Resume", "dialog button")
    await page.shows("Resume: the request is stored.")
    await page.click("Terminate …")
    await page.click("Terminate", "dialog button")
    await eventually(lambda: edge.hub.records["run"].runtime_status is RuntimeStatus.TERMINATED)
    await page.click("Purge …")
    await page.shows("This cannot be undone.")
    await page.click("Cancel", "dialog button")
    assert "run" in edge.hub.records
    await page.click("Purge …")
    await page.click("Purge", "dialog button")
    await page.shows("No instance matches.")
    assert edge.hub.records == {}


async def test_a_failed_instance_is_rewound_and_restarted(edge: Edge, page: Page) -> None:
    edge.hub.add("run", RuntimeStatus.FAILED, input="17", output="it broke")
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Failed after", "it broke")
    await page.click("Rewind …")
    await page.type("dialog input[name=reason]", "the blob is back")
    await page.click("Rewind", "dialog button")
    await page.shows("Rewind: the request is stored.")
    assert edge.hub.rewound == [("run", "the blob is back")]
    await page.click("Restart …")
    await page.click("Restart", "dialog button")
    await eventually(lambda: len(edge.hub.records) == 2)
    (other,) = set(edge.hub.records) - {"run"}
    await page.shows(other, "Pending")


async def test_an_instance_is_started_with_an_input(edge: Edge, page: Page) -> None:
    await page.go(console(edge))
    await page.click("Start …")
    await page.type("dialog input[name=id]", "mine-1")
    await page.type("dialog textarea", '{"chunks": 4}')
    await page.click("Start", "dialog button")
    await page.shows("Pending", "mine-1", '"chunks": 4')
    assert (edge.hub.records["mine-1"].name, edge.hub.records["mine-1"].input) == ("Orch", '{"chunks": 4}')


async def test_a_refused_action_says_why(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/run"))
    await page.click("Suspend …")
    edge.hub.records["run"] = replace(edge.hub.records["run"], runtime_status=RuntimeStatus.COMPLETED)
    await page.click("Suspend", "dialog button")
    await page.shows("The instance has ended already.")
    page.errors = [error for error in page.errors if "410" not in error]


async def test_with_keys_the_page_asks_for_one_and_keeps_it_out_of_every_address(
    serve: EdgeFactory, page: Page
) -> None:
    edge = await serve(keys=RING)
    edge.hub.add("run")
    await page.go(console(edge))
    await page.shows("This host asks for a key")
    await page.type("input[type=password]", "host-key")
    await page.click("Open")
    await page.shows("This key is for something else.")
    await page.type("input[type=password]", KEY)
    await page.click("Open")
    await page.shows("Live", "run")
    await page.click("run")
    await page.click("Terminate …")
    await page.click("Terminate", "dialog button")
    await eventually(lambda: edge.hub.records["run"].runtime_status is RuntimeStatus.TERMINATED)

    assert [url for url in page.urls if KEY in url] == []
    assert await page.run("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])") == (
        f'[{{}},{{}},"","{console(edge, "#/instances/run")}"]'
    )
    page.errors = [error for error in page.errors if "401" not in error and "403" not in error]


async def test_texts_of_instances_are_shown_as_text(edge: Edge, page: Page) -> None:
    hostile = "<img src=x onerror='document.title=1'>"
    edge.hub.add(hostile, name=hostile, custom_status=f'"{hostile}"', input=f'"{hostile}"')
    await page.go(console(edge))
    await page.shows("1 instance")
    await page.click(hostile)
    await page.shows("Running for", hostile)
    assert await page.run("document.querySelectorAll('img').length") == 0


async def test_the_page_says_that_the_host_has_ended(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge))
    await page.shows("Live", "run")
    await edge.server.stop()
    await page.shows("Not connected", "Trying again.")
    # Ends the trials, each of which is an error.
    await page.go("about:blank")
    await eventually(lambda: page.run("location.href === 'about:blank'"))
    page.errors = [error for error in page.errors if "ERR_" not in error and "503" not in error]


async def test_a_page_that_was_opened_while_the_storage_was_away_shows_everything_when_it_is_back(
    edge: Edge, page: Page
) -> None:
    for number in range(3):
        edge.hub.add(f"run-{number}", last_updated_at=BEGIN - timedelta(days=1))
    edge.hub.failure = StorageUnavailable("no answer")
    await page.go(console(edge))
    await page.shows("Not connected", "The task hub cannot be read: no answer", "The instances could not be read.")
    assert "No instance matches" not in await page.text()
    edge.hub.failure = None
    await page.shows("Live", "run-0", "run-1", "run-2", "3 instances")
    await eventually(lambda: lacks(page, "no answer"))
    page.errors = [error for error in page.errors if "503" not in error]


async def lacks(page: Page, text: str) -> bool:
    return text not in await page.text()


async def test_more_instances_than_one_answer_has_are_counted_by_the_host_and_loaded_on_request(
    edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durablehost.web.console.api.LISTED", 2)
    for number in range(5):
        edge.hub.add(f"run-{number}", last_updated_at=BEGIN - timedelta(days=1))
    await page.go(console(edge))
    await page.shows("2 instances", "the newest may be missing", "5 Running")
    await page.click("load more")
    await page.shows("4 instances")
    await page.click("load more")
    await page.shows("5 instances")
