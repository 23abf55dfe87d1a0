"""Drives one page of the browser through its DevTools protocol: runs scripts, and keeps what went wrong."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp

from packages.durablehost.tests.browser.chromium import Chromium
from packages.durablehost.tests.eventually import eventually

_LARGEST_MESSAGE = 64 * 1024 * 1024


class Page:
    """An open page. `errors`: what its console has reported; `urls`: the requests that it has sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.errors: list[str] = []
        self.urls: list[str] = []
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await self._answers[number]
        del self._answers[number]
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def run(self, script: str) -> Any:
        """The value of an expression, which may be a promise."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def text(self) -> str:
        """What a reader sees."""
        return str(await self.run("document.body.innerText"))

    async def shows(self, *texts: str) -> None:
        """Waits until the page shows all of the texts."""

        async def all_shown() -> bool:
            shown = await self.text()
            missing = [text for text in texts if text not in shown]
            assert not missing, f"{missing} not in {shown}"
            return True

        await eventually(all_shown)

    async def click(self, text: str, selector: str = "button, a") -> None:
        """Clicks on the last element with exactly this text, once there is one."""
        matching = f"e => !e.disabled && e.innerText.trim() === {json.dumps(text)}"
        find = f"[...document.querySelectorAll({selector!r})].filter({matching}).pop()"
        # In one script: the page may draw anew between two.
        await eventually(lambda: self.run(f"(e => !!e && (e.click(), true))({find})"))

    async def type(self, selector: str, text: str) -> None:
        """Puts a text into a field, as a person does."""
        await eventually(lambda: self.run(f"!!document.querySelector({selector!r})"))
        await self.run(
            f"(() => {{ const field = document.querySelector({selector!r});"
            f" const kind = field.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement;"
            f" Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(field, {json.dumps(text)});"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )

    async def go(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def read(self) -> None:
        """Receives answers and events until the page is closed."""
        async for message in self._socket:
            self._receive(json.loads(message.data))

    def _receive(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case None:
                self._answers[message["id"]].set_result(message)
            case "Runtime.exceptionThrown":
                self.errors.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.errors.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.urls.append(parameters["request"]["url"])


@asynccontextmanager
async def open_page(browser: Chromium) -> AsyncIterator[Page]:
    """An empty page of its own, for the length of the block."""
    address = await asyncio.to_thread(_new_page, f"{browser.url}/new?about:blank")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=_LARGEST_MESSAGE, heartbeat=None) as socket,
    ):
        page = Page(socket)
        reading = asyncio.create_task(page.read())
        try:
            for domain in ("Runtime", "Log", "Network", "Page"):
                await page.call(f"{domain}.enable")
            yield page
            await page.call("Page.close")
        finally:
            reading.cancel()


def _new_page(url: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=60) as answer:
        return str(json.load(answer)["webSocketDebuggerUrl"])
