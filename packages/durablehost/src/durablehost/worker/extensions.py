"""Calls the worker extensions that the app has registered with azure.functions, such as that of OpenCensus.

Off unless the setting is on, as in the Azure worker. An extension that raises is logged and stops nothing. Mirrors
ExtensionManager of the Azure worker.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import azure.functions as func

from durablehost.worker.switch import is_on

SETTING = "PYTHON_ENABLE_WORKER_EXTENSIONS"

# A prefix of system logs.
_LOGGER = "azure_functions_worker"

_log = logging.getLogger(_LOGGER)


class Extensions:
    """The hooks of azure.functions; `registry` is its ExtensionMeta, None: no extension is called."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    @property
    def are_on(self) -> bool:
        return self._registry is not None

    def function_loaded(self, name: str, folder: str) -> None:
        for logger, hook in self._hooks(name, "post_function_load", "post_function_load_app_level"):
            _call(logger, hook, name, folder)

    def before_call(self, context: func.Context, arguments: Mapping[str, Any]) -> None:
        for logger, hook in self._hooks(context.function_name, "pre_invocation_app_level", "pre_invocation"):
            _call(logger, hook, logger, context, arguments)

    def after_call(self, context: func.Context, arguments: Mapping[str, Any], value: Any) -> None:
        for logger, hook in self._hooks(context.function_name, "post_invocation", "post_invocation_app_level"):
            _call(logger, hook, logger, context, arguments, value)

    def _hooks(self, name: str, *kinds: str) -> Iterator[tuple[logging.Logger, Callable[..., Any]]]:
        """The hooks of these kinds, in this order: those of the function, and those of the app."""
        if self._registry is None:
            return
        of_function, of_app = self._registry.get_function_hooks(name), self._registry.get_application_hooks()
        for kind in kinds:
            for hook in getattr(of_app if kind.endswith("_app_level") else of_function, kind, ()):
                yield logging.getLogger(f"{_LOGGER}.extension.{hook.ext_name}"), hook.ext_impl


def _call(logger: logging.Logger, hook: Callable[..., Any], *arguments: Any) -> None:
    try:
        hook(*arguments)
    except Exception as error:
        logger.exception("%s", error)


@functools.cache
def extensions() -> Extensions:
    """Those of this process."""
    registry = getattr(func, "ExtensionMeta", None) if is_on(SETTING) else None
    if registry is None and is_on(SETTING):
        _log.warning("%s has no effect: azure-functions has worker extensions since version 1.7.", SETTING)
    return Extensions(registry)
