"""The `bindings` of one function.json: parsed and validated.

Only the first error of a function is reported. Mirrors BindingMetadata,
Utility.ValidateBinding and FunctionDescriptorProvider of the Functions host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from durablehost.app import binding_type
from durablehost.app.expression import FindSetting, expand
from durablehost.app.invalid import InvalidFunctionError
from durablehost.app.model import DURABLE_CLIENT_TYPES, Binding, Direction
from durablehost.types import JsonObject, JsonValue

RETURN_NAME = "$return"
_BINDING_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}")
_OPTIONS = {"dataType": ("string", "binary", "stream", "undefined"), "cardinality": ("one", "many")}
# The properties in which the host replaces %NAME%, by binding type.
_EXPANDED_PROPERTIES = {
    "orchestrationtrigger": ("orchestration",),
    "activitytrigger": ("activity",),
    "entitytrigger": ("entityName",),
    "durableclient": ("taskHub",),
    "orchestrationclient": ("taskHub",),
}


def read_bindings(config: JsonObject, *, find_setting: FindSetting, has_bundle: bool) -> tuple[Binding, ...]:
    """The bindings of a function that durablehost can serve.

    Raises:
        InvalidFunctionError: with the Functions host's message for the first error.
    """
    entries = config.get("bindings")
    if not isinstance(entries, list) or not entries:
        raise InvalidFunctionError("At least one binding must be declared.")
    bindings = tuple(_read_binding(entry) for entry in entries)
    _check_names(bindings)
    _check_triggers(bindings)
    _check_types(bindings, has_bundle=has_bundle)
    for binding in bindings:
        _check_served(binding)
    return tuple(_expanded(binding, find_setting) for binding in bindings)


def _read_binding(entry: JsonValue) -> Binding:
    if not isinstance(entry, dict):
        raise InvalidFunctionError("A binding in function.json must be a JSON object.")
    members = {str(key).lower(): value for key, value in entry.items()}
    name = _text(members.get("name"))
    if name != RETURN_NAME and not _BINDING_NAME.fullmatch(name):
        raise InvalidFunctionError(f"The binding name {name} is invalid. Please assign a valid name to the binding.")
    direction = _direction(members.get("direction"))
    if name == RETURN_NAME and direction is not Direction.OUT:
        raise InvalidFunctionError("$return bindings must specify a direction of 'out'.")
    kind = _text(members.get("type"))
    if not kind:
        raise InvalidFunctionError(f"Binding '{name}' is invalid. Bindings must specify a Type.")
    _check_options(name, members)
    if kind.lower() == binding_type.HTTP_OUTPUT and direction is Direction.IN:
        raise InvalidFunctionError("Http binding can only be used for output.")
    return Binding(name=name, type=kind, direction=direction, properties=entry)


def _check_options(name: str, members: Mapping[str, JsonValue]) -> None:
    """Checks the options that every type of binding may have."""
    for option, values in _OPTIONS.items():
        value = members.get(option.lower())
        if value is not None and str(value).lower() not in values:
            raise InvalidFunctionError(
                f"'{value}' is not a valid value of '{option}' in binding '{name}'; it must be {' or '.join(values)}."
            )


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _direction(value: JsonValue) -> Direction:
    if value is None:
        return Direction.IN
    try:
        return Direction(str(value).lower())
    except ValueError:
        raise InvalidFunctionError(f"'{value}' is not a valid binding direction.") from None


def _check_names(bindings: Iterable[Binding]) -> None:
    counts = Counter(binding.name.lower() for binding in bindings)
    twice = next((binding.name for binding in bindings if counts[binding.name.lower()] > 1), None)
    if twice is not None:
        raise InvalidFunctionError(f"Multiple bindings with name '{twice}' discovered. Binding names must be unique.")


def _check_triggers(bindings: Collection[Binding]) -> None:
    count = sum(binding.is_trigger for binding in bindings)
    if count > 1:
        raise InvalidFunctionError(
            "Multiple trigger bindings defined. A function can only have a single trigger binding."
        )
    if count == 0:
        message = "No trigger binding specified. A function must have a trigger input binding."
        unknown = (binding.type for binding in bindings if binding.type.lower() not in binding_type.KNOWN_TYPES)
        raise InvalidFunctionError(" ".join([message, *map(_guess, unknown)]))


def _guess(unknown_type: str) -> str:
    found = get_close_matches(unknown_type.lower(), binding_type.KNOWN_TYPES, n=1)
    return f"'{unknown_type}' is no known type." + (f" Is '{found[0]}' meant?" if found else "")


def _check_types(bindings: Iterable[Binding], *, has_bundle: bool) -> None:
    unknown = ", ".join(b.type for b in bindings if b.type.lower() not in binding_type.KNOWN_TYPES)
    if not unknown:
        return
    if has_bundle:
        raise InvalidFunctionError(
            f"The binding type(s) '{unknown}' were not found in the configured extension bundle. "
            "Please ensure the type is correct and the correct version of extension bundle is configured."
        )
    raise InvalidFunctionError(
        f"The binding type(s) '{unknown}' are not registered. "
        "Please ensure the type is correct and the binding extension is installed."
    )


def _check_served(binding: Binding) -> None:
    kind = binding.type.lower()
    if kind in DURABLE_CLIENT_TYPES and binding.direction is not Direction.IN:
        raise InvalidFunctionError(f"The binding '{binding.name}' of type '{binding.type}' needs the direction 'in'.")
    if binding.is_trigger:
        # One that durablehost does not serve never fires, but the function can be run through the admin routes.
        return
    if binding.direction is Direction.IN and kind not in binding_type.SERVED_INPUTS:
        raise InvalidFunctionError(
            f"the input binding '{binding.name}' of type '{binding.type}' is not supported by durablehost: "
            "besides the trigger, the only input may be durableClient."
        )


def _expanded(binding: Binding, find_setting: FindSetting) -> Binding:
    names = {name.lower() for name in _EXPANDED_PROPERTIES.get(binding.type.lower(), ())}
    if not names.intersection(key.lower() for key in binding.properties):
        return binding
    properties = {
        key: _expanded_value(binding, value, find_setting) if key.lower() in names else value
        for key, value in binding.properties.items()
    }
    return Binding(name=binding.name, type=binding.type, direction=binding.direction, properties=properties)


def _expanded_value(binding: Binding, value: JsonValue, find_setting: FindSetting) -> JsonValue:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidFunctionError(
            f"Unable to configure binding '{binding.name}' of type '{binding.type}'. "
            "This may indicate invalid function.json properties"
        )
    return expand(value, find_setting)
