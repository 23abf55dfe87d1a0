"""The browser of the run, a host whose functions are stand-ins, and a foreign site."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("aiohttp", reason="serves pages, which needs requirements-dev.txt")

from aiohttp import web

from packages.durablehost.tests.browser.chromium import Chromium, find_chromium, running_chromium
from packages.durablehost.tests.unit.web.conftest import serve

__all__ = ["serve"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        # In CI a missing browser must not look like a passed run.
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("needs Chromium or Chrome, which is not installed: apt-get install chromium")
    with running_chromium(program, tmp_path_factory.mktemp("chromium")) as running:
        yield running


class Tabs:
    """Opens pages from a test with an event loop, and closes them."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser

    async def open(self, url: str) -> None:
        await asyncio.to_thread(self._browser.open, url)


@pytest.fixture
async def tabs(browser: Chromium) -> AsyncIterator[Tabs]:
    yield Tabs(browser)
    await asyncio.to_thread(browser.close_tabs)


class Site:
    """A web server with pages, and redirects, by path. Scripts of a page report a text by a POST to `/report`."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.reports: list[str] = []
        self.port = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/report":
            self.reports.append(await request.text())
            return web.Response()
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        page = self.pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        return web.Response(text=page, content_type="text/html", headers=self.headers)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    runner = web.ServerRunner(web.Server(site.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


class Arrived:
    """The requests that the host has answered: the status by path."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def statuses(self) -> dict[str, int]:
        paths: dict[str, str] = {}
        statuses: dict[str, int] = {}
        for record in self._caplog.records:
            if record.name == "Host.Web" and " HTTP request: " in record.getMessage():
                members = json.loads(record.getMessage().partition(": ")[2])
                if "uri" in members:
                    paths[members["requestId"]] = members["uri"]
                else:
                    statuses[paths[members["requestId"]]] = members["status"]
        return statuses


@pytest.fixture
def arrived(caplog: pytest.LogCaptureFixture) -> Arrived:
    caplog.set_level(logging.INFO, "Host.Web")
    return Arrived(caplog)
