"""The pool and its processes: concurrency, crash, timeout, hang, stop, and no process left behind."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import durablehost
from durablehost.app.invocation import InvocationResult
from durablehost.errors import FunctionTimeout, ProtocolError, WorkerCrashed, WorkerError, WorkerUnresponsive
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually, eventually_blocking
from packages.durablehost.tests.unit.worker.conftest import AppBuilder, StartPool

pytest.importorskip("anyio")


PID = "import os\ndef main(input): return os.getpid()"


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii") if sys.platform == "linux" else ""
        os.kill(pid, 0)
    except OSError:
        return False
    # A zombie has ended; its parent has only not collected the exit code.
    return status.rpartition(")")[2].strip()[:1] != "Z"


async def test_arguments_of_python_stand_before_its_script(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Optimised", "import sys\ndef main(input): return [sys.flags.optimize, sys.path]")
    plain, optimised = await start_pool(), await start_pool(arguments=["-O"])
    assert await optimised.activity("Optimised") == [1, (await plain.activity("Optimised"))[1]]


async def test_a_pool_without_time_limits_starts_runs_and_stops(app: AppBuilder, start_pool: StartPool) -> None:
    """As under a debugger, which may wait for its client, and may pause a process at any place."""
    from durablehost.worker.process import UNHURRIED

    app.activity("Pid", PID)
    pool = await start_pool(limits=vars(UNHURRIED))
    pid = await pool.activity("Pid")
    await pool.pool.stop(WAIT_SECONDS)
    assert not is_running(pid)


@pytest.mark.parametrize("is_async", [True, False])
async def test_calls_run_side_by_side(app: AppBuilder, start_pool: StartPool, is_async: bool) -> None:
    meet = "await barrier()" if is_async else "barrier.wait(10)"
    app.activity(
        "Meet",
        f"""
        import asyncio, threading
        if {is_async}:
            waiting, all_here = [], asyncio.Event()
            async def barrier():
                waiting.append(1)
                if len(waiting) == 20: all_here.set()
                await asyncio.wait_for(all_here.wait(), 60)
        else:
            barrier = threading.Barrier(20)

        {"async " if is_async else ""}def main(input):
            {meet}
            return input
        """,
    )
    pool = await start_pool()
    assert await asyncio.gather(*(pool.activity("Meet", n) for n in range(20))) == list(range(20))


async def test_thread_count_bounds_the_plain_functions_that_run_at_once(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Count",
        """
        import threading, time
        running, most = 0, 0
        lock = threading.Lock()

        def main(input):
            global running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            return most
        """,
    )
    pool = await start_pool(thread_count=2)
    assert max(await asyncio.gather(*(pool.activity("Count") for _ in range(10)))) == 2


async def test_a_blocked_loop_stalls_no_plain_function(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Block",
        """
        import threading
        released = threading.Event()
        async def main(input): return released.wait(10)
        """,
    )
    app.activity("Release", "from ..Block import released\ndef main(input): released.set()")
    pool = await start_pool()
    blocked = asyncio.ensure_future(pool.activity("Block"))
    await pool.activity("Release")
    assert await blocked is True


async def test_a_call_of_an_unknown_function_is_a_programming_error(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Pid", PID)
    with pytest.raises(ProtocolError):
        await (await start_pool()).call("Absent")


async def test_a_function_is_found_without_regard_to_case(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Pid", PID)
    assert (await (await start_pool()).call("pID")).failure is None


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import os\ndef main(input): os._exit(3)", "3 (0x3)"),
        ("import os\nasync def main(input): os._exit(0)", "0 (0x0)"),
        ("import os\ndef main(input): os.abort()", "-6 (0xFFFFFFFA), killed by SIGABRT"),
        ("import ctypes\ndef main(input): ctypes.string_at(0)", "-11 (0xFFFFFFF5), killed by SIGSEGV"),
    ],
)
async def test_a_crash_fails_the_calls_of_the_process_and_it_is_replaced(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, source: str, code: str
) -> None:
    app.activity("Crash", source)
    app.activity("Pid", PID)
    app.activity("Wait", "import time\ndef main(input):\n  print('waiting')\n  time.sleep(60)")
    pool = await start_pool()
    pid = await pool.activity("Pid")
    waiting = asyncio.ensure_future(pool.call("Wait"))
    await eventually(lambda: "waiting" in caplog.messages)
    expected = f"Language Worker Process exited. Pid={pid}. python exited with code {code}."
    with pytest.raises(WorkerCrashed) as crash:
        await pool.call("Crash")
    assert str(crash.value) == expected
    with pytest.raises(WorkerCrashed):
        await waiting
    assert await pool.activity("Pid") != pid
    [ended] = [r for r in caplog.records if r.name == "Function.Crash" and r.levelno == logging.ERROR]
    assert ended.getMessage().splitlines()[1].endswith(f"Functions.Crash. System.Private.CoreLib: {expected}")


async def test_a_crash_spares_the_other_processes(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Crash", "import os\ndef main(input): os._exit(3)")
    app.activity("Pid", PID)
    pool = await start_pool(process_count=2)
    before = {await pool.activity("Pid") for _ in range(2)}
    with pytest.raises(WorkerCrashed):
        await pool.call("Crash")
    [survivor] = {await pool.activity("Pid") for _ in range(4)} & before
    assert is_running(survivor)


async def test_a_process_that_cannot_come_back_is_tried_again_and_again(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    mark = tmp_path / "broken"
    app.activity(
        "F",
        f"""
        import os, pathlib
        mark = pathlib.Path({str(mark)!r})
        if mark.exists():
            print("still broken")
            os._exit(1)

        def main(input):
            if input == "break":
                mark.touch()
                os._exit(3)
            return "fine"
        """,
    )
    pool = await start_pool(limits={"wait_seconds": 0.2})
    with pytest.raises(WorkerCrashed):
        await pool.call("F", {"input": '"break"'})
    await eventually(lambda: caplog.messages.count("still broken") == 2)
    with pytest.raises(WorkerUnresponsive, match="Did not find any initialized language workers"):
        await pool.call("F")
    mark.unlink()

    async def answers() -> bool:
        try:
            return bool(await pool.activity("F") == "fine")
        except WorkerError:
            return False

    await eventually(answers)
    delays = [line.rpartition("another in ")[2] for line in caplog.messages if "Starting another in" in line]
    assert delays[:3] == ["0 seconds.", "1 seconds.", "2 seconds."]


async def test_a_start_that_is_given_up_leaves_no_process_behind(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("F", "import os, time\nprint(os.getpid())\ntime.sleep(60)")
    start = asyncio.ensure_future(start_pool())
    await eventually(lambda: any(line.isdecimal() for line in caplog.messages))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not is_running(int(next(line for line in caplog.messages if line.isdecimal())))


async def test_a_function_that_runs_too_long_loses_its_process(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Wait", "import time\ndef main(input): time.sleep(60)")
    pool = await start_pool(function_timeout_seconds=0.5)
    pid = await pool.activity("Pid")
    with pytest.raises(FunctionTimeout) as timeout:
        await pool.call("Wait")
    assert str(timeout.value) == "Timeout value of 00:00:00.5000000 was exceeded by function: Functions.Wait"
    assert await pool.activity("Pid") != pid
    assert not is_running(pid)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0].startswith("Timeout value of 00:00:00.5000000 exceeded by function 'Functions.Wait' (Id: '")
    assert errors[0].endswith("'). Initiating cancellation.")
    assert errors[1].startswith("A function timeout has occurred. Restarting worker process executing invocationId '")
    assert "Restart of language worker process(es) completed." in caplog.messages


async def test_a_process_that_stops_answering_is_replaced(app: AppBuilder, start_pool: StartPool) -> None:
    pytest.importorskip("fcntl", reason="needs SIGSTOP")
    app.activity("Pid", PID)
    app.activity(
        "Freeze", "import os, signal, time\ndef main(input):\n  os.kill(os.getpid(), signal.SIGSTOP)\n  time.sleep(60)"
    )
    pool = await start_pool(limits={"liveness_seconds": 0.8})
    pid = await pool.activity("Pid")
    with pytest.raises(WorkerCrashed, match=r"It did not answer for 0\.8 seconds\."):
        await pool.call("Freeze")
    assert await pool.activity("Pid") != pid
    assert not is_running(pid)


async def test_a_call_goes_on_after_its_caller_has_gone(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity(
        "Begin",
        """
        import pathlib, time

        def main(input):
            print("begun")
            while not pathlib.Path(input).exists():
                time.sleep(0.01)
        """,
    )
    gate = app.root.parent / "gate"
    pool = await start_pool()
    caller = asyncio.ensure_future(pool.activity("Begin", str(gate)))
    await eventually(lambda: "begun" in caplog.messages)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.touch()
    await eventually(lambda: any("Executed 'Functions.Begin' (Succeeded" in line for line in caplog.messages))


async def test_stop_waits_for_running_calls(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", "import os, time\ndef main(input):\n  print('begun')\n  time.sleep(0.3)\n  return os.getpid()")
    pool = await start_pool()
    call = asyncio.ensure_future(pool.activity("Pid"))
    await eventually(lambda: "begun" in caplog.messages)
    await pool.pool.stop(10)
    assert not is_running(await call)


async def test_stop_kills_calls_that_outlast_its_timeout(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Pid", PID)
    app.activity("Wait", "import time\ndef main(input):\n  print('begun')\n  time.sleep(60)")
    pool = await start_pool()
    pid = await pool.activity("Pid")
    call = asyncio.ensure_future(pool.call("Wait"))
    await eventually(lambda: "begun" in caplog.messages)
    before = time.monotonic()
    await pool.pool.stop(0.1)
    assert time.monotonic() - before < 5
    assert not is_running(pid)
    with pytest.raises(WorkerCrashed):
        await call
    with pytest.raises(WorkerUnresponsive):
        await pool.call("Pid")


async def test_calls_that_the_end_of_the_host_cuts_off_are_one_line_of_the_log_and_no_failures(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Wait", "import time\ndef main(input):\n  print('begun')\n  time.sleep(600)")
    pool = await start_pool()
    calls = [asyncio.ensure_future(pool.call("Wait")) for _ in range(3)]
    # Lines that are printed at the same time may become one.
    await eventually(lambda: "".join(caplog.messages).count("begun") == 3)
    await pool.pool.stop(0)
    await asyncio.gather(*calls, return_exceptions=True)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "The end of the host has cut off running functions: Wait (3). "
        "Activities among them run again after the next start."
    ]


async def test_exit_handlers_of_the_app_run_when_the_pool_stops(
    app: AppBuilder, start_pool: StartPool, tmp_path: Path
) -> None:
    mark = tmp_path / "left"
    app.activity(
        "F",
        f"""
        import atexit, pathlib
        atexit.register(pathlib.Path({str(mark)!r}).touch)
        def main(input): ...
        """,
    )
    pool = await start_pool()
    await pool.pool.stop(0)
    await pool.pool.stop(0)
    assert mark.exists()


async def test_processes_that_user_code_started_end_with_their_worker(app: AppBuilder, start_pool: StartPool) -> None:
    pytest.importorskip("fcntl", reason="needs process groups")
    app.activity(
        "Start",
        """
        import subprocess, sys
        def main(input): return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE).pid
        """,
    )
    app.activity("Crash", "import os\ndef main(input): os._exit(3)")
    pool = await start_pool()
    pid = await pool.activity("Start")
    assert is_running(pid)
    with pytest.raises(WorkerCrashed):
        await pool.call("Crash")
    await eventually(lambda: not is_running(pid))


async def test_a_process_that_cannot_start_fails_the_start(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Pid", PID)
    app.file("broken/azure/functions/__init__.py", "raise RuntimeError('no SDK here')")
    app.file("broken/azure/__init__.py", "")
    line = r"yet\. azure\.functions cannot be imported under \S+: RuntimeError: no SDK here \(\S+, line 1\)\."
    with pytest.raises(WorkerError, match=line):
        await start_pool(environment={"PYTHONPATH": str(app.root / "broken")}, process_count=2)


async def test_an_interpreter_that_cannot_be_run_fails_the_start(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Pid", PID)
    with pytest.raises(WorkerUnresponsive, match="could not be started"):
        await start_pool(python=str(app.root / "absent"))


async def test_a_process_that_is_not_ready_in_time_fails_the_start(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Slow", "import time; time.sleep(60)")
    with pytest.raises(WorkerUnresponsive, match=r"not ready within 0\.5 seconds"):
        await start_pool(limits={"load_seconds": 0.5})


HOST = """
import asyncio, json, os, sys
from pathlib import Path
from durablehost.app.discovery import discover
from durablehost.app.invocation import Invocation
from durablehost.worker.pool import WorkerPool

async def run():
    app = discover(Path(sys.argv[1]), find_setting=lambda _: None)
    pool = WorkerPool(app, environment=os.environ, client_input=lambda _: "")
    await pool.start()
    result = await pool.invoke(Invocation(invocation_id="1", function_name="Start", inputs={"input": "null"}))
    print(result.return_value, flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_host_leaves_no_process_behind(app: AppBuilder) -> None:
    app.activity(
        "Start",
        """
        import os, subprocess, sys, threading

        def main(input):
            threading.Thread(target=threading.Event().wait).start()
            return [os.getpid(), subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE).pid]
        """,
    )
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(app.root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(durablehost.__file__).parents[1])},
    ) as host:
        assert host.stdout is not None
        pids = json.loads(host.stdout.readline())
        assert all(map(is_running, pids))
        host.send_signal(signal.SIGKILL)
    eventually_blocking(lambda: not any(map(is_running, pids)))


async def test_a_thousand_small_calls_all_end(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Echo", "def main(input): return input")
    pool = await start_pool(process_count=2)
    results: list[InvocationResult] = await asyncio.gather(
        *(pool.call("Echo", {"input": str(number)}) for number in range(1000))
    )
    assert [result.return_value for result in results] == [str(number) for number in range(1000)]
