"""How an app is imported in its process: the `__app__` scheme, the search path, and what each failure says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.unit.devhost.worker.conftest import ACTIVITY, AppBuilder, StartPool


async def test_the_import_forms_of_a_function_give_the_modules_they_give_in_azure(
    app: AppBuilder, start_pool: StartPool
) -> None:
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
    assert first not in (str(app.root), str(Path(__file__).parents[4]))
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
    "Exit": ("code.py", "raise SystemExit(3)", "SystemExit: 3"),
    "Interrupt": ("code.py", "raise KeyboardInterrupt", "KeyboardInterrupt: "),
    "Parameters": (
        "code.py",
        "def main(): ...",
        "SignatureError: cannot load the Parameters function: "
        "the following parameters are declared in function.json but not in Python: {'input'}",
    ),
}


async def test_what_fails_to_load_fails_each_call_and_stops_no_other(
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


async def test_processes_that_user_code_spawns_import_none_of_devhost(app: AppBuilder, start_pool: StartPool) -> None:
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
