"""Requests to a service that fails or does not answer: a small server stands in for storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from durablehost.errors import StorageError, StorageUnavailable, StorageUnreachable
from durablehost.storage.account.outage import Outage
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.account.service_client import RETRY_WAITS_SECONDS, ServiceClient
from durablehost.storage.account.signing import Request

ATTEMPTS = len(RETRY_WAITS_SECONDS) + 1
# aiohttp itself repeats a GET if its connection breaks.
PUT = Request(method="POST", path="queue/messages")
XML = "<?xml?><Error><Code>{}</Code><Message>Reason.\nRequestId:1</Message></Error>"


class NoSigner:
    async def sign(self, request: Request) -> None: ...


class Service:
    """Returns its answers one after another; None closes the connection without an answer."""

    def __init__(self, *answers: web.Response | None) -> None:
        self._answers = list(answers)
        self.request_count = 0
        self.pauses: list[float] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.request_count += 1
        answer = self._answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
        return answer or web.Response()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@asynccontextmanager
async def client_of(service: Service) -> AsyncIterator[ServiceClient]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        yield ServiceClient(session, f"http://{host}:{port}/account", NoSigner(), pause=service.pause)
    await runner.cleanup()


@pytest.mark.parametrize("bad", [lambda: None, lambda: web.Response(status=503), lambda: web.Response(status=429)])
async def test_transient_errors_are_retried(bad: Callable[[], web.Response | None]) -> None:
    service = Service(bad(), bad(), web.Response(text="good"))
    async with client_of(service) as client:
        assert (await client.send(PUT)).body == b"good"
    assert service.pauses == list(RETRY_WAITS_SECONDS)


@pytest.mark.parametrize("bad", [lambda: None, lambda: web.Response(status=500)])
async def test_a_lasting_error_is_raised_after_the_last_attempt(bad: Callable[[], web.Response | None]) -> None:
    service = Service(*[bad() for _ in range(ATTEMPTS)])
    async with client_of(service) as client:
        with pytest.raises(StorageUnavailable):
            await client.send(PUT)
    assert service.request_count == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "MessageNotFound", Missing),
        (409, "EntityAlreadyExists", Conflict),
        (412, "UpdateConditionNotSatisfied", Conflict),
        (400, "PopReceiptMismatch", Conflict),
        (400, "InvalidInput", StorageError),
        (403, "AuthenticationFailed", StorageError),
    ],
)
async def test_a_refusal_is_raised_at_once_in_one_line(status: int, code: str, error: type[StorageError]) -> None:
    service = Service(web.Response(status=status, text=XML.format(code)))
    async with client_of(service) as client:
        with pytest.raises(error, match=r"^Reason\.$"):
            await client.send(PUT)
    assert service.request_count == 1


@pytest.mark.parametrize("body", ["", "no XML", "{}", '{"odata.error": 1}', "[1]"])
async def test_a_refusal_of_unknown_form_is_still_a_refusal(body: str) -> None:
    async with client_of(Service(web.Response(status=400, text=body))) as client:
        with pytest.raises(StorageError):
            await client.send(PUT)


async def test_a_service_that_cannot_be_reached_is_told_of_once_until_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client_of(Service(web.Response(), web.Response(status=400))) as client:
        address, client.outage = client.endpoint, Outage("http://127.0.0.1:1/account")
        for _ in range(2):
            client.endpoint = "http://127.0.0.1:1/account"
            for _ in range(2):
                with pytest.raises(StorageUnreachable, match="Cannot connect"):
                    await client.send(PUT)
            client.endpoint = address
            with suppress(StorageError):
                await client.send(PUT)
    begin, end, *again = caplog.messages
    assert begin.startswith(
        "The storage at http://127.0.0.1:1/account cannot be reached; all work waits for it: Cannot connect to host "
    )
    assert begin.endswith(". If its Azurite has ended, start it with `durablehost azurite start`.")
    assert end == "The storage at http://127.0.0.1:1/account answers again, after 0 s."
    assert again == [begin, end]


async def test_no_azurite_is_advised_for_an_account_in_azure(caplog: pytest.LogCaptureFixture) -> None:
    Outage("https://account.queue.core.windows.net").begin("no route")
    assert caplog.messages == [
        "The storage at https://account.queue.core.windows.net cannot be reached; all work waits for it: no route."
    ]
