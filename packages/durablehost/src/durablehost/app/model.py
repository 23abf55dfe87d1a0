"""The function app as values: the result of discovery, and all that the other packages know about an app.

Mirrors FunctionMetadata and BindingMetadata of the Functions host. Names of functions, bindings and their types compare
without regard to case; they are kept as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from durablehost.types import JsonObject, JsonValue


class Direction(Enum):
    """Which way a binding carries data."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"


class TriggerKind(Enum):
    """The triggers that durablehost serves; the value is the binding type in lower case."""

    HTTP = "httptrigger"
    ORCHESTRATION = "orchestrationtrigger"
    ACTIVITY = "activitytrigger"
    ENTITY = "entitytrigger"


DURABLE_CLIENT_TYPES = frozenset({"durableclient", "orchestrationclient"})


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One entry of `bindings`; `properties` holds the whole entry as written, but with `%NAME%` expanded where the host
    expands it.
    """

    name: str
    type: str
    direction: Direction
    properties: JsonObject

    @property
    def is_trigger(self) -> bool:
        return self.direction is Direction.IN and self.type.lower().endswith("trigger")

    @property
    def is_durable_client(self) -> bool:
        return self.type.lower() in DURABLE_CLIENT_TYPES

    def property(self, name: str) -> JsonValue:
        """A member of the entry, looked up without regard to case; None if absent."""
        wanted = name.lower()
        return next((value for key, value in self.properties.items() if key.lower() == wanted), None)


@dataclass(frozen=True, kw_only=True)
class HttpTrigger:
    """How an HTTP function is reached. `methods` None: all; `route` is the template without the prefix."""

    route: str
    methods: tuple[str, ...] | None
    auth_level: str


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function that passed validation.

    `registered_name` is the name that durable callers use: the trigger's own name property, else the folder's name.
    """

    name: str
    folder: Path
    script_file: Path
    entry_point: str
    bindings: tuple[Binding, ...]
    config: JsonObject
    registered_name: str
    http: HttpTrigger | None = None
    is_disabled: bool = False

    @property
    def trigger(self) -> Binding:
        return next(binding for binding in self.bindings if binding.is_trigger)

    @property
    def kind(self) -> TriggerKind | None:
        """None if durablehost does not serve the trigger: the function runs only through the admin API."""
        trigger_type = self.trigger.type.lower()
        return next((kind for kind in TriggerKind if kind.value == trigger_type), None)


@dataclass(frozen=True, kw_only=True)
class FunctionError:
    """A function that was dropped, with the reason. It never stops the others."""

    name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class FunctionApp:
    """All functions below a script root, ordered by name without regard to case: the order decides route precedence."""

    root: Path
    functions: tuple[Function, ...]
    errors: tuple[FunctionError, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def of_kind(self, kind: TriggerKind) -> FunctionsOfKind:
        """The enabled functions of one kind, by registered name in lower case."""
        found = {f.registered_name.lower(): f for f in self.functions if f.kind is kind and not f.is_disabled}
        reasons = {error.name.lower(): f"is in error: {error.message}" for error in self.errors}
        for function in self.functions:
            reason = "is disabled." if function.is_disabled else f"has the trigger {function.trigger.type}."
            reasons[function.registered_name.lower()] = reason
        return FunctionsOfKind(found, absences={name: text for name, text in reasons.items() if name not in found})


class FunctionsOfKind(dict[str, Function]):
    """Functions by registered name in lower case. `absences` says, after a name, why other functions are not here."""

    def __init__(self, functions: Mapping[str, Function], *, absences: Mapping[str, str]) -> None:
        super().__init__(functions)
        self.absences = absences
