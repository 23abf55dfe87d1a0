"""A real Chromium without a window: found on this machine, started with a profile of its own, opens pages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packages.durablehost.tests.eventually import eventually_blocking

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PLACES = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path(os.environ.get("PROGRAMFILES", "/"), "Google", "Chrome", "Application", "chrome.exe"),
)
_START_SECONDS = 120


class Chromium:
    """A running browser. Names that end in `.test` are this machine."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/json"

    def open(self, url: str) -> None:
        """Opens a page in a tab of its own, as the address bar does."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/new?{url}", method="PUT"), timeout=60):
            pass

    def close_tabs(self) -> None:
        """Closes every page but one, without which the browser would end."""
        with urllib.request.urlopen(f"{self.url}/list", timeout=60) as answer:
            pages = [each["id"] for each in json.load(answer) if each["type"] == "page"]
        for page in pages[:-1]:
            with urllib.request.urlopen(f"{self.url}/close/{page}", timeout=60):
                pass


def find_chromium() -> str | None:
    """The program, or None if this machine has neither Chromium nor Chrome."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return found or next((str(place) for place in _PLACES if place.is_file()), None)


@contextmanager
def running_chromium(program: str, profile: Path) -> Iterator[Chromium]:
    """A browser for the length of the block."""
    command = [
        program,
        "--headless",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP *.test 127.0.0.1",
        "--no-first-run",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        # Root has no sandbox. These tests open only pages of their own.
        *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        "about:blank",
    ]
    log_file, port_file = profile / "chromium.log", profile / "DevToolsActivePort"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=sys.platform != "win32",
        )

    def port() -> int | None:
        assert process.poll() is None, log_file.read_text("utf-8", "replace")[-2000:]
        written = port_file.read_text("ascii").splitlines() if port_file.exists() else []
        return int(written[0]) if len(written) > 1 else None

    try:
        yield Chromium(eventually_blocking(port, timeout_seconds=_START_SECONDS) or 0)
    finally:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)  # its own group: the browser is many processes
        process.wait()
