"""The page of an instance in a real browser: its logs, and the result of a run with a chart and tables."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

from durablehost.app.invocation import Invocation
from durablehost.core.history import TaskScheduled
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.runs import add_grouped_run, add_run
from packages.durablehost.tests.browser.test_console import add_history, change, console, edge, page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge
from packages.durablehost.tests.unit.web.fakes import BEGIN

__all__ = ["edge", "page"]

INFO, WARNING, ERROR = 20, 30, 40


def log(edge: Edge, text: str, level: int = INFO, *, task: int | None = None, function: str = "Load") -> None:
    call = Invocation(invocation_id="i", function_name=function, inputs={}, instance_id="run", task_id=task)
    edge.logs.add(call, level, text)


async def rows(page: Page, label: str) -> list[str]:
    """The rows in sight of a table."""
    selector = f"[aria-label={label!r}] tbody tr:not(.room)"
    return list(await page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(row => row.innerText)"))


async def test_logs_are_shown_by_level_and_by_activity_and_go_on(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    add_history(edge)
    log(edge, "begins", function="Orch")
    log(edge, "reads 12 rows", task=0)
    log(edge, "the blob is gone\nTraceback:\n  line 7", ERROR, task=1, function="Check")
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Logs", "All lines 3", "Warnings and errors 1", "reads 12 rows")
    await page.click("Errors 1")
    await eventually(lambda: has_rows(page, 1))
    await page.click("the blob is gone")
    await page.shows("Traceback:\n  line 7")
    await page.click("All lines 3")
    log(edge, "is slow", WARNING, task=0)
    await page.shows("All lines 4", "is slow")

    await page.click("activity Check (task 1)")
    await page.click("Its log lines")
    await page.shows("All lines 1", "Task 1 alone: show every task")
    focused = "document.activeElement.getAttribute('aria-label') === 'Logs'"
    await eventually(lambda: page.run(focused))
    assert "reads 12 rows" not in "".join(await rows(page, "Log lines"))
    await page.click("Task 1 alone: show every task")
    await page.shows("All lines 4")


async def has_rows(page: Page, count: int) -> bool:
    return len(await rows(page, "Log lines")) == count


async def test_logs_that_are_gone_are_named(edge: Edge, page: Page) -> None:
    edge.hub.add("run")
    await page.go(console(edge, "#/instances/run"))
    await page.shows("This host has no line of this instance yet.")
    for number in range(3000):
        log(edge, f"line {number} " + "x" * 700)
    await page.shows("earlier lines are left out", "line 2999")


async def test_thousands_of_log_lines_draw_the_rows_in_sight_alone_and_the_last_stays_in_sight(
    edge: Edge, page: Page
) -> None:
    edge.hub.add("run")
    for number in range(2000):
        log(edge, f"line {number}")
    await page.go(console(edge, "#/instances/run"))
    await page.shows("All lines 2,000", "line 1999")
    log(edge, "one more")
    await page.shows("one more")
    assert len(await rows(page, "Log lines")) < 60
    await page.run("document.querySelector('[aria-label=\"Log lines\"]').scrollTop = 0")
    await page.shows("line 0")
    log(edge, "another one")
    await page.shows("All lines 2,002")
    assert "another one" not in "".join(await rows(page, "Log lines"))


async def test_the_result_of_a_run_is_a_chart_with_its_chunks_and_series(edge: Edge, page: Page) -> None:
    add_run(edge.hub, 12, failed=frozenset({3}))
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Result", "Chunks 12", "Failed chunks 1", "The mean of each chunk", "2013-01-01 03:00")
    label = "document.querySelector('.chart')?.getAttribute('aria-label')"
    words = (
        "EWR.temp, 11 chunks from 2013-01-01 00:00 to 2013-01-01 12:00: means between -10 and 1, values from -14 to 5"
    )
    await eventually(lambda: shows_label(page, label, words))
    assert await page.run("document.querySelector('.chart canvas').width > 200")
    first = (await rows(page, "Chunks"))[0].split("\t")
    assert [cell.strip() for cell in first] == [
        "0", "✓ Completed", "2013-01-01 00:00 to 2013-01-01 01:00", "72", "0.250", "-10", "-14", "-6",
    ]  # fmt: skip

    await page.run(
        "(select => { select.value = 'LGA.temp'; select.dispatchEvent(new Event('change', {bubbles: true})); })"
        "(document.querySelector('.result select'))"
    )
    await eventually(lambda: shows_label(page, label, words.replace("EWR", "LGA").replace("-10 and 1", "-8 and 3")
                                         .replace("-14 to 5", "-12 to 7")))  # fmt: skip
    await page.click("Failed chunks 1")
    await page.shows("ReadingsError: damaged file")
    assert len(await rows(page, "Chunks")) == 1
    await page.click("Series 3")
    await page.shows("Deviation", "3.25", "JFK.temp")
    await page.run("document.querySelector('.chart').scrollIntoView()")
    assert {url.split("/")[2] for url in page.urls} == {f"localhost:{edge.server.port}"}


async def test_the_chart_of_a_single_chunk_has_a_day_around_it(edge: Edge, page: Page) -> None:
    add_run(edge.hub, 1)
    await page.go(console(edge))
    await page.shows("1 instance")
    keep = "{construct: (plot, given) => window.plot = new plot(...given)}"
    await page.run(f"window.uPlot = new Proxy(window.uPlot, {keep}); 0")
    await page.click("run")
    span = "window.plot && window.plot.scales.x.max - window.plot.scales.x.min"
    await eventually(lambda: page.run(span))
    assert await page.run(span) == 86_400


async def shows_label(page: Page, script: str, words: str) -> bool:
    shown = await page.run(script)
    assert shown == words, shown
    return True


async def test_an_output_that_is_too_large_is_loaded_on_request(edge: Edge, page: Page) -> None:
    add_run(edge.hub, 1000)
    await page.go(console(edge, "#/instances/run"))
    await page.shows("The first 100,000 of")
    assert "Chunks 1,000" not in await page.text()
    await page.click("Load it all, and show the result")
    await page.shows("Result", "Chunks 1,000", "1,000 activities")

    change(edge, "run", output='"' + "x" * 200_000 + '"')
    await page.go(console(edge, "#/"))
    await page.shows("1 instance")
    await page.go(console(edge, "#/instances/run"))
    await page.click("Load more of it")
    await eventually(lambda: is_whole(page))


async def is_whole(page: Page) -> bool:
    return "The first 100,000 of" not in await page.text()


async def test_the_output_of_another_app_stays_json(edge: Edge, page: Page) -> None:
    edge.hub.add("run", RuntimeStatus.COMPLETED, output='{"results": [1, 2], "summary": "fine"}')
    await page.go(console(edge, "#/instances/run"))
    await page.shows('"summary": "fine"')
    assert await page.run("document.querySelector('.result')") is None
    assert not any(url.endswith("/results") for url in page.urls)


async def test_a_run_of_5000_chunks_draws_the_rows_in_sight_alone(edge: Edge, page: Page) -> None:
    add_run(edge.hub, 5000, failed=frozenset({17}))
    await page.go(console(edge, "#/instances/run"))
    await page.shows("5,000 of 5,000 activities, 1 failed")
    await page.click("Load it all, and show the result")
    await page.shows("Chunks 5,000", "The mean of each chunk")
    await eventually(lambda: page.run("!!document.querySelector('.chart canvas')"))
    assert await page.run("document.querySelectorAll('tbody tr').length") < 200
    assert await page.run("document.querySelectorAll('.timeline .bar').length") < 1500
    for label, last in (("Chunks", "4999"), ("History", "Completed")):
        await page.run(f"document.querySelector('[aria-label={label}]').scrollTop = 1e9")
        await eventually(partial(ends_with, page, label, last))


async def ends_with(page: Page, label: str, text: str) -> bool:
    return text in (await rows(page, label))[-1]


async def test_a_run_in_groups_has_a_point_for_each_and_on_request_for_each_chunk(edge: Edge, page: Page) -> None:
    add_grouped_run(edge.hub, groups=3, chunks=4)
    await page.go(console(edge, "#/instances/run"))
    await page.shows("The mean of each group of chunks", "Chunks 12")
    assert "Mean" not in "".join(await headings(page))
    await page.click("Show each chunk")
    await page.shows("The mean of each chunk")
    assert "Mean" in "".join(await headings(page))
    assert "Show each chunk" not in await page.text()


async def headings(page: Page) -> list[str]:
    return list(await page.run("[...document.querySelectorAll('[aria-label=Chunks] th')].map(cell => cell.innerText)"))


async def test_an_instance_that_was_purged_in_another_window_is_gone_on_the_return(edge: Edge, page: Page) -> None:
    edge.hub.add("run", RuntimeStatus.COMPLETED)
    await page.go(console(edge, "#/instances/run"))
    await page.shows("Completed after")
    edge.hub.records.clear()
    await page.run("window.dispatchEvent(new Event('focus')); 0")
    await page.shows("There is no instance with this id. It may have been purged.")
    page.errors = [error for error in page.errors if "404" not in error]


async def test_an_unfolded_entry_is_that_of_the_present_history(edge: Edge, page: Page) -> None:
    """An orchestrator that continues as new has another entry in the same place."""
    edge.hub.add("run")
    long = json.dumps("long" * 100)
    edge.hub.histories["run"] = (TaskScheduled(timestamp=BEGIN, event_id=0, name="Load", input=long),)
    await page.go(console(edge, "#/instances/run"))
    await page.click("activity Load (task 0)")
    await page.shows("long" * 100)
    later = BEGIN + timedelta(seconds=1)
    edge.hub.histories["run"] = (TaskScheduled(timestamp=later, event_id=0, name="Load", input='"short"'),)
    change(edge, "run")
    await eventually(lambda: page.run("document.querySelector('tr.opened pre')?.innerText === '\"short\"'"))
