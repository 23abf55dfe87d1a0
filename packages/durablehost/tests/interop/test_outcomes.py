"""What programs of orchestrators end with, on durablehost and on the real engine: they must not be able to tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from durablehost.storage.account.options import StorageOptions
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import HUB_NAME_VARIABLE, call
from packages.durablehost.tests.e2e.orchestration import FINISHED, MANAGEMENT
from packages.durablehost.tests.interop.conftest import StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP
from packages.durablehost.tests.interop.kinds import Host, Steps

# Each host has traces of its own, of Python and of .NET.
_TRACES = (
    (re.compile(r'Stack: .*?(?=","Data")'), "Stack: "),
    (re.compile(r'"(StackTraceString|Source)":"(?:[^"\\]|\\.)*"'), r'"\1":null'),
    (re.compile(r", StackTrace: .*", re.DOTALL), ", StackTrace: "),
)
_BODIES = {"number": 5, "fraction": 1.5, "boolean": True, "list": [1, 2], "text": "hello", "empty text": ""}


def programs(folder: Path) -> Mapping[str, Steps]:
    failing = ["activity", "fetch", str(folder / "missing")]
    return {
        "failed-activity": [failing],
        "caught-activity": [["caught", *failing]],
        "failed-child": [["child", [["fail", "boom"]]]],
        "caught-child": [["caught", "child", [["fail", "boom"]]]],
        "caught-child-of-a-failed-activity": [["caught", "child", [failing]]],
        "caught-entity": [["caught", "call", folder.name, "fail", "that"]],
        "failed-without-a-text": [["fail"]],
        "failed-with-the-label": [["fail", "before $OutOfProcData$:{} after"]],
        "event-in-another-case": [["event", "Go"], ["event", "Go"]],
    }


def outcomes(host: Host, folder: Path) -> dict[str, Any]:
    """The status and the output of every program, and of every start with an input that is no object."""
    folder.mkdir()
    for name, steps in programs(folder).items():
        host.start(name, steps)
    for name, body in _BODIES.items():
        answer = call("POST", f"{host.url}{MANAGEMENT}/orchestrators/script/{name.replace(' ', '-')}?code=test", body)
        assert answer.status == 202, answer.body
    host.wait_for_event("event-in-another-case", "ExecutionStarted")
    for name, value in (("go", 1), ("Go", 2), ("Go", 3)):
        host.raise_event("event-in-another-case", name, value)
    ids = [*programs(folder), *(name.replace(" ", "-") for name in _BODIES)]
    ended = {instance_id: host.wait_for_status(instance_id, *FINISHED, seconds=60) for instance_id in ids}
    return {
        instance_id: (status["runtimeStatus"], _shown(status["output"], folder))
        for instance_id, status in ended.items()
    }


def _shown(output: Any, folder: Path) -> str:
    text = "\n".join(map(str, output)) if isinstance(output, list) else str(output)
    for pattern, replacement in _TRACES:
        text = pattern.sub(replacement, text)
    return text.replace(str(folder), "FOLDER")


@pytest.mark.azurite
def test_programs_end_as_on_the_real_engine(
    running_host: RunningHost, real_engine: StartEngine, options: StorageOptions, tmp_path: Path
) -> None:
    with real_engine() as engine:
        expected = outcomes(Host(engine.url, options), tmp_path / "engine")
    # A hub of its own: the leases of the killed engine run on for a while.
    with running_host(SCRIPTED_APP, environment={HUB_NAME_VARIABLE: f"{options.hub_name}2"}) as host:
        assert outcomes(Host(host.url, options), tmp_path / "host") == expected
