"""From folders to a FunctionApp: which folders count, what each message says, and that one bad function stops none."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from devhost.app.discovery import discover
from devhost.app.model import Function, FunctionApp, HttpTrigger, TriggerKind
from devhost.errors import ConfigurationError

HTTP = {"type": "httpTrigger", "name": "req"}
ACTIVITY = {"type": "activityTrigger", "name": "input"}
ENTITY = {"type": "entityTrigger", "name": "context", "direction": "in"}
ORCHESTRATOR = {"type": "orchestrationTrigger", "name": "context"}
RESPONSE = {"type": "http", "direction": "out", "name": "$return"}


def write_function(root: Path, name: str, *bindings: Mapping[str, Any], **members: Any) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    config = {"bindings": list(bindings), **members}
    (folder / "function.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "__init__.py").write_text("", encoding="utf-8")
    return folder


def read(
    root: Path, settings: Mapping[str, str] | None = None, allow_list: Collection[str] = (), has_bundle: bool = True
) -> FunctionApp:
    by_name = {name.lower(): value for name, value in (settings or {}).items()}
    return discover(
        root, find_setting=lambda name: by_name.get(name.lower()), allow_list=allow_list, has_bundle=has_bundle
    )


def only(app: FunctionApp) -> Function:
    assert app.errors == ()
    [function] = app.functions
    return function


def the_error(app: FunctionApp) -> str:
    assert app.functions == ()
    [error] = app.errors
    return error.message


def test_an_empty_root_is_an_empty_app(tmp_path: Path) -> None:
    assert read(tmp_path).functions == ()


def test_a_root_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="absent"):
        read(tmp_path / "absent")


def test_only_immediate_folders_with_a_function_file_count(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP)
    write_function(tmp_path / "nested", "B", HTTP)
    (tmp_path / "shared_code").mkdir()
    assert only(read(tmp_path)).name == "A"


def test_functions_are_ordered_by_name_without_regard_to_case(tmp_path: Path) -> None:
    for name in ("b", "A_1", "AB", "C"):
        write_function(tmp_path, name, HTTP)
    assert [function.name for function in read(tmp_path).functions] == ["AB", "A_1", "b", "C"]


@pytest.mark.parametrize("name", ["1st", "host", "HOST", "a b", "a.b", "_a", "a" * 129])
def test_a_bad_function_name_is_refused(tmp_path: Path, name: str) -> None:
    write_function(tmp_path, name, HTTP)
    assert the_error(read(tmp_path)) == f"'{name}' is not a valid function name."


def test_one_bad_function_does_not_stop_the_others(tmp_path: Path) -> None:
    (write_function(tmp_path, "Broken", HTTP) / "function.json").write_text("{", encoding="utf-8")
    (write_function(tmp_path, "Latin", HTTP) / "function.json").write_bytes(b'{"\xff')
    write_function(tmp_path, "Good", HTTP)
    app = read(tmp_path)
    assert [function.name for function in app.functions] == ["Good"]
    assert [error.name for error in app.errors] == ["Broken", "Latin"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = write_function(tmp_path, "A", HTTP) / "function.json"
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert only(read(tmp_path)).name == "A"


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        ([], "At least one binding must be declared."),
        (
            [{"type": "httpTrigger", "name": "my_req"}],
            "The binding name my_req is invalid. Please assign a valid name to the binding.",
        ),
        (
            [{"type": "httpTrigger"}],
            "The binding name  is invalid. Please assign a valid name to the binding.",
        ),
        ([HTTP, {"type": "http", "name": "$return"}], "$return bindings must specify a direction of 'out'."),
        ([{"name": "req"}], "Binding 'req' is invalid. Bindings must specify a Type."),
        (
            [HTTP, {"type": "http", "direction": "out", "name": "REQ"}],
            "Multiple bindings with name 'req' discovered. Binding names must be unique.",
        ),
        (
            [HTTP, ACTIVITY],
            "Multiple trigger bindings defined. A function can only have a single trigger binding.",
        ),
        ([RESPONSE], "No trigger binding specified. A function must have a trigger input binding."),
        (
            [{**HTTP, "direction": "out"}],
            "No trigger binding specified. A function must have a trigger input binding.",
        ),
        ([{**HTTP, "direction": "foo"}], "'foo' is not a valid binding direction."),
        ([HTTP, {"type": "http", "name": "res"}], "Http binding can only be used for output."),
        (
            [{**ORCHESTRATOR, "orchestration": 5}],
            "Unable to configure binding 'context' of type 'orchestrationTrigger'. "
            "This may indicate invalid function.json properties",
        ),
        ([{**ORCHESTRATOR, "orchestration": "%ABSENT%"}], "'%ABSENT%' does not resolve to a value."),
        ([{**ACTIVITY, "activity": "a%b"}], "The '%' at position 1 does not have a closing '%'"),
        (
            [{**ORCHESTRATOR, "orchestration": "@o"}],
            "The orchestration name '@o' is invalid: it must not begin with '@'.",
        ),
        (
            [{**HTTP, "authLevel": "root"}],
            "Error parsing function.json: Invalid value specified for binding property 'authLevel' "
            "of enum type AuthorizationLevel.",
        ),
        (
            [{**HTTP, "methods": "get"}],
            "Error parsing function.json: Invalid format specified for binding property 'methods'. "
            "It must be an array of strings.",
        ),
        ([{**HTTP, "route": "Administration/x"}], "The specified route conflicts with one or more built in routes."),
        ([{**HTTP, "route": "/runtime"}], "The specified route conflicts with one or more built in routes."),
        ([{**ENTITY, "entityName": "%NONE%"}], "'%NONE%' does not resolve to a value."),
        (
            [{"type": "queueTrigger", "name": "msg"}, {"type": "table", "name": "rows"}],
            "the input binding 'rows' of type 'table' is not supported by devhost: "
            "of the inputs beside the trigger it serves durableClient.",
        ),
        (
            [HTTP, {"type": "blob", "name": "file", "path": "a/b"}],
            "the input binding 'file' of type 'blob' is not supported by devhost: "
            "of the inputs beside the trigger it serves durableClient.",
        ),
    ],
)
def test_bad_bindings_are_refused_with_the_message_of_the_host(
    tmp_path: Path, bindings: list[Mapping[str, Any]], message: str
) -> None:
    write_function(tmp_path, "Named", *bindings)
    assert the_error(read(tmp_path)) == message


@pytest.mark.parametrize(
    ("has_bundle", "message"),
    [
        (True, "The binding type(s) 'htpTrigger' were not found in the configured extension bundle."),
        (False, "The binding type(s) 'htpTrigger' are not registered."),
    ],
)
def test_an_unknown_type_is_refused_by_name(tmp_path: Path, has_bundle: bool, message: str) -> None:
    write_function(tmp_path, "A", {"type": "htpTrigger", "name": "req"})
    assert the_error(read(tmp_path, has_bundle=has_bundle)).startswith(message)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"configurationSource": "x"}, "Illegal value 'x' for 'configurationSource' property in A."),
        ({"retry": {"strategy": "fixedDelay", "delayInterval": "00:00:01"}}, "maxRetryCount"),
        ({"retry": {"strategy": "fixedDelay", "maxRetryCount": 3}}, "delayInterval"),
        ({"retry": {"strategy": "exponentialBackoff", "maxRetryCount": 3}}, "minimumInterval"),
        ({"retry": {"strategy": "often"}}, "Illegal value 'often' for 'retry.strategy'"),
        ({"scriptFile": "absent.py"}, "The 'scriptFile' property is set to a file that does not exist."),
    ],
)
def test_bad_members_are_refused(tmp_path: Path, members: Mapping[str, Any], message: str) -> None:
    write_function(tmp_path, "A", HTTP, **members)
    assert message in the_error(read(tmp_path))


@pytest.mark.parametrize(
    "members",
    [
        {"configurationSource": "config"},
        {"retry": {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:01"}},
        {"disabled": True},
    ],
)
def test_good_members_are_accepted(tmp_path: Path, members: Mapping[str, Any]) -> None:
    write_function(tmp_path, "A", HTTP, **members)
    function = only(read(tmp_path))
    assert not function.is_disabled
    assert function.config["bindings"] == [HTTP]


@pytest.mark.parametrize(
    ("files", "script"),
    [
        (["__init__.py", "b.py"], "__init__.py"),
        (["a.py", "run.py"], "run.py"),
        (["odd.py"], "odd.py"),
    ],
)
def test_the_script_is_found_among_the_files(tmp_path: Path, files: list[str], script: str) -> None:
    folder = write_function(tmp_path, "A", HTTP)
    (folder / "__init__.py").unlink()
    for file in files:
        (folder / file).touch()
    assert only(read(tmp_path)).script_file == folder / script


@pytest.mark.parametrize("files", [[], ["a.py", "b.py"]])
def test_a_script_that_cannot_be_told_is_refused(tmp_path: Path, files: list[str]) -> None:
    folder = write_function(tmp_path, "A", HTTP)
    (folder / "__init__.py").unlink()
    for file in files:
        (folder / file).touch()
    assert the_error(read(tmp_path)).startswith("Unable to determine the primary function script.")


def test_a_script_file_may_lie_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "y.py").touch()
    write_function(tmp_path, "A", HTTP, scriptFile="../x/y.py")
    assert only(read(tmp_path)).script_file == tmp_path / "x" / "y.py"


def test_a_function_of_another_language_is_left_out_with_a_warning(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP)
    other = write_function(tmp_path, "B", HTTP)
    (other / "__init__.py").rename(other / "index.js")
    app = read(tmp_path)
    assert only(app).name == "A"
    assert app.warnings == ("Function 'B' is left out: its script index.js is node, not python.",)


def test_an_app_of_another_language_only_is_a_configuration_error(tmp_path: Path) -> None:
    other = write_function(tmp_path, "B", HTTP)
    (other / "__init__.py").rename(other / "index.js")
    with pytest.raises(ConfigurationError, match=r"Did not find functions with language \[python\]"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, HttpTrigger(route="A", methods=None, auth_level="function")),
        ({"route": ""}, HttpTrigger(route="A", methods=None, auth_level="function")),
        (
            {"route": "x/{id:int}/%NAME%", "METHODS": ["GET", "post"], "authlevel": "Anonymous"},
            HttpTrigger(route="x/{id:int}/%NAME%", methods=("GET", "post"), auth_level="anonymous"),
        ),
        ({"methods": []}, HttpTrigger(route="A", methods=(), auth_level="function")),
    ],
)
def test_http_options_are_read(tmp_path: Path, options: Mapping[str, Any], expected: HttpTrigger) -> None:
    write_function(tmp_path, "A", {**HTTP, **options}, RESPONSE)
    assert only(read(tmp_path)).http == expected


@pytest.mark.parametrize(
    ("one", "other", "is_conflict"),
    [
        ({"route": "/X/"}, {"route": "x"}, True),
        ({"route": "x", "methods": ["get"]}, {"route": "x", "methods": ["post"]}, False),
        ({"route": "x", "methods": ["get"]}, {"route": "x"}, True),
        ({"route": "x", "methods": ["get"]}, {"route": "x", "methods": ["GET"]}, False),
        ({"route": "x"}, {"route": "y"}, False),
        ({"route": "second"}, {}, True),
    ],
)
def test_the_later_of_two_functions_with_one_route_is_refused(
    tmp_path: Path, one: Mapping[str, Any], other: Mapping[str, Any], is_conflict: bool
) -> None:
    write_function(tmp_path, "First", {**HTTP, **one})
    write_function(tmp_path, "Second", {**HTTP, **other})
    messages = [(error.name, error.message) for error in read(tmp_path).errors]
    expected = [("Second", "The route specified conflicts with the route defined by function 'First'.")]
    assert messages == (expected if is_conflict else [])


def test_durable_names_come_from_the_trigger_with_settings_expanded(tmp_path: Path) -> None:
    write_function(tmp_path, "Orch", {**ORCHESTRATOR, "orchestration": "%PREFIX%-main"})
    write_function(tmp_path, "Act", ACTIVITY)
    write_function(tmp_path, "Count", {**ENTITY, "entityName": "%PREFIX%Counter"})
    write_function(tmp_path, "Other", ENTITY)
    app = read(tmp_path, {"prefix": "v1"})
    assert app.of_kind(TriggerKind.ORCHESTRATION)["v1-main"].name == "Orch"
    assert app.of_kind(TriggerKind.ACTIVITY)["act"].registered_name == "Act"
    entities = app.of_kind(TriggerKind.ENTITY)
    assert {name: function.name for name, function in entities.items()} == {"v1counter": "Count", "other": "Other"}


def test_the_task_hub_of_a_client_is_expanded(tmp_path: Path) -> None:
    client = {"type": "durableClient", "name": "starter", "taskHub": "%HUB%"}
    write_function(tmp_path, "A", HTTP, client)
    function = only(read(tmp_path, {"HUB": "Other"}))
    assert function.bindings[1].property("taskhub") == "Other"
    assert function.config["bindings"] == [HTTP, client]


def test_two_functions_of_one_durable_name_conflict(tmp_path: Path) -> None:
    write_function(tmp_path, "A", {**ACTIVITY, "activity": "work"})
    write_function(tmp_path, "B", {**ACTIVITY, "activity": "Work"})
    app = read(tmp_path)
    assert [function.name for function in app.functions] == ["A"]
    assert [error.message for error in app.errors] == ["The name 'Work' is registered by function 'A' already."]


def test_output_bindings_of_other_extensions_are_accepted(tmp_path: Path) -> None:
    write_function(
        tmp_path,
        "A",
        ACTIVITY,
        {"type": "twilioSms", "name": "sms", "direction": "out"},
        {"type": "blob", "name": "file", "direction": "out", "path": "a/b"},
    )
    assert len(only(read(tmp_path)).bindings) == 3


@pytest.mark.parametrize("key", ["AzureWebJobs.A.Disabled", "AzureWebJobs_A_Disabled"])
@pytest.mark.parametrize(("value", "is_disabled"), [("1", True), ("True", True), ("0", False), ("yes", False)])
def test_a_function_is_disabled_by_a_setting(tmp_path: Path, key: str, value: str, is_disabled: bool) -> None:
    write_function(tmp_path, "A", HTTP)
    assert only(read(tmp_path, {key: value})).is_disabled is is_disabled


def test_the_allow_list_leaves_the_others_out(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_function(tmp_path, name, HTTP)
    app = read(tmp_path, allow_list=["a"])
    assert only(app).name == "A"
    assert app.warnings == ("A function allow list has been specified, excluding all but the following functions: [a]",)


@pytest.mark.parametrize(("file", "settings"), [("function_app.py", {}), ("m.py", {"PYTHON_SCRIPT_FILE_NAME": "m.py"})])
def test_an_app_of_the_v2_model_is_refused(tmp_path: Path, file: str, settings: Mapping[str, str]) -> None:
    write_function(tmp_path, "A", HTTP)
    (tmp_path / file).touch()
    with pytest.raises(ConfigurationError, match="v1 model only"):
        read(tmp_path, settings)


@pytest.mark.parametrize("kind", ["timerTrigger", "queueTrigger", "BLOBTRIGGER", "sqlTrigger", "signalRTrigger"])
def test_a_trigger_that_devhost_does_not_serve_is_accepted_and_has_no_kind(tmp_path: Path, kind: str) -> None:
    client = {"type": "durableClient", "name": "starter"}
    write_function(tmp_path, "A", {"type": kind, "name": "event", "queueName": "%UNSET%"}, client)

    function = only(read(tmp_path))

    assert (function.kind, function.trigger.type, function.http) == (None, kind, None)
    assert not any(read(tmp_path).of_kind(served) for served in TriggerKind)


def test_functions_with_triggers_that_are_not_served_may_share_a_name_property(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_function(tmp_path, name, {"type": "timerTrigger", "name": "timer", "activity": "same"})
    assert [function.registered_name for function in read(tmp_path).functions] == ["A", "B"]


def test_an_output_that_goes_nowhere_is_a_warning_and_the_function_runs(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP, RESPONSE, {"type": "queue", "name": "orders", "direction": "out"})

    app = read(tmp_path)

    assert only(app).name == "A"
    [warning] = app.warnings
    assert "'A'" in warning
    assert "'orders' of type 'queue' goes nowhere" in warning
