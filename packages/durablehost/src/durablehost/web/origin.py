"""Reads the headers `Host` and `Origin`: a name or an address, a port, and in `Origin` a scheme.

Stricter than URLs: no user, no zone, no path, and a port from 1 to 65535. Browsers send nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_LOCALHOST = "localhost"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?"
_AUTHORITY = re.compile(rf"({_NAME}|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?", re.IGNORECASE | re.ASCII)
_MOST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class WebOrigin:
    """Scheme, host and port of a page, as browsers compare them: in lower case, the port always given."""

    scheme: str
    host: str
    port: int


def read_origin(text: str) -> WebOrigin | None:
    """An origin of the scheme http or https; None for any other text."""
    scheme, _, authority = text.lower().partition("://")
    found = _AUTHORITY.fullmatch(authority) if scheme in _DEFAULT_PORTS else None
    if found is None:
        return None
    port = int(found[2] or _DEFAULT_PORTS[scheme])
    return WebOrigin(scheme=scheme, host=found[1], port=port) if port <= _MOST_PORT else None


def is_malformed_origin(text: str) -> bool:
    """Whether the text begins like an origin of http or https, and is none."""
    return text.lower().partition("://")[0] in _DEFAULT_PORTS and read_origin(text) is None


def host_in(header: str) -> str | None:
    """The name or address in a `Host` header, in lower case and without the port; None if the header is malformed."""
    origin = read_origin(f"http://{header}")
    return origin.host if origin else None


def is_of_this_machine(host: str) -> bool:
    """Whether no name server decides which machine this is: `localhost`, a name below it, or an IP address.

    Addresses count in the spelling of browsers alone. 0.0.0.0/8, `::` and IPv4 addresses in the form of IPv6 do not:
    browsers connect them to this machine past the rules that they have for its other addresses.
    """
    if host == _LOCALHOST or host.endswith(f".{_LOCALHOST}"):
        return True
    text = host.strip("[]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return int(address) >> 24 != 0
    return str(address) == text and (address.is_loopback or int(address) >> 32 not in (0, 0xFFFF))
