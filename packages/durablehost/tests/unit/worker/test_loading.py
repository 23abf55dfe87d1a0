"""How an app is imported in its process: the `__app__` scheme, the search path, and the text of each failure."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from durablehost.worker import bootstrap
from packages.durablehost.tests.unit.worker.conftest import ACTIVITY, AppBuilder, StartPool


async def test_every_import_form_gives_the_same_modules_as_in_azure(app: AppBuilder, start_pool: StartPool) -> None:
    app.file("shared_code/__init__.py", "")
    app.file("shared_code/domain.py", "")
    app.activity(
        "Imports",
        """
        from shared_code import domain as absolute
        from ..shared_code import domain as relative
        from __app__.shared_code import domain as old
        from . import sibling

        def main(input):
            return [module.__name__ for module in (absolute, relative, old, sibling)] + [relative is old, __name__]
        """,
    )
    app.file("Imports/sibling.py", "")
    app.activity("Plain", "import sibling\ndef main(input): ...")
    app.file("Plain/sibling.py", "")
    pool = await start_pool()
    assert await pool.activity("Imports") == [
        "shared_code.domain",
        "__app__.shared_code.domain",
        "__app__.shared_code.domain",
        "__app__.Imports.sibling",
        True,
        "__app__.Imports",
    ]
    assert pool.pool.load_errors["Plain"].startswith(
        "ModuleNotFoundError: No module named 'sibling'. Cannot find module. Please check the requirements.txt file"
    )


async def test_the_root_is_the_working_directory_and_last_on_the_path(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Where", "import os, sys\ndef main(input): return [os.getcwd(), sys.path[-1], sys.path[0], sys.stdin.read()]"
    )
    cwd, last, first, stdin = await (await start_pool()).activity("Where")
    assert cwd == last == str(app.root)
    assert first not in (str(app.root), str(Path(bootstrap.__file__).parent))
    assert stdin == ""


async def test_a_script_may_have_another_name_place_and_entry_point(app: AppBuilder, start_pool: StartPool) -> None:
    app.function("Named", ACTIVITY, source="", scriptFile="code.py", entryPoint="begin")
    app.file("Named/code.py", "def begin(input): return __name__")
    app.function("My-Elsewhere", ACTIVITY, source="", scriptFile="../scripts/code.py")
    app.file("scripts/code.py", "def main(input): return __name__")
    pool = await start_pool()
    assert await pool.activity("Named") == "__app__.Named.code"
    assert await pool.activity("My-Elsewhere") == "__app__.scripts.code"


FAULTS = {
    "Outside": ("../../outside.py", "", "RuntimeError: script path "),
    "Text": ("notes.txt", "", "RuntimeError: cannot load function Text: invalid Python filename notes.txt"),
    "Nothing": (
        "code.py",
        "",
        "RuntimeError: cannot load function Nothing: function main() is not present in Nothing/code.py",
    ),
    "Number": (
        "code.py",
        "main = 5",
        "RuntimeError: cannot load function Number: function main() is not present in Number/code.py",
    ),
    "Division": ("code.py", "1 / 0", "ZeroDivisionError: division by zero"),
    "Loop": (
        "code.py",
        "import asyncio\nasyncio.get_event_loop().run_until_complete(asyncio.sleep(0))",
        "RuntimeError: This event loop is already running. Modules are imported while the event loop runs, here as in",
    ),
    "Exit": ("code.py", "raise SystemExit(3)", "SystemExit: 3"),
    "Interrupt": ("code.py", "raise KeyboardInterrupt", "KeyboardInterrupt: "),
    "Parameters": (
        "code.py",
        "def main(): ...",
        "SignatureError: cannot load the Parameters function: "
        "the following parameters are declared in function.json but not in Python: {'input'}",
    ),
}


async def test_a_function_that_fails_to_load_fails_its_calls_and_stops_no_other(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (script, source, _) in FAULTS.items():
        app.function(name, ACTIVITY, source="", scriptFile=script)
        app.file(f"{name}/{script}", source)
    app.activity("Good", "def main(input): return 1")
    pool = await start_pool()
    assert set(pool.pool.load_errors) == set(FAULTS)
    for name, (_, _, message) in FAULTS.items():
        assert pool.pool.load_errors[name].startswith(message)
        failure = (await pool.call(name)).failure
        assert failure is not None
        assert f"{failure.type_name}: {failure.message}".startswith(message)
        [record] = [r for r in caplog.records if r.getMessage().startswith(f"Worker failed to load function: '{name}'")]
        assert (record.name, record.levelno) == ("Host.Worker", logging.ERROR)
    assert await pool.activity("Good") == 1


async def test_a_wrong_signature_is_one_line_with_file_and_function(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Parameters", "def main(): ...")
    app.activity("Annotation", "from __future__ import annotations\ndef main(input: Absent): ...")
    await start_pool()
    lines = [each.getMessage() for each in caplog.records if "failed to load" in each.getMessage()]
    assert sorted(lines) == [
        "Worker failed to load function: 'Annotation' with functionId: 'Annotation'. "
        f"{app.root / 'Annotation' / '__init__.py'}: NameError: cannot load the Annotation function: "
        "in an annotation, name 'Absent' is not defined",
        "Worker failed to load function: 'Parameters' with functionId: 'Parameters'. "
        f"{app.root / 'Parameters' / '__init__.py'}: SignatureError: cannot load the Parameters function: "
        "the following parameters are declared in function.json but not in Python: {'input'}",
    ]


async def test_a_syntax_error_is_shown_with_its_line_alone(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Syntax", "def main(input):\n    return (")
    await start_pool()
    [text] = [each.getMessage() for each in caplog.records if "failed to load" in each.getMessage()]
    assert [line.strip().partition(" line ")[2] for line in text.splitlines() if '  File "' in line] == ["2"]


async def test_processes_that_user_code_spawns_import_none_of_durablehost(
    app: AppBuilder, start_pool: StartPool
) -> None:
    app.activity(
        "Spawn",
        """
        import multiprocessing, os, sys

        def main(input):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return [pool.apply(len, ("abc",)), pool.apply(os.getpid) != os.getpid()]
        """,
    )
    assert await (await start_pool()).activity("Spawn") == [3, True]


async def test_each_process_imports_the_app_once(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity(
        "Count",
        """
        calls = []

        def main(input):
            calls.append(1)
            return len(calls)
        """,
    )
    pool = await start_pool(process_count=2)
    assert sorted([await pool.activity("Count") for _ in range(4)]) == [1, 1, 2, 2]


async def test_the_stack_of_a_failed_import_begins_in_user_code(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture
) -> None:
    app.activity("Broken", "import nowhere_to_be_found\ndef main(input): ...")
    await start_pool()
    text = "\n".join(record.getMessage() for record in caplog.records if "failed to load" in record.getMessage())
    frames = [line for line in text.splitlines() if line.lstrip().startswith("File ")]
    assert len(frames) == 1
    assert "Broken" in frames[0]


async def test_code_that_is_imported_may_use_the_event_loop(app: AppBuilder, start_pool: StartPool) -> None:
    """Within a task of the loop of the functions, as in the Azure worker. `nested` does what nest_asyncio does."""
    app.activity(
        "Looping",
        """
        import asyncio

        async def later():
            await asyncio.sleep(0.01)
            return 5

        def nested(awaited):
            loop, importing = asyncio.get_running_loop(), asyncio.current_task()
            task = loop.create_task(awaited)
            asyncio.tasks._leave_task(loop, importing)
            while not task.done():
                loop._run_once()
            asyncio.tasks._enter_task(loop, importing)
            return task.result()

        loop = asyncio.get_event_loop()
        begun = loop.create_task(later())
        value = nested(later())

        async def main(input):
            return [value, await begun, loop is asyncio.get_running_loop()]
        """,
    )
    pool = await start_pool()
    assert await pool.activity("Looping") == [5, 5, True]
    assert await pool.activity("Looping") == [5, 5, True]


async def test_an_older_azure_functions_serves_too(app: AppBuilder, start_pool: StartPool) -> None:
    """Before version 1.8 it had no types of contexts, before 1.11 no cookies in responses."""
    app.file(
        "older/sitecustomize.py",
        """
        import azure.functions as func
        from azure.functions import _abc, http

        del _abc.TraceContext, _abc.RetryContext

        def encode(value, *, expected_type):
            headers = {name: func.meta.Datum(text, "string") for name, text in value.headers.items()}
            status = func.meta.Datum(str(value.status_code), "string")
            members = {"status_code": status, "headers": headers, "body": func.meta.Datum(value.get_body(), "bytes")}
            return func.meta.Datum(members, "http")

        http.HttpResponseConverter.encode = encode
        """,
    )
    app.http(
        "Answer",
        """
        import azure.functions as func

        def main(req: func.HttpRequest, context: func.Context):
            text = f"{context.trace_context.Traceparent}{context.retry_context.retry_count}"
            return func.HttpResponse(text, headers={"x-a": "1"})
        """,
    )
    # Relative to the app, as on the Functions host.
    pool = await start_pool(environment={"PYTHONPATH": "older"})
    response = (await pool.http("Answer", trace_parent="00-1")).response
    assert response is not None
    assert (response.body, response.headers["x-a"], response.cookies) == (b"00-10", "1", ())


async def test_names_of_the_app_never_replace_python_or_packages(app: AppBuilder, start_pool: StartPool) -> None:
    """The root is searched last; the app's own module of such a name can be imported relatively, as in Azure."""
    for name in ("json", "queue", "azure/__init__", "durablehost/__init__", "worker/__init__"):
        app.file(f"{name}.py", "owner = 'app'")
    app.activity(
        "Names",
        """
        import json, queue, worker
        import azure.functions, azure.durable_functions
        from .. import json as own

        def main(input):
            return [hasattr(json, "loads"), hasattr(queue, "Queue"), worker.owner, own.owner]
        """,
    )
    assert await (await start_pool()).activity("Names") == [True, True, "app", "app"]
