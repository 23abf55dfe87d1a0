"""The file with the keys of an app: `.local/keys.json` below the script root.

Rule of this file: existing keys are kept, missing ones are made. Mirrors the secrets folder of the Functions host
(`AzureWebJobsSecretStorageType=files`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from durablehost.errors import ConfigurationError
from durablehost.keys.private_file import read_private, write_private
from durablehost.keys.ring import DEFAULT, DURABLE_TASK, KeyRing, new_key
from durablehost.system import local_folder
from durablehost.types import JsonObject, JsonValue

_MASTER, _HOST, _SYSTEM, _FUNCTIONS = "master", "host", "system", "functions"


def key_file(script_root: Path) -> Path:
    return script_root / local_folder.NAME / "keys.json"


def load_keys(script_root: Path, function_names: Iterable[str], warnings: list[str]) -> KeyRing:
    """The keys of the file, completed by new ones; these are stored before this returns.

    Raises:
        ConfigurationError: the file cannot be read, written, or trusted.
    """
    file = key_file(script_root)
    try:
        text = read_private(file, warnings)
        stored = _object(json.loads(text or "{}"))
        keys = _completed(stored, function_names)
        if _document(keys) != stored:
            _write(script_root, keys)
    except OSError as error:
        raise ConfigurationError(f"The key file {file} cannot be used: {error.strerror or error}.") from error
    except (ValueError, RecursionError):
        # Without its cause, which may quote a key.
        raise ConfigurationError(
            f"The key file {file} is not valid: correct it, or remove it, and durablehost makes new keys."
        ) from None
    return keys


def save_keys(script_root: Path, keys: KeyRing) -> None:
    """Replaces the keys in the file by these.

    Raises:
        ConfigurationError: it cannot be written; its old content is kept.
    """
    try:
        _write(script_root, keys)
    except OSError as error:
        file = key_file(script_root)
        raise ConfigurationError(f"The key file {file} cannot be written: {error.strerror or error}.") from error


def _write(script_root: Path, keys: KeyRing) -> None:
    local_folder.make_local_folder(script_root)
    write_private(key_file(script_root), json.dumps(_document(keys), indent=2) + "\n")


def _completed(stored: JsonObject, function_names: Iterable[str]) -> KeyRing:
    functions = {name.lower(): _named(keys) for name, keys in _object(stored.get(_FUNCTIONS)).items()}
    for name in function_names:
        functions[name.lower()] = _with(DEFAULT, functions.get(name.lower(), {}))
    return KeyRing(
        master=_key(stored.get(_MASTER, new_key())),
        host=_with(DEFAULT, _named(stored.get(_HOST))),
        system=_with(DURABLE_TASK, _named(stored.get(_SYSTEM))),
        functions=functions,
    )


def _document(keys: KeyRing) -> JsonObject:
    return {_MASTER: keys.master, _HOST: keys.host, _SYSTEM: keys.system, _FUNCTIONS: keys.functions}


def _with(name: str, keys: Mapping[str, str]) -> Mapping[str, str]:
    return keys if name in keys else {**keys, name: new_key()}


def _named(value: JsonValue) -> Mapping[str, str]:
    return {name: _key(key) for name, key in _object(value).items()}


def _object(value: JsonValue) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError("not a JSON object")
    return value


def _key(value: JsonValue) -> str:
    # An empty key would admit callers without a key.
    if not isinstance(value, str) or not value.strip():
        raise ValueError("not a key")
    return value
