"""Logs and prints of user code arrive in the host's logging, with the call they belong to."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from durablehost.app.invocation import Invocation
from durablehost.worker.process import _Output
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.worker.conftest import AppBuilder, StartPool


def records(caplog: pytest.LogCaptureFixture, name: str) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == name]


async def test_a_call_is_framed_by_its_lines(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("F", "import logging\ndef main(input, context): logging.info('%s', context.invocation_id)")
    await (await start_pool()).call("F", reason="because")
    lines = [record for record in caplog.records if record.name.startswith("Function.F")]
    call_id = lines[1].getMessage()
    assert [(line.name, line.levelno) for line in lines] == [
        ("Function.F", logging.INFO),
        ("Function.F.User", logging.INFO),
        ("Function.F", logging.INFO),
    ]
    assert lines[0].getMessage() == f"Executing 'Functions.F' (Reason='because', Id={call_id})"
    ended = lines[2].getMessage()
    assert ended.startswith(f"Executed 'Functions.F' (Succeeded, Id={call_id}, Duration=")
    assert ended.endswith("ms)")


async def test_a_failed_call_is_an_error_with_its_stack(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("F", "def main(input): raise ValueError('boom')")
    await (await start_pool()).call("F")
    level, text = records(caplog, "Function.F")[-1]
    first, second, third, fourth, *stack = text.splitlines()
    assert level == logging.ERROR
    assert first.startswith("Executed 'Functions.F' (Failed, Id=")
    assert second == (
        "System.Private.CoreLib: Exception while executing function: Functions.F. "
        "System.Private.CoreLib: Result: Failure"
    )
    assert third == "Exception: ValueError: boom"
    assert fourth == "Stack: Traceback (most recent call last):"
    assert stack[-1] == "ValueError: boom"


async def test_records_of_tasks_and_threads_belong_to_their_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity(
        "Async",
        """
        import asyncio, logging

        async def main(input):
            await asyncio.sleep(0)
            logging.warning("task %s", input)
            await asyncio.to_thread(logging.warning, "thread of task %s", input)
            await asyncio.create_task(inner(input))

        async def inner(input):
            logging.warning("inner task %s", input)
        """,
    )
    app.activity(
        "Sync",
        """
        import logging, threading

        def main(input, context):
            logging.warning("pool thread %s", input)
            thread = threading.Thread(target=own, args=(input, context))
            thread.start()
            thread.join()
            foreign = threading.Thread(target=logging.warning, args=("foreign thread",))
            foreign.start()
            foreign.join()

        def own(input, context):
            context.thread_local_storage.invocation_id = context.invocation_id
            logging.warning("user thread %s", input)
        """,
    )
    pool = await start_pool()
    await asyncio.gather(*(pool.activity(name, n) for name in ("Async", "Sync") for n in range(5)))
    assert sorted(records(caplog, "Function.Async.User")) == sorted(
        (logging.WARNING, f"{what} {n}") for what in ("inner task", "task", "thread of task") for n in range(5)
    )
    assert sorted(records(caplog, "Function.Sync.User")) == sorted(
        (logging.WARNING, f"{what} {n}") for what in ("pool thread", "user thread") for n in range(5)
    )
    assert records(caplog, "Host.Function.Console").count((logging.WARNING, "foreign thread")) == 5


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (
            "logging.error('%s of %s', 1)",
            "cannot be formatted: TypeError: not enough arguments for format string. "
            "Its text is '%s of %s', its arguments are (1,).",
        ),
        (
            "logging.error('%s', Odd())",
            "cannot be formatted: ZeroDivisionError: division by zero. "
            "Its text is '%s', its arguments are of type tuple, whose repr() raised ZeroDivisionError.",
        ),
    ],
    ids=["wrong format", "argument that cannot be shown"],
)
async def test_a_record_that_cannot_be_formatted_is_one_line_with_its_place(
    call: str, shown: str, app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    odd = "class Odd:\n  def __str__(self): return 1/0\n  __repr__ = __str__"
    app.activity("F", f"import logging\n{odd}\ndef main(input): {call}")
    await (await start_pool()).call("F")
    place = f"A log record of {app.root / 'F' / '__init__.py'}, line 5,"
    assert records(caplog, "Function.F.User") == [(logging.ERROR, f"{place} {shown}")]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("is_debug", [True, False])
async def test_levels_are_mapped_and_debug_is_opt_in(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, is_debug: bool
) -> None:
    app.activity(
        "F",
        """
        import logging

        def main(input):
            for level in (10, 20, 25, 30, 40, 50, 60):
                logging.log(level, "at %d", level)
            logging.getLogger("azure.functions.x").warning("system")
            logging.getLogger("azure_functions_worker.x").warning("system too")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("failed")
        """,
    )
    pool = await start_pool(environment={"PYTHON_ENABLE_DEBUG_LOGGING": "1" if is_debug else "0"})
    await pool.activity("F")
    *plain, (level, with_stack) = records(caplog, "Function.F.User")
    expected = [(10, 10), (20, 20), (20, 25), (30, 30), (40, 40), (50, 50), (50, 60)]
    assert plain == [(mapped, f"at {number}") for mapped, number in expected[0 if is_debug else 1 :]]
    assert (level, with_stack.splitlines()[-1]) == (logging.ERROR, "ZeroDivisionError: division by zero")
    system = records(caplog, "Host.Worker")
    assert [record for record in system if "system" in record[1]] == [
        (logging.WARNING, "system"),
        (logging.WARNING, "system too"),
    ]


async def test_a_record_at_import_time_is_shown(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("F", "import logging\nlogging.info('importing')\ndef main(input): ...")
    await start_pool()
    assert (logging.INFO, "importing") in records(caplog, "Host.Function.Console")


async def test_printed_lines_are_shown_with_the_level_of_their_words(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity(
        "F",
        """
        import sys

        def main(input):
            print("hellö")
            print("an error on stdout")
            print("UserWarning: careful", file=sys.stderr)
            print("it failed", file=sys.stderr)
            print("calm", file=sys.stderr)
        """,
    )
    await (await start_pool()).activity("F")
    expected = [
        (logging.INFO, "hellö"),
        (logging.INFO, "an error on stdout"),
        (logging.WARNING, "UserWarning: careful"),
        (logging.ERROR, "it failed"),
        (logging.INFO, "calm"),
    ]
    await eventually(lambda: set(expected) <= set(records(caplog, "Host.Function.Console")))


async def test_megabytes_of_output_block_no_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity(
        "F",
        """
        import logging, os

        def main(input):
            print("x" * 3_000_000)
            for _ in range(20):
                print("y" * 50_000)
                logging.info("z" * 50_000)
            os.write(2, b"\\x00\\xff" * 500_000 + b"\\n")
        """,
    )
    pool = await start_pool()
    await pool.activity("F")

    def printed(letter: str) -> int:
        return sum(text.count(letter) for _, text in records(caplog, "Host.Function.Console"))

    await eventually(lambda: printed("x") == 3_000_000 and printed("y") == 1_000_000 and printed("\x00") == 500_000)
    assert (logging.INFO, "x" * 3_000_000) in records(caplog, "Host.Function.Console")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reads pipes in another way")
async def test_many_lines_leave_the_loop_free_in_between(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = _Output.pipe_data_received

    def note_size(self: _Output, fd: int, data: bytes) -> None:
        sizes.append(len(data))
        original(self, fd, data)

    monkeypatch.setattr(_Output, "pipe_data_received", note_size)
    app.activity("F", "def main(input): print('\\n' * 50_000 + 'end')")
    await (await start_pool()).activity("F")
    await eventually(lambda: (logging.INFO, "end") in records(caplog, "Host.Function.Console"))
    assert max(sizes) <= 4096


async def test_a_forked_copy_of_the_process_disturbs_nothing(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("fcntl", reason="needs fork")
    app.activity(
        "F",
        """
        import logging, os, sys

        def main(input):
            pid = os.fork()
            if pid == 0:
                logging.info("in the copy")
                if input == "exit":
                    sys.exit(7)
                if input == "raise":
                    raise ValueError
                return "copy"
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """,
    )
    pool = await start_pool()
    assert [await pool.activity("F", how) for how in ("exit", "raise", "return")] == [7, 0, 0]
    await eventually(lambda: records(caplog, "Host.Function.Console").count((logging.INFO, "INFO: in the copy")) == 3)


async def test_a_record_is_known_by_the_call_that_it_belongs_to(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity(
        "F",
        """
        import logging, threading

        def main(input):
            logging.info("of the call")
            logging.getLogger("azure.functions.x").warning("of a library")
            foreign = threading.Thread(target=logging.info, args=("of nobody",))
            foreign.start()
            foreign.join()
            raise ValueError("boom")
        """,
    )
    pool = (await start_pool()).pool
    invocation = Invocation(
        invocation_id="call-1", function_name="F", inputs={"input": "1"}, instance_id="run", task_id=7
    )
    await pool.invoke(invocation)
    messages = {record.getMessage(): vars(record).get("call") for record in caplog.records}
    known = {text.split(" (")[0]: call for text, call in messages.items() if text.startswith(("of ", "Ex"))}
    assert {text: call and (call.instance_id, call.task_id) for text, call in known.items()} == {
        "Executing 'Functions.F'": None,
        "of the call": ("run", 7),
        "Executed 'Functions.F'": ("run", 7),
        "of a library": None,
        "of nobody": None,
    }
