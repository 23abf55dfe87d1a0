"""The keys of one host by what they give access to, and how a new key is made.

Mirrors HostSecrets and FunctionSecrets of the Functions host: a master key, named keys for the host and for each
function, and a system key for each extension with webhooks.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT = "default"
DURABLE_TASK = "durabletask_extension"

_KEY_BYTES = 40


@dataclass(frozen=True, kw_only=True)
class KeyRing:
    """The keys by name; in `functions` those of each function, by its name in lower case."""

    master: str = field(repr=False)
    host: Mapping[str, str] = field(repr=False)
    system: Mapping[str, str] = field(repr=False)
    functions: Mapping[str, Mapping[str, str]] = field(repr=False)

    @property
    def durable(self) -> str:
        """The key of the management API."""
        return self.system[DURABLE_TASK]


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")
