"""Imports the entry points of an app the way the Azure worker does: as modules of a synthetic package `__app__`.

Rule of this file: the app root comes last on `sys.path`, so installed packages hide the app's folders, as they do in
Azure. Mirrors `azure_functions_worker.loader`.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from durablehost.app.invocation import Failure
from durablehost.worker.extensions import extensions
from durablehost.worker.failure import describe
from durablehost.worker.protocol import FunctionToLoad
from durablehost.worker.signature import Signature, match_signature

PACKAGE = "__app__"

_LOOP_IN_USE = re.compile("running event loop$|event loop is already running$|another loop is running$")
_LOOP_HINT = (
    ". Modules are imported while the event loop runs, here as in Azure: "
    "run coroutines in a thread, or call nest_asyncio.apply() first."
)


@dataclass(frozen=True, kw_only=True)
class LoadedFunction:
    """A function that can be called."""

    name: str
    folder: str
    entry: Callable[..., Any]
    is_async: bool
    signature: Signature


def install(root: str) -> None:
    """Makes `__app__` and the app root importable and the app root the working directory. Once per process."""
    spec = importlib.machinery.ModuleSpec(PACKAGE, None)
    spec.submodule_search_locations = [root]
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    sys.path.append(root)
    os.chdir(root)


def load_all(
    functions: tuple[FunctionToLoad, ...], on_begin: Callable[[str], None] = lambda name: None
) -> tuple[Mapping[str, LoadedFunction], Mapping[str, Failure]]:
    """Imports the functions; returns those that load, and the failures of the others. Calls `on_begin` before each."""
    loaded: dict[str, LoadedFunction] = {}
    failures: dict[str, Failure] = {}
    for function in functions:
        on_begin(function.name)
        try:
            loaded[function.name] = load(function)
        # A module that raises KeyboardInterrupt or SystemExit fails its own function, not the process.
        except BaseException as error:
            failures[function.name] = describe(error)
    return loaded, failures


def load(function: FunctionToLoad) -> LoadedFunction:
    """Imports a function's module and checks its entry point.

    Raises:
        Exception: whatever the module raises; an ImportError with the search path in its text; a RuntimeError if the
            script or the entry point is not valid.
    """
    module_name = _module_name(function)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise _explained(error).with_traceback(error.__traceback__) from None
    except RuntimeError as error:
        if _LOOP_IN_USE.search(str(error)) is None:
            raise
        raise RuntimeError(f"{error}{_LOOP_HINT}").with_traceback(error.__traceback__) from None
    entry = getattr(module, function.entry_point, None)
    if not callable(entry):
        script = f"{PurePath(function.folder).name}/{PurePath(function.script_file).name}"
        raise RuntimeError(
            f"cannot load function {function.name}: function {function.entry_point}() is not present in {script}"
        )
    try:
        signature = match_signature(function.name, entry, function.bindings)
    except NameError as error:
        raise NameError(f"cannot load the {function.name} function: in an annotation, {error}") from None
    loaded = LoadedFunction(
        name=function.name,
        folder=function.folder,
        entry=entry,
        is_async=inspect.iscoroutinefunction(entry),
        signature=signature,
    )
    extensions().function_loaded(function.name, function.folder)
    return loaded


def _module_name(function: FunctionToLoad) -> str:
    script, parent = Path(function.script_file), Path(function.folder).parent
    if not script.is_relative_to(parent):
        raise RuntimeError(f"script path {script} is not relative to the specified directory {parent}")
    if script.suffix != ".py":
        raise RuntimeError(f"cannot load function {function.name}: invalid Python filename {script.name}")
    parts = script.relative_to(parent).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _explained(error: ImportError) -> ImportError:
    return type(error)(
        f"{error}. Cannot find module. Please check the requirements.txt file for the missing module. For more info, "
        f"please refer the troubleshooting guide: https://aka.ms/functions-modulenotfound. Current sys.path: {sys.path}"
    )
