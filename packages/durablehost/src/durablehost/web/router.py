"""Finds the function for a path and a method: the first that matches, in the order of the functions' names.

Mirrors WebScriptHostHttpRoutesManager: no ranking by specificity, a wrong method is no match, HEAD and OPTIONS count
as any other method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from durablehost.app.model import Function, FunctionApp, FunctionError, TriggerKind
from durablehost.web.template import RouteTemplate, TemplateError, compile_template


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
    """The routes of an app. `functions` come in the order that decides which of several matches wins.

    Raises `TemplateError` for a route that is no template: `without_bad_routes` leaves such functions out.
    """

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


def without_bad_routes(app: FunctionApp, *, prefix: str) -> FunctionApp:
    """The app with every function whose route is no template among the functions in error."""
    problems = {function.name: problem for function in app.functions if (problem := _route_problem(function, prefix))}
    errors = [*app.errors, *(FunctionError(name=name, message=problem) for name, problem in problems.items())]
    return replace(
        app,
        functions=tuple(function for function in app.functions if function.name not in problems),
        errors=tuple(sorted(errors, key=lambda error: error.name.upper())),
    )


def full_template(function: Function, prefix: str) -> str:
    """The route template with the prefix; the function's name stands in for a route that is empty."""
    route = (function.http.route if function.http else "").strip("/") or function.name
    return f"{prefix.strip('/')}/{route}".lstrip("/")


def _route_problem(function: Function, prefix: str) -> str | None:
    if function.http is None:
        return None
    try:
        compile_template(full_template(function, prefix))
    except TemplateError as error:
        return str(error)
    return None


def _route(function: Function, prefix: str) -> Route | None:
    if function.http is None or function.kind is not TriggerKind.HTTP or function.is_disabled:
        return None
    methods = function.http.methods
    return Route(
        function=function,
        template=compile_template(full_template(function, prefix)),
        methods=None if methods is None else frozenset(method.upper() for method in methods),
    )
