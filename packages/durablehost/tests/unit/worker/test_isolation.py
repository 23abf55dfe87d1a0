"""A function that ends or blocks its worker process harms no other call: which calls are isolated, and for how long."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anyio")

from durablehost.app.invocation import InputValue, Invocation
from durablehost.engine.trials import Trials
from durablehost.errors import FunctionTimeout, WorkerCrashed
from durablehost.worker import bootstrap, process, processes, suspicion
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.unit.worker.conftest import ORCHESTRATOR, AppBuilder, RunningPool, StartPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals and process lists are those of POSIX")

PID = "import os\ndef main(input): return os.getpid()"
CRASH = "import os\ndef main(input): os._exit(3)"
WAIT = """
import os, pathlib, time
def main(input):
    # One write, because print() mixes the output of several threads.
    os.write(1, b"waiting\\n")
    while not pathlib.Path(input).exists():
        time.sleep(0.01)
    return "waited"
"""
BLOCK = "import os, time\ndef main(context):\n  os.write(1, b'blocking\\n')\n  time.sleep(600)"
# The regular expression takes years, and never releases the interpreter lock.
FREEZE = "import os, re\ndef main(context):\n  os.write(1, b'freezing\\n')\n  re.match('(a+)+$', 60 * 'a' + 'b')"
LOOP = "import os\ndef main(context):\n  os.write(1, b'blocking\\n')\n  while True: pass"


def worker_processes() -> list[int]:
    """Returns the worker processes of this process."""
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(None, 2) for line in lines if bootstrap.__file__ in line]
    return [int(pid) for pid, parent, _ in found if int(parent) == os.getpid()]


IS_LOWEST = os.nice(0) >= 19
lower_priority = pytest.mark.skipif(IS_LOWEST, reason="the tests run at the lowest priority already")

Begin = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Begins calls; those that a failed test has left behind are ended, and their errors retrieved."""
    tasks: list[asyncio.Task[Any]] = []

    def start(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(call))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def repeated(pool: RunningPool, name: str, value: Any = None, *, work: str = "", binding: str = "input") -> Any:
    """Calls a function as work that is repeated if another call has ended its process; returns the result."""
    inputs: dict[str, InputValue] = {binding: json.dumps(value)}
    call = Invocation(invocation_id=str(uuid.uuid4()), function_name=name, inputs=inputs, work=work or name)
    result = await Trials(pool.pool).invoke(call)
    assert result.failure is None, result.failure
    return json.loads(result.return_value or "null")


async def test_calls_beside_a_crash_run_again_and_only_the_crashing_call_fails(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Crash", CRASH)
    app.activity("Wait", WAIT)
    gate, waiting = app.root.parent / "gate", 5
    pool = await start_pool()
    waits = [begin(repeated(pool, "Wait", str(gate), work=f"wait {number}")) for number in range(waiting)]
    await eventually(lambda: caplog.messages.count("waiting") == waiting)
    with pytest.raises(WorkerCrashed) as crash:
        await repeated(pool, "Crash")
    assert crash.value.suspects == 1
    gate.touch()
    assert await asyncio.gather(*waits) == ["waited"] * waiting


async def test_after_a_crash_calls_that_are_not_repeated_share_no_process_with_repeated_ones(
    app: AppBuilder, start_pool: StartPool
) -> None:
    app.activity("Crash", CRASH)
    app.activity("Other", CRASH)
    app.activity("Pid", PID)
    pool = await start_pool()
    for _ in range(2):
        with pytest.raises(WorkerCrashed):
            await repeated(pool, "Crash")
    shared = await pool.activity("Pid")
    assert await repeated(pool, "Pid") != shared
    # This function has never crashed before.
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Other")
    assert await pool.activity("Pid") == shared


PRIORITY = """
import os, pathlib
def main(input):
  if input: os._exit(3)
  # On Linux, a session of its own is scheduled as one: the priority among sessions counts.
  session = pathlib.Path("/proc/self/autogroup")
  return [os.nice(0), int(session.read_text().split()[-1]) if session.exists() else os.nice(0)]
"""


@lower_priority
async def test_a_function_that_has_crashed_runs_at_a_lower_priority(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Crash", PRIORITY)
    app.activity("Other", PRIORITY)
    pool = await start_pool()
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Crash", True)
    usual, usual_session = await repeated(pool, "Other")
    assert usual == os.nice(0)
    own, session = await repeated(pool, "Crash", False)
    assert own > usual
    assert session > usual_session


@lower_priority
async def test_a_host_in_the_session_that_linux_boots_lowers_the_priority_too(
    app: AppBuilder, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such a session has no priority of its own, as in a container or a machine whose first process runs the tests."""
    empty = tmp_path / "autogroup"
    empty.touch()
    monkeypatch.setattr(process, "_OWN_SESSION", empty)
    app.activity("Crash", PRIORITY)
    pool = await start_pool()
    with pytest.raises(WorkerCrashed):
        await repeated(pool, "Crash", True)
    own, _ = await repeated(pool, "Crash", False)
    assert own > os.nice(0)


@lower_priority
async def test_a_call_that_blocks_its_process_goes_on_at_a_lower_priority(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.function("Block", ORCHESTRATOR, source=LOOP)
    app.activity("Pid", PID)
    pool = await start_pool(limits={"blocked_seconds": 0.3})
    pid = await pool.activity("Pid")
    begin(repeated(pool, "Block", binding="context"))
    await eventually(lambda: os.getpriority(os.PRIO_PROCESS, pid) > os.nice(0))
    assert await pool.activity("Pid") != pid


async def test_calls_that_waited_for_the_process_of_a_crash_do_not_end_the_next_one(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Crash", CRASH)
    app.activity("Pid", PID)
    pool = await start_pool()
    crash = begin(repeated(pool, "Crash", work="0"))
    await eventually(lambda: "Starting another in 0 seconds." in caplog.text)
    more = [begin(repeated(pool, "Crash", work=str(number))) for number in range(1, 4)]
    shared = await pool.activity("Pid")
    ends = await asyncio.gather(crash, *more, return_exceptions=True)
    assert [getattr(end, "suspects", end) for end in ends] == [1] * 4
    assert await pool.activity("Pid") == shared


async def test_a_first_kill_from_outside_is_blamed_on_no_call(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Wait", WAIT)
    gate = app.root.parent / "gate"
    pool = await start_pool()
    wait = begin(repeated(pool, "Wait", str(gate)))
    await eventually(lambda: caplog.messages.count("waiting") == 1)
    pid = await pool.activity("Pid")
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: caplog.messages.count("waiting") == 2)
    # The call shares its process with all others, as before.
    assert worker_processes() == [await pool.activity("Pid")]
    gate.touch()
    assert await wait == "waited"


async def test_a_call_that_is_killed_again_and_again_is_blamed_however_long_it_took(
    app: AppBuilder, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspicion, "_KILL_SECONDS", 0.0)
    app.activity("Greedy", "import os, signal\ndef main(input): os.kill(os.getpid(), signal.SIGKILL)")
    pool = await start_pool()
    with pytest.raises(WorkerCrashed, match="SIGKILL") as raised:
        await asyncio.wait_for(repeated(pool, "Greedy"), WAIT_SECONDS)
    assert raised.value.suspects == 1


@pytest.mark.parametrize("source", [BLOCK, LOOP])
async def test_an_orchestrator_that_blocks_delays_no_other_call(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    """There is only one thread, and a call waits for it already."""
    app.function("Block", ORCHESTRATOR, source=source)
    app.activity("Pid", PID)
    pool = await start_pool(thread_count=1, limits={"blocked_seconds": 0.3})
    pid = await pool.activity("Pid")
    blocked = begin(repeated(pool, "Block", binding="context"))
    await eventually(lambda: "blocking" in caplog.messages)
    others = await asyncio.gather(*(pool.activity("Pid") for _ in range(5)))
    assert not blocked.done()
    assert pid not in others


async def test_calls_beside_an_orchestrator_that_freezes_its_process_are_repeated_elsewhere(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.function("Freeze", ORCHESTRATOR, source=FREEZE)
    app.activity("Wait", WAIT)
    gate = app.root.parent / "gate"
    pool = await start_pool(limits={"blocked_seconds": 0.3})
    wait = begin(repeated(pool, "Wait", str(gate)))
    await eventually(lambda: "waiting" in caplog.messages)
    frozen = begin(repeated(pool, "Freeze", binding="context"))
    await eventually(lambda: caplog.messages.count("waiting") == 2)
    assert "It did not answer while an orchestrator or an entity blocked it." in caplog.text
    gate.touch()
    assert await wait == "waited"
    # Alone, it may take its time: it harms no other call. The time that ended it above, 1.5 s, has to pass.
    await eventually(lambda: caplog.messages.count("freezing") == 2)
    await asyncio.sleep(3)
    assert caplog.messages.count("freezing") == 2
    assert not frozen.done()


async def test_further_calls_of_a_function_that_blocks_go_to_a_process_of_their_own(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.function("Block", ORCHESTRATOR, source=BLOCK)
    app.activity("Pid", PID)
    pool = await start_pool(limits={"blocked_seconds": 0.3})
    calls = [begin(repeated(pool, "Block", binding="context"))]
    replaced = "Restart of language worker process(es) completed."
    await eventually(lambda: replaced in caplog.messages)
    shared = await pool.activity("Pid")
    calls += [begin(repeated(pool, "Block", work=str(n), binding="context")) for n in range(8)]
    await eventually(lambda: caplog.messages.count("blocking") == 9)
    await asyncio.sleep(0.7)
    assert await pool.activity("Pid") == shared
    # The first process, the shared one, and those of the function, not one for each call.
    assert len(worker_processes()) <= 5


async def test_a_timeout_harms_no_other_call_of_its_process(
    app: AppBuilder, start_pool: StartPool, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Block", "import os, time\ndef main(input):\n  os.write(1, b'blocking\\n')\n  time.sleep(60)")
    app.activity("Nap", "import os, time\ndef main(input):\n  time.sleep(1)\n  return os.getpid()")
    pool = await start_pool(function_timeout_seconds=1.5)
    blocked = begin(pool.call("Block"))
    await eventually(lambda: "blocking" in caplog.messages)
    await asyncio.sleep(0.8)
    nap = begin(pool.activity("Nap"))
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


async def test_processes_started_after_a_crash_end_when_they_are_idle(
    app: AppBuilder, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(suspicion, "_CAUTION_SECONDS", 2)
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
