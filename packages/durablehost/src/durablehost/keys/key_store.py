"""The keys of a running host, and their changes by the admin API, which are stored before they take effect.

Mirrors the changes of SecretManager of the Functions host. Names of keys are found in any case, as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path

from durablehost.keys.key_file import load_keys, save_keys
from durablehost.keys.ring import KeyRing, new_key


class KeyScope(Enum):
    """What a key gives access to, apart from a single function."""

    HOST = "host"
    SYSTEM = "system"


class KeyStore:
    """`current` are the keys that requests are checked against.

    Every change begins with the present content of the file, so that changes by hand are not lost.
    """

    def __init__(self, script_root: Path, function_names: Iterable[str], warnings: list[str]) -> None:
        """Raises `ConfigurationError` if the file cannot be read, written, or trusted."""
        self._root = script_root
        self._function_names = tuple(function_names)
        self.current = load_keys(script_root, self._function_names, warnings)

    def named(self, scope: KeyScope | str) -> Mapping[str, str]:
        """The keys of a scope, or of the function of this name, by their names."""
        return _named(self.current, scope)

    def set_master(self, value: str | None) -> str:
        """Replaces the master key, by a new one if no value is given; returns it."""
        key = value or new_key()
        self._store(replace(self._latest(), master=key))
        return key

    def put(self, scope: KeyScope | str, name: str, value: str | None) -> tuple[str, bool]:
        """Adds or replaces a key, by a new one if no value is given; returns it, and whether it was added."""
        keys = self._latest()
        known = _without(_named(keys, scope), name)
        is_added = len(known) == len(_named(keys, scope))
        key = value or new_key()
        self._store(_with(keys, scope, {**known, name: key}))
        return key, is_added

    def remove(self, scope: KeyScope | str, name: str) -> bool:
        """Removes a key; False if there is none. A key that the host needs is replaced by a new one."""
        keys = self._latest()
        known = _without(_named(keys, scope), name)
        if len(known) == len(_named(keys, scope)):
            return False
        self._store(_with(keys, scope, known))
        return True

    def _latest(self) -> KeyRing:
        return load_keys(self._root, self._function_names, [])

    def _store(self, keys: KeyRing) -> None:
        save_keys(self._root, keys)
        self.current = self._latest()


def _named(keys: KeyRing, scope: KeyScope | str) -> Mapping[str, str]:
    if isinstance(scope, KeyScope):
        return keys.host if scope is KeyScope.HOST else keys.system
    return keys.functions.get(scope.lower(), {})


def _with(keys: KeyRing, scope: KeyScope | str, named: Mapping[str, str]) -> KeyRing:
    if isinstance(scope, KeyScope):
        return replace(keys, host=named) if scope is KeyScope.HOST else replace(keys, system=named)
    return replace(keys, functions={**keys.functions, scope.lower(): named})


def _without(named: Mapping[str, str], name: str) -> dict[str, str]:
    return {each: key for each, key in named.items() if each.lower() != name.lower()}
