"""The example that reads stored results, where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from examples.read_results import main


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["read_results.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return str(caught.value)


def test_a_place_without_a_manifest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "00000.parquet").touch()
    for place in (tmp_path, tmp_path / "nowhere"):
        message = ended(monkeypatch, str(place))
        assert message.startswith(f"There is no manifest.json in {place}: the run has failed or is not finished")


@pytest.mark.parametrize("text", ["", "no connection string"])
def test_a_connection_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ResultsStorage", text)
    message = ended(monkeypatch, "az://results/run", "--connection", "ResultsStorage")
    assert message == "The environment variable ResultsStorage has no connection string of a storage account."
