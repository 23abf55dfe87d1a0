"""The errors for unknown names: they list the known ones and say why a function of the app is not among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durablehost.app.model import FunctionError, TriggerKind
from durablehost.engine.unknown import unknown_activity, unknown_entity, unknown_orchestrator
from packages.durablehost.tests.unit.web.fakes import make_app, make_function

APP = make_app(
    make_function("Say", "activityTrigger"),
    make_function("Hear", "activityTrigger"),
    make_function("Off", "activityTrigger", is_disabled=True),
    make_function("Chain", "orchestrationTrigger"),
    make_function("Counter", "entityTrigger"),
    errors=(FunctionError(name="Broken", message="function.json must contain a JSON object."),),
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Nobody", ""),
        ("broken", " 'broken' is in error: function.json must contain a JSON object."),
        ("Off", " 'Off' is disabled."),
        ("Chain", " 'Chain' has the trigger orchestrationTrigger."),
    ],
)
def test_an_unknown_activity_has_its_reason_and_the_known_names(name: str, reason: str) -> None:
    assert unknown_activity(name, APP.of_kind(TriggerKind.ACTIVITY)) == (
        f"Activity function '{name}' does not exist.{reason} "
        "The following are the known activity functions: 'Hear', 'Say'."
    )


@pytest.mark.parametrize(
    ("unknown", "kind", "article", "known"),
    [
        (unknown_orchestrator, TriggerKind.ORCHESTRATION, "an orchestrator", "orchestrator functions: 'Chain'"),
        (unknown_entity, TriggerKind.ENTITY, "an entity", "entity functions: 'Counter'"),
    ],
)
def test_others_have_the_text_of_the_extension_and_the_reason(
    unknown: Callable[..., str], kind: TriggerKind, article: str, known: str
) -> None:
    assert unknown("Broken", APP.of_kind(kind)) == (
        f"The function 'Broken' doesn't exist, is disabled, or is not {article} function. Additional info: "
        f"The following are the known {known}. 'Broken' is in error: function.json must contain a JSON object."
    )


def test_an_app_without_functions_of_the_kind_says_so() -> None:
    assert unknown_entity("Nobody", {}).endswith("No entity functions are currently registered!")
