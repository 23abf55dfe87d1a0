"""Starting and following an orchestration, against a server with scripted answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from demo import http, orchestration
from demo.errors import DemoError


class FakeHost(HTTPServer):
    """Answers each request with the next of `answers`, or of `listings`, then always with the last one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, object]] = []
        self.listings: list[tuple[int, object]] = [(200, [])]
        self.requests: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def status_url(self) -> str:
        return f"{self.url}/instances/abc?code=x"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHost

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.requests.append((self.command, self.path, body))
        is_listing = self.path.partition("?")[0] == "/instances"
        answers = self.server.listings if is_listing else self.server.answers
        status, document = answers.pop(0) if len(answers) > 1 else answers[0]
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with FakeHost() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def alive() -> None:
    """The host has not ended."""


def test_the_request_is_posted_and_the_links_returned(host: FakeHost) -> None:
    host.answers = [(202, {"id": "abc", "statusQueryGetUri": "somewhere"})]

    links = orchestration.start(host.url, {"start": "a", "end": "b", "total_chunks": 3})

    assert links["id"] == "abc"
    assert host.requests == [("POST", "/api/starter_function", {"start": "a", "end": "b", "total_chunks": 3})]


def test_a_refused_request_is_an_error_with_the_message_of_the_app(host: FakeHost) -> None:
    host.answers = [(400, {"error": {"code": "InvalidRequest"}})]

    with pytest.raises(DemoError, match=r"answered 400.*InvalidRequest"):
        orchestration.start(host.url, {})


def test_an_orchestration_is_followed_to_its_end(host: FakeHost) -> None:
    host.answers = [
        (202, {"runtimeStatus": "Pending"}),
        (202, {"runtimeStatus": "Running", "customStatus": {"chunks_done": 1}}),
        (202, {"runtimeStatus": "Running", "customStatus": {"chunks_done": 1}}),
        (200, {"runtimeStatus": "Completed", "output": {}}),
    ]
    shown: list[Any] = []

    final = orchestration.follow(host.status_url, show=shown.append, check_host=alive)

    assert final["runtimeStatus"] == "Completed"
    assert [status["runtimeStatus"] for status in shown] == ["Pending", "Running", "Running", "Completed"]


@pytest.mark.parametrize("runtime_status", ["Failed", "Terminated", "Canceled"])
def test_every_final_status_ends_the_wait(host: FakeHost, runtime_status: str) -> None:
    host.answers = [(200, {"runtimeStatus": runtime_status})]

    final = orchestration.follow(host.status_url, show=lambda status: None, check_host=alive)

    assert final["runtimeStatus"] == runtime_status


def test_a_failed_orchestration_answered_as_an_http_error_is_a_status_too(host: FakeHost) -> None:
    host.answers = [(500, {"runtimeStatus": "Failed", "output": "boom"})]

    final = orchestration.follow(host.status_url, show=lambda status: None, check_host=alive)

    assert final["output"] == "boom"


def test_an_instance_that_is_gone_is_an_error(host: FakeHost) -> None:
    host.answers = [(404, b"")]

    with pytest.raises(DemoError, match="answered 404"):
        orchestration.follow(host.status_url, show=lambda status: None, check_host=alive)


def test_an_orchestration_without_progress_is_an_error(host: FakeHost) -> None:
    host.answers = [(202, {"runtimeStatus": "Running"})]

    with pytest.raises(DemoError, match=r"has not changed for 0\.3 seconds.*Running"):
        orchestration.follow(host.status_url, show=lambda status: None, check_host=alive, silence_seconds=0.3)


def test_an_orchestration_goes_on_while_a_group_of_its_chunks_changes(host: FakeHost) -> None:
    running, completed = (202, {"runtimeStatus": "Running"}), (200, {"runtimeStatus": "Completed"})
    host.answers = [*[running] * 5, completed]
    host.listings = [(200, [{"instanceId": "group", "customStatus": {"chunks_done": done}}]) for done in range(9)]

    final = orchestration.follow(host.status_url, show=lambda status: None, check_host=alive, silence_seconds=0.1)

    assert final["runtimeStatus"] == "Completed"
    assert ("GET", "/instances?code=x&showInput=false&top=1000", None) in host.requests


def test_a_host_that_has_ended_is_noticed_when_it_no_longer_answers(host: FakeHost) -> None:
    host.server_close()

    def ended() -> None:
        raise DemoError("durablehost ended with exit code 1")

    with pytest.raises(DemoError, match="exit code 1"):
        orchestration.follow(host.status_url, show=lambda status: None, check_host=ended)


def test_an_answer_that_is_not_json_is_kept_as_text(host: FakeHost) -> None:
    host.answers = [(503, b"starting up")]

    answer = http.get(host.url)

    assert (answer.status, answer.body) == (503, {"text": "starting up"})
