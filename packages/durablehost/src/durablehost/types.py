"""The JSON alias that every layer shares; imports nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

# `|` cannot join forward references at run time.
JsonValue = Union[None, bool, int, float, str, Sequence["JsonValue"], Mapping[str, "JsonValue"]]  # noqa: UP007
JsonObject = Mapping[str, JsonValue]
