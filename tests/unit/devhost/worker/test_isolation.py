"""A function that ends or blocks its worker process harms no other call: who runs apart from whom, and for how long."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from typing import Any

import pytest

pytest.importorskip("anyio")

from devhost.app.invocation import InputValue, Invocation
from devhost.engine.trials import Trials
from devhost.errors import FunctionTimeout, WorkerCrashed
from devhost.worker import processes
from devhost.worker.process import Limits
from tests.eventually import eventually
from tests.unit.devhost.worker.conftest import ORCHESTRATOR, AppBuilder, RunningPool, StartPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals and process lists are those of POSIX")

PID = "import os\ndef main(input): return os.getpid()"
CRASH = "import os\ndef main(input): os._exit(3)"
WAIT = """
import os, pathlib, time
def main(input):
    # In one piece, unlike print() of several threads.
    os.write(1, b"waiting\\n")
    while not pathlib.Path(input).exists():
        time.sleep(0.01)
    return "waited"
"""
BLOCK = "import os, time\ndef main(context):\n  os.write(1, b'blocking\\n')\n  time.sleep(60)"
LOOP = "import os\ndef main(context):\n  os.write(1, b'blocking\\n')\n  while True: pass"


def worker_processes() -> list[int]:
    """Those of this process."""
    command = ["ps", "-A", "-o", "pid=,ppid=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(None, 2) for line in lines if "devhost.worker.child" in line]
    return [int(pid) for pid, parent, _ in found if int(parent) == os.getpid()]


async def repeated(pool: RunningPool, name: str, value: Any = None, *, work: str = "", binding: str = "input") -> Any:
    """What a call for a piece of work returns: one that is repeated if something else has ended its process."""
    inputs: dict[str, InputValue] = {binding: json.dumps(value)}
    call = Invocation(invocation_id=str(uuid.uuid4()), function_name=name, inputs=inputs, work=work or name)
    result = await Trials(pool.pool).invoke(call)
    assert result.failure is None, result.failure
    return json.loads(result.return_value or "null")


async def test_what_ran_beside_a_crash_runs_again_and_only_the_cause_fails(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Crash", CRASH)
    app.activity("Wait", WAIT)
    gate, waiting = app.root.parent / "gate", 5
    pool = await start_pool()
    waits = [
        asyncio.ensure_future(repeated(pool, "Wait", str(gate), work=f"wait {number}")) for number in range(waiting)
    ]
    await eventually(lambda: caplog.messages.count("waiting") == waiting)
    with pytest.raises(WorkerCrashed) as crash:
        await repeated(pool, "Crash")
    assert crash.value.suspects == 1
    gate.touch()
    assert await asyncio.gather(*waits) == ["waited"] * waiting


async def test_a_crash_leaves_the_calls_alone_that_nobody_repeats(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Crash", CRASH)
    app.activity("Other", CRASH)
    app.activity("Pid", PID)
    pool = await start_pool()
    for _ in range(2):
        with pytest.raises(WorkerCrashed):
            await repeated(pool, "Crash")
    shared = await pool.activity("Pid")
    assert await repeated(pool, "Pid") != shared
    # A function that has never crashed before.
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Other")
    assert await pool.activity("Pid") == shared


async def test_what_has_crashed_runs_at_a_lower_priority(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Crash", "import os\ndef main(input):\n  if input: os._exit(3)\n  return os.nice(0)")
    app.activity("Other", "import os\ndef main(input): return os.nice(0)")
    pool = await start_pool()
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Crash", True)
    assert await repeated(pool, "Crash", False) > os.nice(0)
    assert await repeated(pool, "Other") == os.nice(0)


async def test_calls_that_waited_for_the_process_of_a_crash_do_not_end_the_next_one(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Crash", CRASH)
    app.activity("Pid", PID)
    pool = await start_pool()
    crash = asyncio.ensure_future(repeated(pool, "Crash", work="0"))
    await eventually(lambda: "Starting another in 0 seconds." in caplog.text)
    more = [asyncio.ensure_future(repeated(pool, "Crash", work=str(number))) for number in range(1, 4)]
    shared = await pool.activity("Pid")
    ends = await asyncio.gather(crash, *more, return_exceptions=True)
    assert [getattr(end, "suspects", end) for end in ends] == [1] * 4
    assert await pool.activity("Pid") == shared


async def test_a_first_kill_from_outside_is_blamed_on_no_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Wait", WAIT)
    gate = app.root.parent / "gate"
    pool = await start_pool()
    wait = asyncio.ensure_future(repeated(pool, "Wait", str(gate)))
    await eventually(lambda: caplog.messages.count("waiting") == 1)
    pid = await pool.activity("Pid")
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: caplog.messages.count("waiting") == 2)
    # The call shares its process with all others, as before.
    assert worker_processes() == [await pool.activity("Pid")]
    gate.touch()
    assert await wait == "waited"


@pytest.mark.parametrize("source", [BLOCK, LOOP])
async def test_an_orchestrator_that_blocks_delays_no_other_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    """Even if there is but one thread, and with a call that waits for it already."""
    app.function("Block", ORCHESTRATOR, source=source)
    app.activity("Pid", PID)
    pool = await start_pool(thread_count=1, function_timeout_seconds=4, limits=Limits(blocked_seconds=0.3))
    pid = await pool.activity("Pid")
    blocked = asyncio.ensure_future(repeated(pool, "Block", binding="context"))
    await eventually(lambda: "blocking" in caplog.messages)
    others = await asyncio.gather(*(pool.activity("Pid") for _ in range(5)))
    assert not blocked.done()
    assert pid not in others
    with pytest.raises(Exception, match=r"Timeout value of 00:00:04 was exceeded by function: Functions\.Block"):
        await blocked


async def test_further_calls_of_a_function_that_blocks_go_to_a_process_of_their_own(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.function("Block", ORCHESTRATOR, source=BLOCK)
    app.activity("Pid", PID)
    pool = await start_pool(limits=Limits(blocked_seconds=0.3))
    calls = [asyncio.ensure_future(repeated(pool, "Block", binding="context"))]
    replaced = "Restart of language worker process(es) completed."
    await eventually(lambda: replaced in caplog.messages)
    shared = await pool.activity("Pid")
    calls += [asyncio.ensure_future(repeated(pool, "Block", work=str(n), binding="context")) for n in range(8)]
    await eventually(lambda: caplog.messages.count("blocking") == 9)
    await asyncio.sleep(0.7)
    assert await pool.activity("Pid") == shared
    # The first one, the shared one, and those of the function: not one for each call.
    assert len(worker_processes()) <= 5
    for call in calls:
        call.cancel()


async def test_a_timeout_costs_no_other_call_of_its_process(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Block", "import os, time\ndef main(input):\n  os.write(1, b'blocking\\n')\n  time.sleep(60)")
    app.activity("Nap", "import os, time\ndef main(input):\n  time.sleep(1)\n  return os.getpid()")
    pool = await start_pool(function_timeout_seconds=1.5)
    blocked = asyncio.ensure_future(pool.call("Block"))
    await eventually(lambda: "blocking" in caplog.messages)
    await asyncio.sleep(0.8)
    nap = asyncio.ensure_future(pool.activity("Nap"))
    with pytest.raises(FunctionTimeout):
        await blocked
    pid = await pool.activity("Pid")
    old = await nap
    assert old != pid
    await eventually(lambda: worker_processes() == [pid])


async def test_a_function_whose_import_ends_the_process_is_left_out(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Bad", "import os; os._exit(3)")
    app.activity("Good", PID)
    app.activity("Worse", "import ctypes; ctypes.string_at(0)")
    pool = await start_pool()
    reasons = {"Bad": "exited with code 3", "Worse": "killed by SIGSEGV"}
    assert set(pool.pool.load_errors) == set(reasons)
    for name, reason in reasons.items():
        failure = (await pool.call(name)).failure
        assert failure is not None
        assert "The import of the function ended the worker process." in failure.message
        assert reason in failure.message
    assert isinstance(await pool.activity("Good"), int)


async def test_processes_that_a_crash_has_brought_end_when_they_are_idle(
    app: AppBuilder, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(processes, "_CAUTION_SECONDS", 2)
    app.activity("Crash", CRASH)
    app.activity("Pid", PID)
    pool = await start_pool()
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Crash")
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Crash")
    shared = await pool.activity("Pid")
    assert await repeated(pool, "Pid") != shared
    await eventually(lambda: worker_processes() == [shared])
    assert await repeated(pool, "Pid") == shared
