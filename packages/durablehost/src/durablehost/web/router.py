"""Finds the function for a path and a method: the first that matches, in the order of the functions' names.

Mirrors WebScriptHostHttpRoutesManager: no ranking by specificity, a wrong method is no match, HEAD and OPTIONS count
as any other method.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from durablehost.app.model import Function, TriggerKind
from durablehost.web.template import RouteTemplate, TemplateError, compile_template

logger = logging.getLogger("Host.Web")


@dataclass(frozen=True, kw_only=True)
class Route:
    """An HTTP function with its compiled route, prefix included; `methods` None: all of them."""

    function: Function
    template: RouteTemplate
    methods: frozenset[str] | None


@dataclass(frozen=True, kw_only=True)
class RouteMatch:
    """A function and the decoded route values it is called with."""

    function: Function
    params: Mapping[str, str]


class Router:
    """The routes of an app. `functions` come in the order that decides which of several matches wins."""

    def __init__(self, functions: Iterable[Function], *, prefix: str) -> None:
        self._routes = tuple(route for function in functions if (route := _route(function, prefix)))

    def match(self, method: str, path: str) -> RouteMatch | None:
        """`path` is decoded and begins with a slash."""
        for route in self._routes:
            if route.methods is not None and method.upper() not in route.methods:
                continue
            params = route.template.match(path[1:])
            if params is not None:
                return RouteMatch(function=route.function, params=params)
        return None


def full_template(function: Function, prefix: str) -> str:
    """The route template with the prefix; the function's name stands in for a route that is empty."""
    route = (function.http.route if function.http else "").strip("/") or function.name
    return f"{prefix.strip('/')}/{route}".lstrip("/")


def _route(function: Function, prefix: str) -> Route | None:
    if function.http is None or function.kind is not TriggerKind.HTTP or function.is_disabled:
        return None
    try:
        template = compile_template(full_template(function, prefix))
    except TemplateError as error:
        logger.error("The '%s' function is in error: %s", function.name, error)
        return None
    methods = function.http.methods
    return Route(
        function=function,
        template=template,
        methods=None if methods is None else frozenset(method.upper() for method in methods),
    )
