"""Runs the curl calls of README.md and docs/tutorial.md as written, one after another, on a host of their own."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess, call
from packages.durablehost.tests.e2e.orchestration import FINISHED, MANAGEMENT
from packages.durablehost.tests.eventually import eventually_blocking

ORIGIN = "http://localhost:7071"
_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS_LINE = re.compile(r"^HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True, kw_only=True)
class Example:
    """Some calls, and the documented answer to the last of them."""

    commands: Sequence[str]
    shown: str

    @property
    def status(self) -> int:
        match = _STATUS_LINE.match(self.shown)
        return int(match[1]) if match else 200

    @property
    def body(self) -> Any:
        """The body, or None if the document shortens it."""
        head, _, rest = self.shown.partition("\n\n")
        try:
            return json.loads(rest if _STATUS_LINE.match(head) else self.shown)
        except ValueError:
            return None


def examples(document: str) -> Iterator[Example]:
    blocks = _BLOCK.findall((CHECKOUT / document).read_text("utf-8"))
    for (kind, text), (next_kind, shown) in pairwise(blocks):
        commands = [line for line in text.splitlines() if line.startswith("curl ")]
        if kind == "bash" and commands:
            assert next_kind == "text", f"{document} shows no answer for {commands[-1]}"
            yield Example(commands=commands, shown=shown)


def curl(command: str, origin: str) -> tuple[int, str]:
    """The status and the body."""
    arguments = [argument.replace(ORIGIN, origin) for argument in shlex.split(command) if argument != "-i"]
    done = subprocess.run(
        [*arguments, "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"],
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def wait_where_a_reader_would(command: str, host: HostProcess) -> None:
    """Waits until a short run is finished before its status is read, and a terminated one before it is purged."""
    instance_id = next((each for each in ("first-run", "long-run") if each in command), "")
    if not instance_id or ("first-run" not in command and "/terminate" not in command):
        return
    url = f"{host.url}{MANAGEMENT}/instances/{instance_id}"
    eventually_blocking(lambda: call("GET", url).document["runtimeStatus"] in FINISHED)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(("document", "fewest"), [("README.md", 1), ("docs/tutorial.md", 8)])
def test_every_call_of_the_tutorial_gets_the_documented_answer(
    running_host: RunningHost, document: str, fewest: int
) -> None:
    shown = list(examples(document))
    assert len(shown) >= fewest, f"the calls of {document} were not found"
    with running_host(CHECKOUT) as host:
        for example in shown:
            for command in example.commands:
                status, body = curl(command, host.url)
                assert status < 300 or command == example.commands[-1], f"{command}\n{status} {body}"
                wait_where_a_reader_would(command, host)
            assert status == example.status, f"{command}\n{status} {body}"
            if example.body is not None:
                assert json.loads(body) == example.body, command
