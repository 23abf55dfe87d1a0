"""Parses large texts, which would block the event loop for seconds.

Python's `json` holds the interpreter lock from the first character to the last, so that a thread would block the event
loop all the same. A large text is parsed in a process of its own, one at a time; the memory of its values, about ten
times the text, is freed with that process.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, Union
from weakref import WeakKeyDictionary

from durablehost.errors import WorkerCrashed

Text = TypeVar("Text", str, bytes)

# Parsing so much takes a tenth of a second at worst, about as long as to start a process.
LARGE = 1024 * 1024
# A JSON text that is a single string has a single value to make.
LARGE_STRING = 64 * LARGE
_PIECE_SIZE = 1024 * 1024
_PACKAGE_PARENT = str(Path(__file__).parents[1])

_TEXT, _NOTHING, _ERROR = b"t", b"n", b"e"

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def call_on_text(function: Callable[[Text], str | None], text: Text) -> str | None:
    """The result of a pure function of a module for a text; in another process if the text is large.

    Raises what the function raises.

    Raises:
        WorkerCrashed: that process ended, most likely for lack of memory.
    """
    if len(text) < (LARGE_STRING if text[:1] in ('"', b'"') else LARGE):
        return function(text)
    async with _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        return await _call_in_process(function, text)


async def join_pieces(pieces: Iterator[str]) -> str:
    """Joins the pieces; if they are large, the rest of them is made in a thread."""
    made: list[str] = []
    size = 0
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > LARGE:
            return await asyncio.to_thread(lambda: "".join([*made, *pieces]))
    return "".join(made)


async def _call_in_process(function: Callable[[Text], str | None], text: Text) -> str | None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        function.__module__,
        function.__name__,
        type(text).__name__,
        cwd=_PACKAGE_PARENT,
        # -m finds the package in the working directory, unless this variable forbids it.
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=sys.platform != "win32",  # Ctrl+C is for the host, which drains
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        reading = asyncio.ensure_future(process.stdout.read())
        with suppress(OSError):
            for start in range(0, len(text), _PIECE_SIZE):
                process.stdin.write(_encoded(text[start : start + _PIECE_SIZE]))
                await process.stdin.drain()
        process.stdin.close()
        answer = await reading
        if await process.wait() != 0:
            raise WorkerCrashed(
                f"The process that parsed a text of {len(text)} characters exited with code {process.returncode}: "
                "the machine may lack memory."
            )
        return _result(answer)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _result(answer: bytes) -> str | None:
    kind = answer[:1]
    if kind == _ERROR:
        raise pickle.loads(answer[1:])
    return str(memoryview(answer)[1:], "utf-8", "surrogatepass") if kind == _TEXT else None


def _encoded(text: Union[str, bytes]) -> bytes:  # noqa: UP007
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def main(module: str, name: str, type_name: str) -> None:
    """Runs in the process: reads the text from stdin, writes the result of the function to stdout."""
    function: Callable[[Any], str | None] = getattr(importlib.import_module(module), name)
    data = sys.stdin.buffer.read()
    try:
        result = function(data.decode("utf-8", "surrogatepass") if type_name == "str" else data)
        answer = (_NOTHING, b"") if result is None else (_TEXT, _encoded(result))
    except Exception as error:
        answer = (_ERROR, pickle.dumps(error))
    sys.stdout.buffer.writelines(answer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
