"""The final output on stdout, and the exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("azure.storage.blob")

from demo.__main__ import report

OUTPUT: dict[str, Any] = {
    "status": "completed",
    "total_chunks": 0,
    "succeeded": 0,
    "failed": 0,
    "start": "a",
    "end": "b",
    "results": [],
    "summary": {},
}


def test_json_is_the_output_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    code = report({"runtimeStatus": "Completed", "output": OUTPUT}, as_json=True)

    said = capsys.readouterr()
    assert code == 0
    assert json.loads(said.out) == OUTPUT
    assert said.err == ""


def test_without_json_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert report({"runtimeStatus": "Completed", "output": OUTPUT}, as_json=False) == 0

    assert capsys.readouterr().out.splitlines()[-1].startswith("completed: 0 of 0 chunks")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("runtime_status", ["Failed", "Terminated", "Canceled"])
def test_any_status_but_completed_is_printed_on_stderr_with_exit_code_1(
    runtime_status: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    code = report({"runtimeStatus": runtime_status, "output": "all chunks failed"}, as_json=as_json)

    said = capsys.readouterr()
    assert code == 1
    assert said.out == ""
    assert said.err == f"demo: the orchestration ended as {runtime_status}: all chunks failed\n"
