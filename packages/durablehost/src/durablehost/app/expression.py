"""`%NAME%` in function.json: replaced from the settings when the app is read.

Only a few properties are expanded; the caller decides which. Mirrors DefaultNameResolver and its ResolveWholeString.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from durablehost.app.invalid import InvalidFunctionError

FindSetting = Callable[[str], "str | None"]


def expand(text: str, find_setting: FindSetting) -> str:
    """Replaces every `%NAME%`.

    Raises:
        InvalidFunctionError: a setting is missing, or a `%` has no partner.
    """
    if text.count("%") % 2:
        raise InvalidFunctionError(f"The '%' at position {text.rindex('%')} does not have a closing '%'")
    return re.sub("%([^%]*)%", lambda match: _value(match.group(1), find_setting), text)


def _value(name: str, find_setting: FindSetting) -> str:
    value = find_setting(name)
    if not value:
        raise InvalidFunctionError(f"'%{name}%' does not resolve to a value.")
    return value
