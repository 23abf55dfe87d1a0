"""Matches the parameters of an entry point with the bindings of its function.json.

The messages are those of `azure_functions_worker.functions`: developers find answers by searching for them.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func

from durablehost.app.model import Binding, Direction
from durablehost.worker.converter import (
    GENERIC,
    Converter,
    accepts_input,
    accepts_output,
    converter_for,
    has_implicit_output,
)

RETURN_NAME = "$return"


class SignatureError(RuntimeError):
    """The entry point does not fit its bindings."""

    def __init__(self, function_name: str, message: str) -> None:
        super().__init__(f"cannot load the {function_name} function: {message}")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One value that goes in or out: its binding, how it is converted, and the type its annotation names."""

    binding: Binding
    converter: Converter
    annotation: Any = None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """How to call an entry point. `returned` is where its return value goes, None: nowhere."""

    inputs: Mapping[str, Slot] = field(default_factory=dict)
    outputs: Mapping[str, Slot] = field(default_factory=dict)
    returned: Slot | None = None
    implicit: Slot | None = None
    takes_context: bool = False


def match_signature(name: str, entry: Callable[..., Any], bindings: Sequence[Binding]) -> Signature:
    """Raises `SignatureError`, or the error of an annotation, if the function cannot be called."""
    return _Matching(name, entry, bindings).signature()


class _Matching:
    def __init__(self, name: str, entry: Callable[..., Any], bindings: Sequence[Binding]) -> None:
        self._name = name
        self._parameters = set(inspect.signature(entry).parameters)
        self._annotations = typing.get_type_hints(entry)
        self._bindings = bindings

    def signature(self) -> Signature:
        bound = self._bound_by_name()
        takes_context = "context" in self._parameters and "context" not in bound
        if takes_context:
            self._check_context()
            self._parameters.discard("context")
        self._check_parameters(bound)
        slots = {name: self._slot(binding) for name, binding in bound.items()}
        return Signature(
            inputs={name: slot for name, slot in slots.items() if slot.binding.direction is Direction.IN},
            outputs={name: slot for name, slot in slots.items() if slot.binding.direction is Direction.OUT},
            returned=self._returned(),
            implicit=_implicit(slots.values()),
            takes_context=takes_context,
        )

    def _error(self, message: str) -> SignatureError:
        return SignatureError(self._name, message)

    def _bound_by_name(self) -> dict[str, Binding]:
        for binding in self._bindings:
            if binding.direction is Direction.INOUT:
                raise self._error('"inout" bindings are not supported')
            if binding.name == RETURN_NAME and binding.direction is not Direction.OUT:
                raise self._error('"$return" binding must have direction set to "out"')
        return {binding.name: binding for binding in self._bindings if binding.name != RETURN_NAME}

    def _check_context(self) -> None:
        annotation = self._annotations.get("context", func.Context)
        if not isinstance(annotation, type) or annotation.__name__ != "Context":
            raise self._error(
                f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}'
            )

    def _check_parameters(self, bound: Mapping[str, Binding]) -> None:
        unbound = self._parameters - set(bound)
        if unbound:
            raise self._error(
                f"the following parameters are declared in Python but not in function.json: {_shown(unbound)}"
            )
        missing = set(bound) - self._parameters
        if missing:
            raise self._error(
                f"the following parameters are declared in function.json but not in Python: {_shown(missing)}"
            )

    def _slot(self, binding: Binding) -> Slot:
        converter = converter_for(binding.type)
        if binding.name not in self._annotations:
            return Slot(binding=binding, converter=converter)
        annotation = self._annotations[binding.name]
        value_type = self._value_type(binding, annotation)
        is_output = binding.direction is Direction.OUT
        if value_type in (str, bytes) and (is_output or not has_implicit_output(converter)):
            # An `http` output keeps its converter: the one response binding has to stay recognisable.
            converter = converter if is_output and binding.type.lower() == "http" else GENERIC
        if not (accepts_output if is_output else accepts_input)(converter, value_type):
            raise self._error(
                f'type of {binding.name} binding in function.json "{binding.type}" does not match its Python '
                f'annotation "{_type_name(value_type)}"'
            )
        return Slot(binding=binding, converter=converter, annotation=value_type)

    def _value_type(self, binding: Binding, annotation: Any) -> Any:
        """The type of the value itself; for an `Out[...]`, its argument."""
        value_type = annotation
        if _is_out(annotation):
            arguments = typing.get_args(annotation)
            if len(arguments) != 1:
                raise self._error(f"binding {binding.name} has invalid Out annotation {annotation!r}")
            value_type = arguments[0]
        if not _is_type(value_type):
            raise self._error(f"binding {binding.name} has invalid non-type annotation {annotation!r}")
        self._check_direction(binding, is_out=_is_out(annotation))
        return value_type

    def _check_direction(self, binding: Binding, *, is_out: bool) -> None:
        if binding.direction is Direction.OUT and not is_out:
            raise self._error(
                f'binding {binding.name} is declared to have the "out" direction, but its annotation in Python is not '
                "a subclass of azure.functions.Out"
            )
        if binding.direction is Direction.IN and is_out:
            raise self._error(
                f'binding {binding.name} is declared to have the "in" direction in function.json, but its annotation '
                "is azure.functions.Out in Python"
            )

    def _returned(self) -> Slot | None:
        binding = next((binding for binding in self._bindings if binding.name == RETURN_NAME), None)
        if binding is None:
            return None
        converter = converter_for(binding.type)
        if "return" not in self._annotations:
            return Slot(binding=binding, converter=converter)
        annotation = self._annotations["return"]
        if _is_out(annotation):
            raise self._error("return annotation should not be azure.functions.Out")
        if not isinstance(annotation, type):
            raise self._error(f"has invalid non-type return annotation {annotation!r}")
        if not accepts_output(converter, annotation):
            raise self._error(
                f'Python return annotation "{_type_name(annotation)}" does not match binding type "{binding.type}"'
            )
        return Slot(binding=binding, converter=converter, annotation=annotation)


def _implicit(slots: Collection[Slot]) -> Slot | None:
    """The binding that gets the return value without a `$return`: the trigger, if it accepts one."""
    ordered = sorted(slots, key=lambda slot: not slot.binding.is_trigger)
    return next((slot for slot in ordered if has_implicit_output(slot.converter)), None)


def _is_out(annotation: Any) -> bool:
    return annotation is func.Out or typing.get_origin(annotation) is func.Out


def _is_type(annotation: Any) -> bool:
    # `Any` is no class before Python 3.11, and `list[int]` is none since; `int | None` has a class for its origin.
    if annotation is Any or isinstance(annotation, type):
        return True
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and origin is not types.UnionType


def _type_name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)


def _shown(names: Collection[str]) -> str:
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"
