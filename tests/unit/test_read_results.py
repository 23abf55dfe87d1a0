"""The example that reads stored results, where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("azure.storage.blob")

from azure.core.exceptions import ServiceRequestError

from examples.read_results import main


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["read_results.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return str(caught.value)


def test_a_place_without_a_manifest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "00000.parquet").touch()
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "00000.parquet"):
        message = ended(monkeypatch, str(place))
        assert message.startswith(f"There is no manifest.json in {place}: the run has failed or is not finished")


@pytest.mark.parametrize("text", ["", "no connection string"])
def test_a_connection_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ResultsStorage", text)
    message = ended(monkeypatch, "az://results/run", "--connection", "ResultsStorage")
    assert message == "The environment variable ResultsStorage has no connection string of a storage account."


def test_a_manifest_that_is_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text("{")
    assert ended(monkeypatch, str(tmp_path)) == f"manifest.json in {tmp_path} is no JSON."


def test_an_account_that_refuses_or_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ServiceRequestError("Connection refused\nRequestId: 1")

    monkeypatch.setattr("examples.read_results.read_results", refuse)
    monkeypatch.setenv("AzureWebJobsStorage", "AccountName=a;AccountKey=bm90;BlobEndpoint=http://127.0.0.1:9/a")
    assert ended(monkeypatch, "az://results/run") == "Cannot read az://results/run: Connection refused"
