"""Environment variables looked up as .NET does: names in any case, `:` and `__` the same, `%NAME%` expanded."""

from __future__ import annotations

import re
from collections.abc import Mapping

from durablehost.errors import ConfigurationError


class Environment:
    """A read-only view of environment variables."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self._by_name = {_normalised(name): value for name, value in variables.items()}

    def find(self, name: str) -> str | None:
        """The value, None if it is absent or empty."""
        return self.variables.get(name) or self._by_name.get(_normalised(name)) or None

    def section(self, name: str) -> Mapping[str, str]:
        """The non-empty members `name__member`, by member in lower case."""
        prefix = f"{_normalised(name)}:"
        return {key[len(prefix) :]: value for key, value in self._by_name.items() if key.startswith(prefix) and value}

    def expand(self, text: str, *, where: str) -> str:
        """Replaces every `%NAME%`.

        Raises:
            ConfigurationError: a name has no value, or a `%` has no partner.
        """
        if text.count("%") % 2:
            raise ConfigurationError(f'{where} is "{text}"; the last % has no closing %.')
        return re.sub("%([^%]*)%", lambda match: self._value_of(match.group(1), where), text)

    def _value_of(self, name: str, where: str) -> str:
        value = self.find(name)
        if value is None:
            raise ConfigurationError(
                f"{where}: %{name}% does not resolve to a value: set {name} in local.settings.json or the environment."
            )
        return value


def _normalised(name: str) -> str:
    return name.replace("__", ":").lower()
