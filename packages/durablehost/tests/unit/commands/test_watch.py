"""`durable watch` on the in-memory hub: what is looked at, which changes are shown, and how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("rich", reason="needs rich, which is in requirements-dev.txt")

from rich.console import Console as RichConsole

from durablehost.commands.watch import ChangeLines, open_view, watch
from durablehost.commands.watch_table import LiveTable, table
from durablehost.commands.watching import Seen, Watcher
from durablehost.console import Console
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.explanation import Explanation, Reason
from durablehost.engine.ports import InstancePage, InstanceQuery, InstanceRecord
from durablehost.errors import DurableHostError, RequestError, StorageUnavailable
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class World:
    """A hub without a host, whose clock also paces the watcher."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hub = MemoryTaskHub(self.clock)
        self.client = OrchestrationClient(self.hub, None, self.clock)
        self.seconds = 0.0

    def watcher(self, instance_id: str | None = None, *, most: int = 20, **query: Any) -> Watcher:
        return Watcher(
            self.client, instance_id=instance_id, query=InstanceQuery(**query), most=most, now=lambda: self.seconds
        )

    async def start(self, *instance_ids: str) -> None:
        for instance_id in instance_ids:
            await self.client.start("Chain", instance_id=instance_id)
            self.pass_by(1)

    def change(self, instance_id: str, **members: Any) -> None:
        record = self.hub.storage.records[instance_id]
        self.hub.storage.records[instance_id] = replace(record, last_updated_at=self.clock.now(), **members)

    def end(self, instance_id: str, status: RuntimeStatus = RuntimeStatus.COMPLETED) -> None:
        self.change(instance_id, runtime_status=status, completed_at=self.clock.now())

    def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.seconds += seconds


@pytest.fixture
def world() -> World:
    return World()


def ids(instances: list[Seen]) -> list[str]:
    return [seen.record.instance_id for seen in instances]


async def test_the_newest_unfinished_instances_are_seen_and_stay_after_their_end(world: World) -> None:
    await world.start("a", "b", "c", "old")
    world.end("old")
    watcher = world.watcher(most=2)
    assert ids(await watcher.look()) == ["c", "b"]
    world.end("c")
    seen = await watcher.look()
    assert ids(seen) == ["c", "b"]
    assert seen[0].explanation is not None
    assert seen[0].explanation.reasons[0].kind == "completed"


async def test_entities_are_not_among_the_instances(world: World) -> None:
    await world.start("a")
    record = world.hub.storage.records["a"]
    world.hub.storage.records["@counter@x"] = replace(record, instance_id="@counter@x")
    assert ids(await world.watcher().look()) == ["a"]


async def test_a_purged_instance_disappears(world: World) -> None:
    await world.start("a", "b")
    watcher = world.watcher()
    await watcher.look()
    world.hub.storage.records.pop("a")
    assert ids(await watcher.look()) == ["b"]


async def test_a_filter_by_status_applies_as_it_is_given(world: World) -> None:
    await world.start("a", "b")
    world.end("a")
    watcher = world.watcher(statuses=frozenset({RuntimeStatus.COMPLETED}))
    assert ids(await watcher.look()) == ["a"]


async def test_an_instance_is_explained_again_when_it_has_changed_or_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.start("a")
    asked: list[str] = []
    explain = world.client.explain

    async def counted(instance_id: str) -> Explanation | None:
        asked.append(instance_id)
        return await explain(instance_id)

    monkeypatch.setattr(world.client, "explain", counted)
    watcher = world.watcher("a")
    for _ in range(3):
        await watcher.look()
    assert len(asked) == 1
    world.change("a", custom_status='"on"')
    world.pass_by(0.1)
    world.change("a", custom_status='"on"')
    await watcher.look()
    assert len(asked) == 2
    world.pass_by(5)
    await watcher.look()
    assert len(asked) == 3


@pytest.mark.parametrize("instance_id", ["a", None], ids=["one", "all"])
async def test_an_instance_that_ends_while_it_is_explained_is_seen_with_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch, instance_id: str | None
) -> None:
    await world.start("a")
    explain = world.client.explain
    asked: list[str] = []

    async def explained_late(instance_id: str) -> Explanation | None:
        asked.append(instance_id)
        world.pass_by(0.1)
        world.end(instance_id)
        return await explain(instance_id)

    monkeypatch.setattr(world.client, "explain", explained_late)
    watcher = world.watcher(instance_id)
    for _ in range(2):
        [seen] = await watcher.look()
        assert seen.record.runtime_status is RuntimeStatus.COMPLETED
        assert seen.explanation is not None
        assert seen.explanation.text.startswith("Completed at")
    assert asked == ["a"]


async def test_explanations_that_take_long_are_repeated_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.start("a")
    asked: list[str] = []

    async def slow(instance_id: str) -> Explanation | None:
        asked.append(instance_id)
        world.pass_by(10)
        return Explanation("slow", (Reason("timer", "slow"),), world.hub.storage.records[instance_id])

    monkeypatch.setattr(world.client, "explain", slow)
    watcher = world.watcher("a")
    for _ in range(4):
        await watcher.look()
        world.pass_by(6)
    assert len(asked) == 1
    world.pass_by(10)
    await watcher.look()
    assert len(asked) == 2


async def test_a_listing_that_takes_long_is_repeated_less_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.start("a")
    watcher = world.watcher()
    await watcher.look()
    assert watcher.rest_seconds == 0
    listing = world.client.list

    async def slow(*arguments: Any, **options: Any) -> InstancePage:
        world.pass_by(2)
        return await listing(*arguments, **options)

    monkeypatch.setattr(world.client, "list", slow)
    await watcher.look()
    assert watcher.rest_seconds == 6


async def test_an_unknown_instance_is_an_error(world: World) -> None:
    with pytest.raises(RequestError, match="No instance with ID 'nobody' was found"):
        await world.watcher("nobody").look()


def seen(instance_id: str = "a", text: str = "It waits.", **members: Any) -> Seen:
    at = ManualClock().now()
    known: dict[str, Any] = {
        "instance_id": instance_id,
        "execution_id": "e1",
        "name": "Chain",
        "version": None,
        "runtime_status": RuntimeStatus.RUNNING,
        "created_at": at,
        "last_updated_at": at,
    }
    record = InstanceRecord(**(known | members))
    return Seen(record=record, explanation=Explanation(text, (Reason("timer", text),), record))


def test_one_line_is_written_for_each_change() -> None:
    out = io.StringIO()
    with open_view(out, as_json=False) as view:
        view.show([seen("b"), seen("a")])
        view.show(
            [seen("b", "It waits a second less."), seen("a", custom_status='{"done": 1, "total": 3, "failed": 1}')]
        )
    lines = [line.partition("  ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        "Running  Chain a: It waits.",
        "Running  Chain b: It waits.",
        "Running  Chain a  1 of 3, 1 failed: It waits.",
    ]


def test_a_change_is_one_line_of_json() -> None:
    out = io.StringIO()
    with open_view(out, as_json=True) as view:
        view.show([seen("a", custom_status='{"done": 1, "total": 3}')])
    document = json.loads(out.getvalue())
    assert document.pop("time")
    assert document == {
        "instanceId": "a",
        "name": "Chain",
        "runtimeStatus": "Running",
        "createdTime": "2026-01-05T10:00:00Z",
        "lastUpdatedTime": "2026-01-05T10:00:00Z",
        "customStatus": {"done": 1, "total": 3},
        "explanation": "It waits.",
        "reasons": [{"kind": "timer", "text": "It waits."}],
    }


def test_a_terminal_gets_a_table_that_shows_all_texts_as_they_are() -> None:
    out = RichConsole(file=Terminal(), width=100, record=True)
    instances = [seen("[red]a\x1b[2J", custom_status='{"done": 1, "total": 4}'), seen("b", name="")]
    out.print(table(instances, ManualClock().now() + timedelta(seconds=3723), 100))
    text = out.export_text()
    assert "[red]a\\u001b[2J" in text
    assert "1 of 4" in text
    assert "1:02:03" in text
    assert "It waits." in text


def test_a_narrow_terminal_gets_paragraphs_without_broken_words() -> None:
    out = RichConsole(file=Terminal(), width=40, record=True)
    text = "It waits for an external event named 'approve', since 10:00:00 UTC."
    instances = [seen("[red]a", text, custom_status='{"done": 1, "total": 4}'), seen("b" * 50, text)]
    out.print(table(instances, ManualClock().now() + timedelta(seconds=63), 40))
    lines = [line.rstrip() for line in out.export_text().splitlines()]
    assert lines[:2] == ["Running  0:01:03  Chain", "[red]a"]
    assert lines[3:7] == ["1 of 4", "It waits for an external event named", "'approve', since 10:00:00 UTC.", ""]
    assert lines[8:10] == ["b" * 40, "b" * 10]


async def test_the_absence_of_hosts_is_shown_once_for_all_instances(world: World) -> None:
    await world.start("a", "b")
    out = RichConsole(file=Terminal(), width=100, record=True)
    out.print(table(await world.watcher().look(), world.clock.now(), 100))
    text = out.export_text()
    assert text.startswith("No host runs on this task hub.\n")
    assert text.count("No host runs") == 1
    assert text.count("Its start message is in the queue") == 2


def test_the_table_is_drawn_on_a_terminal_alone() -> None:
    terminal = Terminal()
    with open_view(terminal, as_json=False) as view:
        assert isinstance(view, LiveTable)
        view.show([])
        view.show([seen()])
    assert "It waits." in terminal.getvalue()
    with open_view(terminal, as_json=True) as view:
        assert isinstance(view, ChangeLines)


class Recorder:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[list[Seen]] = []

    def show(self, instances: Any) -> None:
        self.shown.append(list(instances))


@pytest.mark.parametrize(
    ("status", "is_completed"),
    [(RuntimeStatus.COMPLETED, True), (RuntimeStatus.FAILED, False), (RuntimeStatus.TERMINATED, False)],
)
async def test_watching_one_instance_ends_with_it(world: World, status: RuntimeStatus, is_completed: bool) -> None:
    await world.start("a")
    view = Recorder()

    async def pause(_: float) -> None:
        world.pass_by(1)
        world.end("a", status)

    notes = Console(io.StringIO(), io.StringIO(), environment={})
    assert await watch(world.watcher("a"), view, notes, until_end=True, pause=pause) is is_completed
    assert [shown[0].record.runtime_status for shown in view.shown] == [RuntimeStatus.PENDING, status]
    assert view.shown[-1][0].explanation is not None


async def test_a_storage_that_does_not_answer_is_waited_for_with_one_note(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.start("a")
    world.end("a")
    answers: list[Callable[[], None]] = [unavailable, unavailable, lambda: None]
    peek = world.client.peek

    async def flaky(instance_id: str) -> InstanceRecord | None:
        if answers:
            answers.pop(0)()
        return await peek(instance_id)

    async def pause(_: float) -> None:
        return

    monkeypatch.setattr(world.client, "peek", flaky)
    out = io.StringIO()
    notes = Console(out, io.StringIO(), environment={})
    assert await watch(world.watcher("a"), Recorder(), notes, until_end=True, pause=pause)
    assert out.getvalue() == "The storage does not answer; watching goes on when it does: no answer\n"


def unavailable() -> None:
    raise StorageUnavailable("no answer")


async def test_output_that_cannot_be_written_is_an_error_of_one_line(world: World) -> None:
    class Full(Recorder):
        def show(self, instances: Any) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    await world.start("a")
    notes = Console(io.StringIO(), io.StringIO(), environment={})
    with pytest.raises(DurableHostError, match="could not be written to stdout: Broken pipe"):
        await watch(world.watcher("a"), Full(), notes, until_end=True)


@pytest.mark.parametrize(
    ("status", "colours"),
    [
        ('{"done": 1, "total": 4}', ["\x1b[36m━━━━", "\x1b[90m"]),
        ('{"done": 4, "total": 4}', ["\x1b[32m━━━━"]),
        ('{"done": 4, "total": 4, "failed": 1}', ["\x1b[33m━━━━"]),
    ],
)
def test_the_bar_has_colours_on_a_terminal_that_has_but_sixteen(status: str, colours: list[str]) -> None:
    terminal = Terminal()
    out = RichConsole(file=terminal, width=100, force_terminal=True, color_system="standard")
    out.print(table([seen("a", custom_status=status)], ManualClock().now(), 100))
    assert [colour for colour in colours if colour not in terminal.getvalue()] == []
