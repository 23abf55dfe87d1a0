"""Opening a page in the browser: never waited for, never a failure, and never a browser inside the terminal."""

from __future__ import annotations

import webbrowser

import pytest

from durablehost.system.browser import has_windows, open_in_browser
from packages.durablehost.tests.eventually import WAIT_SECONDS

URL = "http://localhost:7071/console"
DESKTOP = {"DISPLAY": ":0"}


def warnings_of(environment: dict[str, str]) -> list[str]:
    warnings: list[str] = []
    open_in_browser(URL, warnings.append, environment).join(WAIT_SECONDS)
    return warnings


def test_a_page_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_page(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    assert warnings_of(DESKTOP) == []
    assert opened == [URL]


@pytest.mark.parametrize("failure", [OSError("no such program"), webbrowser.Error("no browser"), None])
def test_a_failure_is_a_warning_with_the_address(failure: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> bool:
        if failure is not None:
            raise failure
        return False

    monkeypatch.setattr(webbrowser, "open", fail)
    assert warnings_of(DESKTOP) == [f"No browser could be opened. Open {URL} yourself."]


def test_no_browser_takes_over_a_terminal_without_windows() -> None:
    assert not has_windows({}, "linux")
    assert has_windows({"BROWSER": "my-script"}, "linux")
    assert has_windows({}, "darwin")
