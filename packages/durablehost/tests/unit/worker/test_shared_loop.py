"""Coroutine functions share the event loop of their worker process: what one of them does to it, or to the process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("anyio")

from durablehost.errors import WorkerCrashed
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.worker.conftest import AppBuilder, RunningPool, StartPool

PID = "import os\ndef main(input): return os.getpid()"
WAIT = """
import asyncio, os, pathlib
async def main(input):
    os.write(1, b"waiting\\n")
    while not pathlib.Path(input).exists():
        await asyncio.sleep(0.01)
    return os.getpid()
"""


async def begin(pool: RunningPool, name: str, value: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(pool.call(name, {"input": json.dumps(value)}))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    "line",
    ["asyncio.get_running_loop().stop()", "threading.Thread(target=asyncio.get_running_loop().stop).start()"],
    ids=["from the loop", "from a thread"],
)
async def test_a_function_that_stops_the_loop_ends_neither_another_call_nor_the_process(
    line: str, app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Wait", WAIT)
    app.activity("Stop", f"import asyncio, threading\nasync def main(input):\n  {line}\n  await asyncio.sleep(0.1)")
    pool, gate = await start_pool(), app.root.parent / "gate"
    pid = await pool.activity("Pid")
    wait = await begin(pool, "Wait", str(gate))
    await eventually(lambda: "waiting" in caplog.messages)
    assert await pool.activity("Stop") is None
    gate.touch()
    result = await wait
    assert (result.failure, json.loads(result.return_value)) == (None, pid)
    assert await pool.activity("Pid") == pid
    assert "Traceback" not in caplog.text


async def test_a_function_that_cancels_all_tasks_cancels_its_own_call_and_not_the_process(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", "import asyncio, os\nasync def main(input):\n  await asyncio.sleep(0.1)\n  return os.getpid()")
    source = "import asyncio\nasync def main(input):\n  for task in asyncio.all_tasks(): task.cancel()\n"
    app.activity("Cancel", f"{source}  await asyncio.sleep(60)")
    pool = await start_pool()
    pid = await pool.activity("Pid")
    result = await pool.call("Cancel")
    assert result.failure is not None
    assert result.failure.type_name == "CancelledError"
    assert await pool.activity("Pid") == pid


async def test_a_call_that_is_cancelled_before_it_begins_fails(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Go", "import pathlib\ndef main(input): pathlib.Path(input).touch()")
    app.activity("Wait", WAIT)
    app.activity(
        "Cancel",
        """
        import asyncio, os, pathlib, time
        async def main(input):
            pathlib.Path(input + "-begun").touch()
            while not pathlib.Path(input).exists():
                time.sleep(0.01)
            # Lets the loop make the tasks of the calls that have come meanwhile.
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        """,
    )
    pool, gate = await start_pool(), app.root.parent / "gate"
    cancel = await begin(pool, "Cancel", str(gate))
    begun = gate.with_name("gate-begun")
    await eventually(begun.exists)
    wait = await begin(pool, "Wait", str(gate))
    await pool.activity("Go", str(gate))
    assert (await cancel).failure is None
    failure = (await wait).failure
    assert failure is not None
    assert failure.type_name == "CancelledError"


@pytest.mark.parametrize(
    "line",
    ["import builtins; builtins.len = None", "import os; os.closerange(3, 1000)"],
    ids=["builtins that are replaced", "files that are closed"],
)
async def test_a_function_that_breaks_its_process_ends_it_without_frames_of_durablehost(
    line: str, app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Break", f"def main(input):\n  {line}")
    pool = await start_pool()
    with pytest.raises(WorkerCrashed):
        await pool.call("Break")
    # What else is printed depends on the thread that notices first.
    assert "child.py" not in caplog.text
