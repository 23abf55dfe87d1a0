"""The options of an `httpTrigger`, and the rules between the routes of an app.

Mirrors HttpTriggerAttribute and the route checks of ScriptHost.
"""

from __future__ import annotations

from collections.abc import Iterable

from durablehost.app.invalid import InvalidFunctionError
from durablehost.app.model import Binding, Function, HttpTrigger
from durablehost.types import JsonValue

# In the order of the enum AuthorizationLevel: a number is accepted for a name.
_AUTH_LEVELS = ("anonymous", "user", "function", "system", "admin")
_RESERVED_PREFIXES = ("admin", "runtime")


def read_http_trigger(binding: Binding, function_name: str) -> HttpTrigger:
    """Raises `InvalidFunctionError` if an option cannot be read."""
    route = binding.property("route")
    if route is not None and not isinstance(route, str):
        raise _format_error("route", "a string")
    return HttpTrigger(
        route=route or function_name,
        methods=_methods(binding.property("methods")),
        auth_level=_auth_level(binding.property("authLevel")),
    )


def check_route(function: Function, earlier: Iterable[Function]) -> None:
    """Raises `InvalidFunctionError` if the route is reserved, or used by a function with an earlier name."""
    if function.http is None:
        return
    route = _comparable(function.http.route)
    # A prefix test, as the host does it: `administration` is refused too.
    if route.startswith(_RESERVED_PREFIXES):
        raise InvalidFunctionError("The specified route conflicts with one or more built in routes.")
    for other in earlier:
        if other.http is not None and _is_same_endpoint(function.http, other.http):
            raise InvalidFunctionError(
                f"The route specified conflicts with the route defined by function '{other.name}'."
            )


def _methods(value: JsonValue) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(method, str) for method in value):
        raise _format_error("methods", "an array of strings")
    return tuple(str(method) for method in value)


def _auth_level(value: JsonValue) -> str:
    if value is None:
        return "function"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(_AUTH_LEVELS):
        return _AUTH_LEVELS[value]
    if isinstance(value, str) and value.lower() in _AUTH_LEVELS:
        return value.lower()
    raise InvalidFunctionError(
        "Error parsing function.json: Invalid value specified for binding property 'authLevel' "
        "of enum type AuthorizationLevel."
    )


def _format_error(property_name: str, must_be: str) -> InvalidFunctionError:
    return InvalidFunctionError(
        f"Error parsing function.json: Invalid format specified for binding property '{property_name}'. "
        f"It must be {must_be}."
    )


def _comparable(route: str) -> str:
    return route.strip("/").lower()


def _is_same_endpoint(one: HttpTrigger, other: HttpTrigger) -> bool:
    if _comparable(one.route) != _comparable(other.route):
        return False
    # The host compares methods with regard to case here, though not when it routes.
    return not one.methods or not other.methods or not set(one.methods).isdisjoint(other.methods)
