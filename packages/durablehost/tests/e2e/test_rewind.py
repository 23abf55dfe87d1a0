"""Runs that failed because something outside was missing, rewound once it exists."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import CHECKOUT, call
from packages.durablehost.tests.e2e.orchestration import start_run
from tests.e2e import expected

storage_blob = pytest.importorskip("azure.storage.blob")

SAMPLE = CHECKOUT / "sample_data" / "nyc_weather_2013.parquet"
START, END, CHUNKS = "2013-01-01T00:00:00Z", "2013-02-01T00:00:00Z", 4


@pytest.mark.parametrize("by_the_sdk", [False, True])
def test_activities_and_children_that_failed_run_again(
    running_host: RunningHost, tmp_path: Path, by_the_sdk: bool
) -> None:
    there, late, later = (tmp_path / name for name in ("there", "late", "later"))
    there.write_text("a")
    with running_host(FEATURES_APP) as host:
        app = App(host.url)
        run = app.start("delivered", [str(there), str(late), str(later)])
        assert "FileNotFoundError" in run.failure()
        late.write_text("b")
        later.write_text("c")
        if by_the_sdk:
            assert app.client("rewind", run.id).document is None
        else:
            answer = call("POST", run.links["rewindPostUri"].replace("{text}", quote("mended & tried")))
            assert (answer.status, answer.body) == (202, b"")
        status = run.end()
        assert (status["runtimeStatus"], status["output"]) == ("Completed", ["a", "b", ["c", "c"]])
        again = call("POST", run.links["rewindPostUri"].replace("{text}", "once-more"))
        assert again.status == 412
    # `late` had two attempts and one more; the child fails at its first call, and makes three more when it goes on.
    assert Counter((tmp_path / "calls").read_text().split()) == {"there": 2, "late": 3, "later": 4}


def test_a_run_whose_container_was_missing_is_completed(running_host: RunningHost, azurite: Azurite) -> None:
    name = f"readings-{uuid.uuid4().hex[:12]}"
    with running_host(CHECKOUT, environment={"READINGS": f"az://{name}/*.parquet"}) as host:
        run = start_run(host.url, {"start": START, "end": END, "total_chunks": CHUNKS})
        assert "the run could not begin" in run.failure()
        with storage_blob.BlobServiceClient.from_connection_string(azurite.connection_string) as account:
            account.create_container(name).upload_blob(SAMPLE.name, SAMPLE.read_bytes())
        assert call("POST", run.links["rewindPostUri"].replace("{text}", "created")).status == 202
        output = run.output()
    assert (output["status"], output["succeeded"], output["failed"]) == ("completed", 4, 0)
    assert [(each["start"], each["end"]) for each in output["results"]] == expected.windows(START, END, CHUNKS)
