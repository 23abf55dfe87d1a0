"""Parameters against bindings: the message for each mismatch, and the accepted combinations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("azure.functions")

import azure.functions as func

from durablehost.app.model import Binding, Direction
from durablehost.worker.signature import SignatureError, match_signature


def binding(name: str, kind: str, direction: str = "in") -> Binding:
    return Binding(name=name, type=kind, direction=Direction(direction), properties={})


HTTP = binding("req", "httpTrigger")
RESPONSE = binding("$return", "http", "out")
OUT = binding("res", "http", "out")
ACTIVITY = binding("input", "activityTrigger")
ORCHESTRATOR = binding("context", "orchestrationTrigger")
CLIENT = binding("starter", "durableClient")


def annotated(**annotations: Any) -> Callable[..., Any]:
    """A function with these parameters; `returns` annotates its result."""
    parameters = ", ".join(name for name in annotations if name != "returns")
    scope: dict[str, Any] = {}
    exec(f"def main({parameters}): ...", scope)
    hints = {"return" if name == "returns" else name: hint for name, hint in annotations.items() if hint is not None}
    scope["main"].__annotations__.update(hints)
    main: Callable[..., Any] = scope["main"]
    return main


@pytest.mark.parametrize(
    ("entry", "bindings", "message"),
    [
        (annotated(x=None), [binding("x", "queue", "inout")], '"inout" bindings are not supported'),
        (annotated(req=None), [HTTP, binding("$return", "http")], '"$return" binding must have direction set to "out"'),
        (
            annotated(req=None, b=None, a=None),
            [HTTP],
            "the following parameters are declared in Python but not in function.json: {'a', 'b'}",
        ),
        (
            annotated(),
            [HTTP],
            "the following parameters are declared in function.json but not in Python: {'req'}",
        ),
        (
            annotated(req=None, context=int),
            [HTTP],
            "the \"context\" parameter is expected to be of type azure.functions.Context, got <class 'int'>",
        ),
        (
            annotated(req=None, res=func.HttpResponse),
            [HTTP, OUT],
            'binding res is declared to have the "out" direction, but its annotation in Python is not '
            "a subclass of azure.functions.Out",
        ),
        (
            annotated(req=func.Out[str]),
            [HTTP],
            'binding req is declared to have the "in" direction in function.json, but its annotation '
            "is azure.functions.Out in Python",
        ),
        (
            annotated(req=None, res=func.Out),
            [HTTP, OUT],
            "binding res has invalid Out annotation <class 'azure.functions._abc.Out'>",
        ),
        (
            annotated(input=int | None),
            [ACTIVITY],
            "binding input has invalid non-type annotation int | None",
        ),
        (
            annotated(req=int),
            [HTTP],
            'type of req binding in function.json "httpTrigger" does not match its Python annotation "int"',
        ),
        (
            annotated(req=None, starter=dict),
            [HTTP, CLIENT],
            'type of starter binding in function.json "durableClient" does not match its Python annotation "dict"',
        ),
        (
            annotated(context=dict),
            [ORCHESTRATOR],
            'type of context binding in function.json "orchestrationTrigger" does not match '
            'its Python annotation "dict"',
        ),
        (
            annotated(req=None, returns=func.Out[str]),
            [HTTP, RESPONSE],
            "return annotation should not be azure.functions.Out",
        ),
        (
            annotated(req=None, returns=func.HttpResponse | None),
            [HTTP, RESPONSE],
            "has invalid non-type return annotation azure.functions._http.HttpResponse | None",
        ),
        (
            annotated(req=None, returns=dict),
            [HTTP, RESPONSE],
            'Python return annotation "dict" does not match binding type "http"',
        ),
    ],
)
def test_a_mismatch_is_refused_with_the_message_of_the_worker(
    entry: Callable[..., Any], bindings: list[Binding], message: str
) -> None:
    with pytest.raises(SignatureError) as refused:
        match_signature("F", entry, bindings)
    assert str(refused.value) == f"cannot load the F function: {message}"


@pytest.mark.parametrize(
    ("entry", "bindings"),
    [
        (annotated(req=func.HttpRequest, returns=func.HttpResponse), [HTTP, RESPONSE]),
        (annotated(req=None, returns=str), [HTTP, RESPONSE]),
        (annotated(req=str), [HTTP]),
        (annotated(req=None, res=func.Out[func.HttpResponse]), [HTTP, OUT]),
        (annotated(req=None, res=func.Out[str]), [HTTP, OUT]),
        (annotated(req=None, starter=str, context=func.Context), [HTTP, CLIENT]),
        (annotated(req=None, starter=str), [HTTP, binding("starter", "orchestrationClient")]),
        (annotated(req=None), [binding("req", "HTTPTRIGGER")]),
        (annotated(context=func.OrchestrationContext), [ORCHESTRATOR]),
        (annotated(input=list[int], returns=int | None), [ACTIVITY]),
        (annotated(input=Any), [ACTIVITY]),
        (annotated(input=None, sms=func.Out[str]), [ACTIVITY, binding("sms", "twilioSms", "out")]),
    ],
)
def test_matching_parameters_are_accepted(entry: Callable[..., Any], bindings: list[Binding]) -> None:
    assert match_signature("F", entry, bindings).inputs


def test_a_parameter_named_context_is_optional_and_no_binding() -> None:
    assert match_signature("F", annotated(req=None, context=None), [HTTP]).takes_context
    assert not match_signature("F", annotated(context=None), [ORCHESTRATOR]).takes_context


def test_a_name_imported_only_for_the_type_checker_fails() -> None:
    with pytest.raises(NameError):
        match_signature("F", annotated(req="Absent"), [HTTP])
