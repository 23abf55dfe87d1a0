"""From folders to a FunctionApp: which folders count, the error messages, and that a bad function stops no other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from durablehost.app.discovery import discover
from durablehost.app.model import Function, FunctionApp, HttpTrigger, TriggerKind
from durablehost.errors import ConfigurationError

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


LENIENT = """\ufeff{
  // the trigger
  'bindings': [
    {"type": "httpTrigger", 'name': 'req', /* x */ "authLevel": "function", "route": 'it\\'s "here", //x'},
  ],
}"""


def test_a_function_json_may_have_comments_trailing_commas_single_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    (write_function(tmp_path, "A") / "function.json").write_text(LENIENT, "utf-8")
    trigger = only(read(tmp_path)).http
    assert trigger is not None
    assert trigger.route == 'it\'s "here", //x'


def test_a_broken_function_json_is_named_with_file_and_line(tmp_path: Path) -> None:
    file = write_function(tmp_path, "A") / "function.json"
    file.write_text('{\n  "bindings": [}', "utf-8")
    assert the_error(read(tmp_path)) == "A/function.json is not valid JSON: Expecting value (line 2, column 16)."


@pytest.mark.parametrize("script", ["none.py", "../none.py", "../../none.py", "/none.py"])
def test_an_error_has_no_path_of_the_machine(tmp_path: Path, script: str) -> None:
    write_function(tmp_path, "A", HTTP, scriptFile=script)
    assert str(tmp_path.parent) not in the_error(read(tmp_path))


def test_a_function_json_of_another_encoding_or_kind_is_named(tmp_path: Path) -> None:
    good = write_function(tmp_path, "Wide", HTTP) / "function.json"
    good.write_text(good.read_text("utf-8"), "utf-16")
    latin, text = (write_function(tmp_path, name) / "function.json" for name in ("Latin", "Text"))
    latin.write_bytes(b'{\n"\xff')
    text.write_text('"bindings"', "utf-8")
    app = read(tmp_path)
    assert [function.name for function in app.functions] == ["Wide"]
    assert [(error.name, error.message) for error in app.errors] == [
        ("Latin", "Latin/function.json is not valid JSON: it is not UTF-8 text, save it as UTF-8 (line 2)."),
        ("Text", "Text/function.json must contain a JSON object, `{...}`."),
    ]


def test_a_missing_root_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="absent"):
        read(tmp_path / "absent")


def test_only_immediate_folders_with_a_function_file_count(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP)
    write_function(tmp_path / "nested", "B", HTTP)
    (tmp_path / "shared_code").mkdir()
    assert only(read(tmp_path)).name == "A"


def test_a_folder_that_cannot_be_read_is_no_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_function(tmp_path, "A", HTTP)
    (tmp_path / "data").mkdir()
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "data":
            raise PermissionError(13, "Permission denied")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert only(read(tmp_path)).name == "A"


def test_a_link_to_a_folder_is_a_function_under_the_name_of_the_link(tmp_path: Path) -> None:
    target = write_function(tmp_path / "elsewhere", "Target", HTTP)
    root = tmp_path / "app"
    root.mkdir()
    try:
        (root / "Linked").symlink_to(target, target_is_directory=True)
        (root / "Dangling").symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("this user may not create links")
    function = only(read(root))
    assert (function.name, function.script_file) == ("Linked", root / "Linked" / "__init__.py")


def test_words_in_any_case_and_unknown_members_are_accepted(tmp_path: Path) -> None:
    trigger = {"TYPE": "HTTPTRIGGER", "Name": "req", "Direction": "IN", "AuthLevel": "ANONYMOUS", "dataType": "Binary"}
    write_function(
        tmp_path, "A", trigger, {**RESPONSE, "direction": "OUT", "x": 1}, **{"$schema": "s", "generatedBy": 1}
    )
    function = only(read(tmp_path))
    assert (function.kind, function.http and function.http.auth_level) == (TriggerKind.HTTP, "anonymous")


@pytest.mark.parametrize("value", [True, "true", "A_SETTING"])
def test_disabled_in_function_json_has_no_effect_and_says_so(tmp_path: Path, value: object) -> None:
    write_function(tmp_path, "A", HTTP, disabled=value)
    write_function(tmp_path, "B", HTTP, disabled=False)
    app = read(tmp_path)
    assert [function.is_disabled for function in app.functions] == [False, False]
    assert app.warnings == (
        "Function 'A': \"disabled\" in function.json has no effect in Azure Functions 4; "
        "the setting AzureWebJobs.A.Disabled disables a function.",
    )


@pytest.mark.parametrize(("written", "meant"), [("EntryPoint", "entryPoint"), ("script_file", "scriptFile")])
def test_a_misspelled_member_has_no_effect_and_says_so(tmp_path: Path, written: str, meant: str) -> None:
    write_function(tmp_path, "A", HTTP, **{written: "x", "language": "python", "generatedBy": "x"})
    app = read(tmp_path)
    assert only(app).entry_point == "main"
    assert app.warnings == (f'Function \'A\': "{written}" in function.json has no effect; write "{meant}".',)


def test_misspelled_bindings_are_named(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "function.json").write_text(json.dumps({"Bindings": [HTTP]}))
    assert the_error(read(tmp_path)) == (
        'At least one binding must be declared. "Bindings" in function.json has no effect; write "bindings".'
    )


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
        (
            [{**HTTP, "dataType": "text"}],
            "'text' is not a valid value of 'dataType' in binding 'req'; it must be string or binary or stream or "
            "undefined.",
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
        (
            [RESPONSE, {**HTTP, "type": "httpTriger"}],
            "No trigger binding specified. A function must have a trigger input binding. "
            "'httpTriger' is no known type. Is 'httptrigger' meant?",
        ),
        (
            [HTTP, {"type": "durableClient", "name": "client", "direction": "out"}],
            "The binding 'client' of type 'durableClient' needs the direction 'in'.",
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
            "the input binding 'rows' of type 'table' is not supported by durablehost: "
            "besides the trigger, the only input may be durableClient.",
        ),
        (
            [HTTP, {"type": "blob", "name": "file", "path": "a/b"}],
            "the input binding 'file' of type 'blob' is not supported by durablehost: "
            "besides the trigger, the only input may be durableClient.",
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
        ({"scriptFile": "..\\a.py"}, "a.py. Write / for \\ in the path."),
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
def test_an_ambiguous_script_is_refused(tmp_path: Path, files: list[str]) -> None:
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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders")
def test_a_pipe_in_place_of_a_function_json_is_an_error_of_that_function_alone(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP)
    (tmp_path / "B").mkdir()
    os.mkfifo(tmp_path / "B" / "function.json")
    app = read(tmp_path)
    assert [function.name for function in app.functions] == ["A"]
    assert [error.message for error in app.errors] == ["B/function.json cannot be read: it is a pipe, not a file."]


def test_a_folder_in_place_of_a_function_json_makes_no_function(tmp_path: Path) -> None:
    (tmp_path / "B" / "function.json").mkdir(parents=True)
    app = read(tmp_path)
    assert (app.functions, app.errors) == ((), ())


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


def test_an_error_repeats_no_secret_of_a_setting(tmp_path: Path) -> None:
    write_function(tmp_path, "Orch", {**ORCHESTRATOR, "orchestration": "@%HUB%"})
    (error,) = read(tmp_path, {"HUB": "AccountName=a;AccountKey=abc;"}).errors
    assert error.message == (
        "The orchestration name '@AccountName=a;AccountKey=***;' is invalid: it must not begin with '@'."
    )


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
    app = read(tmp_path, allow_list=["a", "c"])
    assert only(app).name == "A"
    assert app.warnings == (
        "A function allow list has been specified, excluding all but the following functions: [a, c]",
        "'c' in this list is no function of this app.",
    )


@pytest.mark.parametrize(("file", "settings"), [("function_app.py", {}), ("m.py", {"PYTHON_SCRIPT_FILE_NAME": "m.py"})])
def test_an_app_of_the_v2_model_is_refused(tmp_path: Path, file: str, settings: Mapping[str, str]) -> None:
    write_function(tmp_path, "A", HTTP)
    (tmp_path / file).touch()
    with pytest.raises(ConfigurationError, match="v1 model only"):
        read(tmp_path, settings)


@pytest.mark.parametrize(
    "kind", ["timerTrigger", "queueTrigger", "BLOBTRIGGER", "sqlTrigger", "signalRTrigger", "warmupTrigger"]
)
def test_a_trigger_that_durablehost_does_not_serve_is_accepted_and_has_no_kind(tmp_path: Path, kind: str) -> None:
    client = {"type": "durableClient", "name": "starter"}
    write_function(tmp_path, "A", {"type": kind, "name": "event", "queueName": "%UNSET%"}, client)

    function = only(read(tmp_path))

    assert (function.kind, function.trigger.type, function.http) == (None, kind, None)
    assert not any(read(tmp_path).of_kind(served) for served in TriggerKind)


def test_functions_with_triggers_that_are_not_served_may_share_a_name_property(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_function(tmp_path, name, {"type": "timerTrigger", "name": "timer", "activity": "same"})
    assert [function.registered_name for function in read(tmp_path).functions] == ["A", "B"]


def test_an_unserved_output_is_a_warning_and_the_function_runs(tmp_path: Path) -> None:
    write_function(tmp_path, "A", HTTP, RESPONSE, {"type": "queue", "name": "orders", "direction": "out"})

    app = read(tmp_path)

    assert only(app).name == "A"
    [warning] = app.warnings
    assert "'A'" in warning
    assert "does not serve the output binding 'orders' of type 'queue'" in warning
