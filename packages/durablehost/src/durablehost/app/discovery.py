"""Makes a `FunctionApp` of a script root: reads its function.json files, validates them, checks them together.

An error in one function never stops the others. Mirrors HostFunctionMetadataProvider, FunctionMetadataManager
and ScriptHost of the Functions host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from durablehost import lenient_json
from durablehost.app.binding_type import HTTP_OUTPUT
from durablehost.app.expression import FindSetting
from durablehost.app.http_trigger import check_route, read_http_trigger
from durablehost.app.invalid import InvalidFunctionError
from durablehost.app.model import Direction, Function, FunctionApp, FunctionError, TriggerKind
from durablehost.app.retry import check_configuration_source, check_retry
from durablehost.app.script_file import FUNCTION_FILE, find_script, other_language
from durablehost.app.validation import read_bindings
from durablehost.errors import ConfigurationError
from durablehost.printable import without_secrets
from durablehost.types import JsonObject

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE | re.ASCII)
# Names at the top of function.json, by lower case. The Functions host reads them in this spelling alone.
_MEMBERS = {name.lower(): name for name in ("bindings", "disabled", "entryPoint", "retry", "scriptFile")}
_LEAST_LIKENESS = 0.85
_NAME_PROPERTIES = {
    TriggerKind.ORCHESTRATION: "orchestration",
    TriggerKind.ACTIVITY: "activity",
    TriggerKind.ENTITY: "entityName",
}


def discover(
    root: Path,
    *,
    find_setting: FindSetting,
    allow_list: Collection[str] | None = None,
    has_bundle: bool = True,
) -> FunctionApp:
    """Reads the app below `root`; a root without functions gives an empty app.

    `find_setting` looks an app setting up without regard to case. `allow_list` names the functions to take, all if
    it is empty. `has_bundle` says whether host.json names an extension bundle; only a message depends on it.

    Raises:
        ConfigurationError: durablehost cannot serve this app at all.
    """
    root = root.absolute()
    _check_programming_model(root, find_setting)
    reading = _Reading(find_setting, has_bundle=has_bundle)
    for folder in _function_folders(root, allow_list):
        reading.read(folder)
    if reading.skipped and not reading.functions and not reading.errors:
        raise ConfigurationError(f"{root}: Did not find functions with language [python]. {' '.join(reading.skipped)}")
    return FunctionApp(
        root=root,
        functions=tuple(reading.functions),
        errors=tuple(reading.errors),
        warnings=(
            *_allow_list_notices(root, allow_list),
            *reading.skipped,
            *_disabled_notices(reading.functions),
            *_spelling_notices(reading.functions),
            *_output_notices(reading.functions),
        ),
    )


def _check_programming_model(root: Path, find_setting: FindSetting) -> None:
    name = find_setting("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    if (root / name).is_file():
        raise ConfigurationError(
            f"{root / name} makes this an app of the v2 programming model, in which function.json folders are ignored; "
            "durablehost serves the v1 model only: move the file away, or run the app with Azure Functions Core Tools."
        )


def _function_folders(root: Path, allow_list: Collection[str] | None) -> list[Path]:
    allowed = {name.lower() for name in allow_list or ()}
    try:
        folders = [entry for entry in root.iterdir() if _is_function(entry)]
    except OSError as error:
        raise ConfigurationError(f"The script root {root} cannot be read: {error.strerror or error}.") from error
    # Ordinal and without regard to case, as .NET does it: in upper case, so that '_' comes after the letters.
    return sorted(
        (folder for folder in folders if not allowed or folder.name.lower() in allowed),
        key=lambda folder: (folder.name.upper(), folder.name),
    )


def _is_function(folder: Path) -> bool:
    try:
        file = folder / FUNCTION_FILE
        # As in .NET: a pipe or a device counts, so that its error is shown.
        return file.exists() and not file.is_dir()
    except OSError:
        # A folder of another user, such as the data of a container.
        return False


def _allow_list_notices(root: Path, allow_list: Collection[str] | None) -> Iterator[str]:
    if not allow_list:
        return
    yield (
        "A function allow list has been specified, excluding all but the following functions: "
        f"[{', '.join(allow_list)}]"
    )
    names = {folder.name.lower() for folder in _function_folders(root, None)}
    yield from (
        f"'{name}' in this list is no function of this app." for name in allow_list if name.lower() not in names
    )


def _disabled_notices(functions: Iterable[Function]) -> Iterator[str]:
    for function in functions:
        if function.config.get("disabled"):
            yield (
                f"Function '{function.name}': \"disabled\" in {FUNCTION_FILE} has no effect in Azure Functions 4; "
                f"the setting AzureWebJobs.{function.name}.Disabled disables a function."
            )


def _spelling_notices(functions: Iterable[Function]) -> Iterator[str]:
    for function in functions:
        yield from (f"Function '{function.name}': {problem}" for problem in _misspelled(function.config))


def _misspelled(config: JsonObject) -> Iterator[str]:
    for name in config:
        meant = get_close_matches(name.lower(), _MEMBERS, n=1, cutoff=_LEAST_LIKENESS)
        if meant and name != _MEMBERS[meant[0]]:
            yield f'"{name}" in {FUNCTION_FILE} has no effect; write "{_MEMBERS[meant[0]]}".'


def _output_notices(functions: Iterable[Function]) -> Iterator[str]:
    for function in functions:
        for binding in function.bindings:
            if binding.direction is Direction.OUT and binding.type.lower() != HTTP_OUTPUT:
                yield (
                    f"Function '{function.name}': durablehost does not serve the output binding '{binding.name}' of "
                    f"type '{binding.type}'; its values are discarded."
                )


class _Reading:
    """One pass over the folders, in the order of names: a function is checked against those before it."""

    def __init__(self, find_setting: FindSetting, *, has_bundle: bool) -> None:
        self._find_setting = find_setting
        self._has_bundle = has_bundle
        self.functions: list[Function] = []
        self.errors: list[FunctionError] = []
        self.skipped: list[str] = []

    def read(self, folder: Path) -> None:
        try:
            function = self._function(folder)
            if function is not None:
                self._check_against_others(function)
                self.functions.append(function)
        except OSError as error:
            message = f"{folder.name} cannot be read: {error.strerror or type(error).__name__}."
            self.errors.append(FunctionError(name=folder.name, message=message))
        except (InvalidFunctionError, ValueError, RecursionError) as error:
            # Callers may read it, and the value of a setting may be part of it.
            self.errors.append(FunctionError(name=folder.name, message=without_secrets(str(error))))

    def _function(self, folder: Path) -> Function | None:
        name = folder.name
        if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
            raise InvalidFunctionError(f"'{name}' is not a valid function name.")
        config = _read_config(folder / FUNCTION_FILE)
        check_configuration_source(config, name)
        if "bindings" not in config:
            raise InvalidFunctionError(" ".join(["At least one binding must be declared.", *_misspelled(config)]))
        bindings = read_bindings(config, find_setting=self._find_setting, has_bundle=self._has_bundle)
        check_retry(config.get("retry"))
        script = find_script(folder, config)
        language = other_language(script)
        if language is not None:
            self.skipped.append(f"Function '{name}' is left out: its script {script.name} is {language}, not python.")
            return None
        function = Function(
            name=name,
            folder=folder,
            script_file=script,
            entry_point=_entry_point(config),
            bindings=bindings,
            config=config,
            registered_name=name,
            is_disabled=self._is_disabled(name),
        )
        return _with_trigger_options(function)

    def _is_disabled(self, name: str) -> bool:
        # Shells on Linux cannot export a name with dots, hence the second form.
        values = (self._find_setting(key) for key in (f"AzureWebJobs.{name}.Disabled", f"AzureWebJobs_{name}_Disabled"))
        return any((value or "").lower() in ("1", "true") for value in values)

    def _check_against_others(self, function: Function) -> None:
        if any(other.name.lower() == function.name.lower() for other in self.functions):
            raise InvalidFunctionError(
                f"The function or proxy name '{function.name}' must be unique within the function app."
            )
        check_route(function, self.functions)
        if function.kind in _NAME_PROPERTIES:
            self._check_registered_name(function)

    def _check_registered_name(self, function: Function) -> None:
        name = function.registered_name.lower()
        same = (other for other in self.functions if other.kind is function.kind)
        taken_by = next((other.name for other in same if other.registered_name.lower() == name), None)
        if taken_by is not None:
            raise InvalidFunctionError(
                f"The name '{function.registered_name}' is registered by function '{taken_by}' already."
            )


def _read_config(file: Path) -> JsonObject:
    try:
        config = lenient_json.read(file)
    except OSError as error:
        raise InvalidFunctionError(
            f"{_shown(file)} cannot be read: {error.strerror or type(error).__name__}."
        ) from error
    except ValueError as error:
        raise InvalidFunctionError(f"{_shown(file)} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise InvalidFunctionError(f"{_shown(file)} must contain a JSON object, `{{...}}`.")
    return config


def _shown(file: Path) -> str:
    """The path below the script root: callers see the error, and no answer has a path of this machine."""
    return f"{file.parent.name}/{file.name}"


def _entry_point(config: JsonObject) -> str:
    entry_point = config.get("entryPoint")
    return entry_point if isinstance(entry_point, str) and entry_point else "main"


def _with_trigger_options(function: Function) -> Function:
    kind = function.kind
    if kind is TriggerKind.HTTP:
        return replace(function, http=read_http_trigger(function.trigger, function.name))
    if kind is None:
        return function
    written = function.trigger.property(_NAME_PROPERTIES[kind])
    registered_name = written if isinstance(written, str) and written else function.name
    if kind is TriggerKind.ORCHESTRATION and registered_name.startswith("@"):
        raise InvalidFunctionError(
            f"The orchestration name '{registered_name}' is invalid: it must not begin with '@'."
        )
    return replace(function, registered_name=registered_name)
