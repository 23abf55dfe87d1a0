"""The worker process: started by the pool as `python -m devhost.worker.child`, it runs the functions of one app.

The event loop of the main thread runs coroutine functions, a thread pool the plain ones, and one more thread reads the
host's frames, so that the process answers a ping while user code blocks the loop. Its stdin names the way back to the
host (one line of JSON), its stdout and stderr belong to user code. Mirrors `azure_functions_worker.dispatcher`.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from devhost.app.invocation import Failure, Invocation, InvocationResult
from devhost.errors import FrameTooLarge
from devhost.worker import channel as channels
from devhost.worker import loader, records
from devhost.worker.channel import Channel
from devhost.worker.failure import describe
from devhost.worker.invoker import call, call_async
from devhost.worker.protocol import (
    Hello,
    Invoke,
    Load,
    Loaded,
    Loading,
    Message,
    Ping,
    Pong,
    Recall,
    Recalled,
    Result,
    Shutdown,
)

_TRUTHS = ("1", "true", "yes")


class Child:
    """Answers the frames of the host until it says Shutdown or is gone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._functions: Mapping[str, loader.LoadedFunction] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Calls that have not begun, by id. Whoever removes one owns it: its thread, its task, or a recall.
        self._waiting: dict[str, Invocation] = {}

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._shutdown = asyncio.Event()
        threading.Thread(target=self._receive, name="devhost-receive", daemon=True).start()
        await self._shutdown.wait()

    def _receive(self) -> None:
        try:
            for message in self._channel.received():
                self._dispatch(message)
                # The next one may be long in coming.
                del message
        except BaseException:
            traceback.print_exc()
        finally:
            # Without its host the process has nobody to work for, and must not stay behind.
            _end_with_the_host()

    def _dispatch(self, message: Message) -> None:
        if isinstance(message, Ping):
            self._channel.send(Pong())
        elif isinstance(message, Invoke):
            self._begin(message.invocation)
        elif isinstance(message, Recall):
            self._recall()
        elif isinstance(message, Load):
            self._loop.call_soon_threadsafe(self._load, message)
        elif isinstance(message, Shutdown):
            self._loop.call_soon_threadsafe(self._shutdown.set)

    def _load(self, message: Load) -> None:
        # In the thread of the loop: modules may look the running loop up, or install signal handlers.
        loader.install(message.root)
        self._threads = ThreadPoolExecutor(max_workers=message.thread_count, thread_name_prefix="function")
        self._functions, failures = loader.load_all(message.functions, self._tell_loading)
        self._channel.send(Loaded(failures=failures))

    def _tell_loading(self, name: str) -> None:
        self._channel.send(Loading(function_name=name))

    def _begin(self, invocation: Invocation) -> None:
        self._waiting[invocation.invocation_id] = invocation
        try:
            function = self._functions[invocation.function_name]
            if function.is_async:
                self._loop.call_soon_threadsafe(self._begin_task, function, invocation)
            else:
                self._thread_pool().submit(self._run, function, invocation)
        except Exception as error:
            # No thread can be started, or the pool is shut down: the call fails, not the process.
            if self._take(invocation.invocation_id):
                self._answer(invocation, InvocationResult(failure=describe(error)))

    def _thread_pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise RuntimeError("no function is loaded yet")
        return self._threads

    def _recall(self) -> None:
        for invocation_id in tuple(self._waiting):
            if self._take(invocation_id):
                self._channel.send(Recalled(invocation_id=invocation_id))

    def _take(self, invocation_id: str) -> bool:
        """Whether the caller is the one to begin or to recall this call; a single step, so any thread may ask."""
        return self._waiting.pop(invocation_id, None) is not None

    def _begin_task(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        if not self._take(invocation.invocation_id):
            return
        task = self._loop.create_task(self._run_async(function, invocation), name=invocation.invocation_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        if not self._take(invocation.invocation_id):
            return
        try:
            result = call(function, invocation)
        except SystemExit as error:
            result = self._ended_by(error)
        self._answer(invocation, result)

    async def _run_async(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        try:
            result = await call_async(function, invocation)
        except SystemExit as error:
            result = self._ended_by(error)
        self._answer(invocation, result)

    def _ended_by(self, error: SystemExit) -> InvocationResult:
        """Fails the call, not the process that it shares with others; a copy that user code has forked does end."""
        if self._channel.is_forked:
            _end_process(error)
        return InvocationResult(failure=describe(error))

    def _answer(self, invocation: Invocation, result: InvocationResult) -> None:
        if self._channel.is_forked:
            # User code forked in this call and both copies returned: the copy's work is done.
            _end_process(SystemExit(0))
        try:
            try:
                self._channel.send(Result(invocation_id=invocation.invocation_id, result=result))
            except FrameTooLarge as error:
                text = f"The result of function '{invocation.function_name}' is too large: {error}."
                failed = InvocationResult(failure=Failure(type_name="ValueError", message=text, stack=""))
                self._channel.send(Result(invocation_id=invocation.invocation_id, result=failed))
        except BaseException:
            # A call without an answer would never end.
            traceback.print_exc()
            _end_with_the_host()


def _end_process(error: SystemExit) -> NoReturn:
    """What the interpreter does with a SystemExit in the main thread, but at once, whatever other threads do."""
    code = error.code
    # User code may have closed or replaced the streams.
    with contextlib.suppress(Exception):
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does it
        sys.stdout.flush()
        sys.stderr.flush()
    number = code if isinstance(code, int) else 0 if code is None else 1
    os._exit(number & 0xFF)


def _end_with_the_host() -> NoReturn:
    """Takes what user code has started along."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _take_stdin() -> Mapping[str, object]:
    """Reads the line the pool wrote; user code finds an empty stdin."""
    ticket: Mapping[str, object] = json.loads(sys.stdin.readline())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return ticket


def _leave_no_traces() -> None:
    """Makes the process look to user code as if nobody had started it by this module.

    The folder that holds devhost came first on `sys.path`; all modules of devhost are imported by now. Without its spec
    and file, `__main__` is left alone by child processes that `multiprocessing` spawns.
    """
    if Path(sys.path[0]) == Path(__file__).parents[2]:
        del sys.path[0]
    main_module = sys.modules["__main__"]
    main_module.__spec__ = None
    main_module.__dict__.pop("__file__", None)


def main() -> None:
    # A crash in native code says at least where it was.
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    ticket = _take_stdin()
    channel = channels.connect(int(str(ticket["port"])))
    channel.send(Hello(token=str(ticket["token"])))
    _leave_no_traces()
    is_debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in _TRUTHS
    records.install(channel, is_debug=is_debug)
    try:
        asyncio.run(Child(channel).serve())
    except SystemExit as error:
        # Raised by a task that user code started.
        _end_process(error)


if __name__ == "__main__":
    main()
