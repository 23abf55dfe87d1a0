"""The form of the console that starts an instance, in a real browser: what it offers, and what it never overwrites."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durablehost.errors import StorageUnavailable
from packages.durablehost.tests.browser.devtools import Page
from packages.durablehost.tests.browser.test_console import console, edge, hold_listings, page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import BEGIN, make_app, make_function

__all__ = ["edge", "page"]

INPUT = "document.querySelector('dialog textarea').value"
CHOICES = "[...document.querySelectorAll('dialog select option')].map(each => each.innerText)"
EARLIER = '{\n  "chunks": 12\n}'
NEWEST = '{\n  "chunks": 30\n}'


def add_inputs(edge: Edge) -> None:
    edge.hub.add("b-earlier", input='{"chunks": 12}')
    # As the SDK's client stores it.
    edge.hub.add("a-newest", input='"{\\"chunks\\": 30}"', created_at=BEGIN + timedelta(seconds=1))


async def has_input(page: Page, text: str) -> None:
    await eventually(lambda: page.run(f"{INPUT} === {text!r}"))


async def choose(page: Page, number: int) -> None:
    await page.run(
        f"(select => {{ select.selectedIndex = {number};"
        " select.dispatchEvent(new Event('change', {bubbles: true})); })(document.querySelector('dialog select'))"
    )


async def test_the_newest_input_is_filled_in_and_sent_again(edge: Edge, page: Page) -> None:
    add_inputs(edge)
    await page.go(console(edge))
    await page.click("Start …")
    await page.shows("The input of a-newest, created")
    await has_input(page, NEWEST)
    choices = await page.run(CHOICES)
    assert (len(choices), choices[0]) == (3, "None of these")
    assert choices[2].endswith('{"chunks": 12}')
    await page.type("dialog input[name=id]", "mine")
    await page.click("Start", "dialog button")
    await page.shows("Pending", "mine")
    assert edge.hub.records["mine"].input == edge.hub.records["a-newest"].input


async def test_an_earlier_input_is_chosen_and_an_input_emptied_for_good(edge: Edge, page: Page) -> None:
    add_inputs(edge)
    await page.go(console(edge))
    await page.click("Start …")
    await has_input(page, NEWEST)
    await choose(page, 2)
    await page.shows("The input of b-earlier, created")
    await has_input(page, EARLIER)
    await page.click("Empty it", "dialog button")
    await has_input(page, "")
    assert await page.run("document.activeElement.name") == "input"
    assert await page.run("document.querySelector('dialog select').value") == ""
    await page.type("dialog input[name=id]", "mine")
    await page.click("Start", "dialog button")
    await page.shows("Pending", "mine")
    assert edge.hub.records["mine"].input is None


async def test_what_was_typed_before_the_answer_stays(edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    add_inputs(edge)
    go_on = hold_listings(edge, monkeypatch, name="Orch")
    await page.go(console(edge))
    await page.click("Start …")
    await page.shows("Looking for the last inputs …")
    await page.type("dialog textarea", "17")
    go_on.set()
    await page.shows("Last inputs")
    await has_input(page, "17")
    assert "The input of" not in await page.text()


async def test_another_start_keeps_the_input_that_it_brings(edge: Edge, page: Page) -> None:
    add_inputs(edge)
    edge.hub.add("without")
    for instance_id, text in (("b-earlier", EARLIER), ("without", "")):
        await page.go(console(edge, f"#/instances/{instance_id}"))
        await page.shows(f"Id {instance_id}")
        await page.click("Start another …")
        await page.shows("Last inputs")
        await has_input(page, text)
        await page.click("Cancel", "dialog button")


async def test_the_inputs_of_another_orchestrator_follow_its_name(serve: EdgeFactory, page: Page) -> None:
    edge = await serve(make_app(*(make_function(name, "orchestrationTrigger") for name in ("Orch", "Other", "Third"))))
    add_inputs(edge)
    edge.hub.add("c", name="Other", input='"theirs"')
    await page.go(console(edge))
    await page.click("Start …")
    await has_input(page, NEWEST)
    await page.type("dialog input[name=name]", "Oth")
    await has_input(page, "")
    await page.type("dialog input[name=name]", "other")
    await page.shows("The input of c, created")
    await has_input(page, '"theirs"')
    await page.type("dialog input[name=name]", "Third")
    await has_input(page, "")
    await eventually(lambda: page.run("!document.querySelector('dialog select')"))
    assert [url for url in page.urls if "orchestrators/Oth/" in url] == []


async def test_a_late_answer_for_another_name_is_ignored(
    serve: EdgeFactory, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await serve(make_app(*(make_function(name, "orchestrationTrigger") for name in ("Orch", "Other"))))
    add_inputs(edge)
    edge.hub.add("c", name="Other", input='"theirs"')
    go_on = hold_listings(edge, monkeypatch, name="Orch")
    await page.go(console(edge))
    await page.click("Start …")
    await eventually(lambda: any("orchestrators/Orch/inputs" in url for url in page.urls))
    await page.type("dialog input[name=name]", "Other")
    await has_input(page, '"theirs"')
    go_on.set()
    await page.type("dialog input[name=id]", "x")
    await has_input(page, '"theirs"')
    assert len(await page.run(CHOICES)) == 2


async def test_without_an_earlier_instance_the_form_has_no_list(edge: Edge, page: Page) -> None:
    await page.go(console(edge))
    await page.click("Start …")
    await eventually(lambda: any("/inputs" in url for url in page.urls))
    await eventually(lambda: page.run("!document.querySelector('dialog .field-note')"))
    assert await page.run("!document.querySelector('dialog select')")
    await has_input(page, "")


async def test_a_storage_that_does_not_answer_does_not_prevent_a_start(edge: Edge, page: Page) -> None:
    await page.go(console(edge))
    await page.shows("Start …", "No instance matches.")
    edge.hub.failure = StorageUnavailable("no answer")
    await page.click("Start …")
    await page.shows("The last inputs cannot be read: no answer")
    edge.hub.failure = None
    await page.type("dialog input[name=id]", "mine")
    await page.click("Start", "dialog button")
    await page.shows("Pending", "mine")
    page.errors = [error for error in page.errors if "503" not in error]


async def test_says_if_not_all_instances_were_looked_at(
    edge: Edge, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_inputs(edge)
    monkeypatch.setattr("durablehost.web.console.api.COUNTED", 1)
    await page.go(console(edge))
    await page.click("Start …")
    await page.shows("newer inputs may be missing")


async def test_inputs_are_shown_as_text(edge: Edge, page: Page) -> None:
    edge.hub.add("run", input='"<img src=x onerror=alert(1)>"')
    await page.go(console(edge))
    await page.click("Start …")
    await has_input(page, '"<img src=x onerror=alert(1)>"')
    assert await page.run("document.querySelectorAll('img').length") == 0
