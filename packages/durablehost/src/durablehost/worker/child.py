"""The worker process: started by the pool through `bootstrap.py`, it runs the functions of one app.

The event loop of the main thread runs coroutine functions, a thread pool the plain ones, and one more thread reads the
host's frames, so that the process answers a ping while user code blocks the loop. Its stdin has the port and the token
of the host (one line of JSON) and ends with the host. Its stdout and stderr belong to user code. Mirrors
`azure_functions_worker.dispatcher`.
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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.errors import FrameTooLarge
from durablehost.worker import channel as channels
from durablehost.worker import loader, records
from durablehost.worker.channel import Channel
from durablehost.worker.failure import describe
from durablehost.worker.invoker import call, call_async
from durablehost.worker.protocol import (
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
from durablehost.worker.switch import is_on

_PR_SET_PDEATHSIG = 1


class Child:
    """Handles the frames of the host until Shutdown, or until the host is gone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = asyncio.new_event_loop()
        self._is_shut_down = False
        self._functions: Mapping[str, loader.LoadedFunction] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Calls that have not begun, by id. What removes one owns it: its thread, its task, or a recall.
        self._waiting: dict[str, Invocation] = {}

    def serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        threading.Thread(target=self._receive, name="durablehost-receive", daemon=True).start()
        # User code may stop the loop, or cancel all tasks of it, and other calls need it. So it is not `asyncio.run`,
        # whose main task would end with that.
        while not self._is_shut_down:
            self._loop.run_forever()
        self._loop.run_until_complete(self._close())

    async def _close(self) -> None:
        """Ends what user code has left behind, as `asyncio.run` does."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _receive(self) -> None:
        try:
            for message in self._channel.received():
                self._dispatch(message)
                # Frees its payload before waiting for the next one.
                del message
        except BaseException as error:
            _end_broken("A worker process cannot read what its host sends", error)
        finally:
            # The process must not outlive its host.
            _end_with_the_host()

    def _dispatch(self, message: Message) -> None:
        if isinstance(message, Ping):
            self._channel.send(Pong())
        elif isinstance(message, Invoke):
            self._begin(message.invocation)
        elif isinstance(message, Recall):
            self._recall()
        elif isinstance(message, Load):
            self._loop.call_soon_threadsafe(self._begin_load, message)
        elif isinstance(message, Shutdown):
            self._loop.call_soon_threadsafe(self._shut_down)

    def _shut_down(self) -> None:
        self._is_shut_down = True
        self._loop.stop()

    def _begin_load(self, message: Load) -> None:
        task = self._loop.create_task(self._load(message), name="load")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, message: Load) -> None:
        # In a task of the loop, as in the Azure worker: modules may look up the running loop, start tasks, or install
        # signal handlers. `nest_asyncio` lets them even run the loop while this step of it runs, which works because a
        # new task has an iteration of the loop to itself.
        loader.install(message.root)
        self._threads = ThreadPoolExecutor(max_workers=message.thread_count, thread_name_prefix="function")
        self._functions, failures = loader.load_all(
            message.functions, lambda name: self._channel.send(Loading(function_name=name))
        )
        self._channel.send(Loaded(failures=failures))

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
                self._send_result(invocation, InvocationResult(failure=describe(error)))

    def _thread_pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise RuntimeError("no function is loaded yet")
        return self._threads

    def _recall(self) -> None:
        for invocation_id in tuple(self._waiting):
            if self._take(invocation_id):
                self._channel.send(Recalled(invocation_id=invocation_id))

    def _take(self, invocation_id: str) -> bool:
        """Whether the caller may begin or recall this call. Atomic, so that any thread may ask."""
        return self._waiting.pop(invocation_id, None) is not None

    def _begin_task(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        if not self._take(invocation.invocation_id):
            return
        task = self._loop.create_task(self._run_async(function, invocation), name=invocation.invocation_id)
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                # By user code, before its first step.
                self._send_result(invocation, InvocationResult(failure=describe(asyncio.CancelledError())))

        task.add_done_callback(end)

    def _run(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        if not self._take(invocation.invocation_id):
            return
        try:
            result = call(function, invocation)
        except SystemExit as error:
            result = self._ended_by(error)
        self._send_result(invocation, result)

    async def _run_async(self, function: loader.LoadedFunction, invocation: Invocation) -> None:
        try:
            result = await call_async(function, invocation)
        except SystemExit as error:
            result = self._ended_by(error)
        self._send_result(invocation, result)

    def _ended_by(self, error: SystemExit) -> InvocationResult:
        """Fails the call, not the process that it shares with others; a forked copy of the process ends."""
        if self._channel.is_forked:
            _end_process(error)
        return InvocationResult(failure=describe(error))

    def _send_result(self, invocation: Invocation, result: InvocationResult) -> None:
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
        except BaseException as error:
            # Without a result the call would never end.
            _end_broken(f"The result of function '{invocation.function_name}' cannot be sent to the host", error)


def _end_process(error: SystemExit) -> NoReturn:
    """Ends the process as a SystemExit in the main thread does, but at once, whatever other threads do."""
    code = error.code
    # User code may have closed or replaced the streams.
    with contextlib.suppress(Exception):
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does it
        sys.stdout.flush()
        sys.stderr.flush()
    number = code if isinstance(code, int) else 0 if code is None else 1
    os._exit(number & 0xFF)


def _end_broken(problem: str, error: BaseException) -> NoReturn:
    """Ends a process that cannot go on, most likely for what user code has done to it: perhaps even to printing."""
    with contextlib.suppress(BaseException):
        hint = "Has a function closed files or replaced builtins?"
        print(f"{problem}: {type(error).__name__}: {error}. {hint}", file=sys.stderr)  # noqa: T201
    _end_with_the_host()


def _end_with_the_host() -> NoReturn:
    """Ends the process, and those that user code has started from it."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _read_ticket() -> Mapping[str, object]:
    """Reads the line that the pool wrote, and leaves an empty stdin to user code."""
    ticket: Mapping[str, object] = json.loads(sys.stdin.readline())
    _watch_the_host()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return ticket


def _watch_the_host() -> None:
    """Leaves a process behind that ends this one, and those that user code starts, once the host is gone.

    It waits for the end of stdin, which the host keeps open. This process itself may be held or dead by then.
    """
    if sys.platform == "win32" or os.getpgrp() != os.getpid():
        return
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        # Not a child of this process: user code may wait for all of its children.
        if os.fork() == 0:
            os.closerange(1, 3)
            while os.read(0, 1):
                pass
            os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(0)


def _hide_script() -> None:
    """Hides from user code that a script has started this process.

    Child processes that `multiprocessing` spawns do not import a `__main__` that has neither spec nor file.
    """
    main_module = sys.modules["__main__"]
    main_module.__spec__ = None
    main_module.__dict__.pop("__file__", None)


def _end_when_the_host_dies() -> None:
    """Has Linux kill this process when its parent ends: it may be stopped, or run native code, and notice nothing."""
    if sys.platform == "linux":
        # A Python may lack ctypes.
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    _end_when_the_host_dies()
    # Prints the stack if native code crashes.
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    ticket = _read_ticket()
    channel = channels.connect(int(str(ticket["port"])))
    channel.send(Hello(token=str(ticket["token"])))
    _hide_script()
    records.install(channel, is_debug=is_on("PYTHON_ENABLE_DEBUG_LOGGING"))
    # It ends the process at once, without a traceback of this thread.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        Child(channel).serve()
    except SystemExit as error:
        # Raised by a task that user code started.
        _end_process(error)
    except Exception as error:
        _end_broken("The event loop of a worker process has ended", error)
