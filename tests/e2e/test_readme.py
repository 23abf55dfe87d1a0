"""The curl calls of README.md, run as they are written there, one after another, on a host of their own."""

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

from tests.e2e.conftest import RunningHost
from tests.e2e.host_process import CHECKOUT, HostProcess, call
from tests.e2e.orchestration import FINISHED, MANAGEMENT
from tests.eventually import eventually_blocking

ORIGIN = "http://localhost:7071"
_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS_LINE = re.compile(r"^HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True, kw_only=True)
class Example:
    """Some calls, and the answer that is shown for the last of them."""

    commands: Sequence[str]
    shown: str

    @property
    def status(self) -> int:
        match = _STATUS_LINE.match(self.shown)
        return int(match[1]) if match else 200

    @property
    def body(self) -> Any:
        """The body, where it is shown whole."""
        head, _, rest = self.shown.partition("\n\n")
        try:
            return json.loads(rest if _STATUS_LINE.match(head) else self.shown)
        except ValueError:
            return None


def examples() -> Iterator[Example]:
    blocks = _BLOCK.findall((CHECKOUT / "README.md").read_text("utf-8"))
    for (kind, text), (next_kind, shown) in pairwise(blocks):
        commands = [line for line in text.splitlines() if line.startswith("curl ")]
        if kind == "bash" and commands:
            assert next_kind == "text", f"README.md shows no answer for {commands[-1]}"
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
    """A short run is looked at when it is over, and a terminated one is purged when it has ended."""
    instance_id = next((each for each in ("first-run", "long-run") if each in command), "")
    if not instance_id or ("first-run" not in command and "/terminate" not in command):
        return
    url = f"{host.url}{MANAGEMENT}/instances/{instance_id}"
    eventually_blocking(lambda: call("GET", url).document["runtimeStatus"] in FINISHED, timeout_seconds=60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_calls_are_answered_as_they_are_shown(running_host: RunningHost) -> None:
    shown = list(examples())
    assert len(shown) >= 8, "README.md is not read as it should be"
    with running_host(CHECKOUT) as host:
        for example in shown:
            for command in example.commands:
                status, body = curl(command, host.url)
                assert status < 300 or command == example.commands[-1], f"{command}\n{status} {body}"
                wait_where_a_reader_would(command, host)
            assert status == example.status, f"{command}\n{status} {body}"
            if example.body is not None:
                assert json.loads(body) == example.body, command
