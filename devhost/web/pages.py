"""What web pages may do with a host on the developer's machine: nothing, unless they are its own or CORS names them.

Every page, of whatever site, can send requests to the loopback; by DNS rebinding even under a name of its own, which
makes it look like a page of this host. What gives pages away are headers that no page can set: `Host`, `Origin` and
`Sec-Fetch-...` (Fetch Metadata). Programs send them too if they like; what they may do is the affair of keys.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from devhost.errors import RequestError
from devhost.web.cors import CorsPolicy
from devhost.web.request import EdgeRequest

_LOCALHOST = "localhost"
_ANY = "*"
_LONGEST_SHOWN = 100

# Said by browsers of requests that no other site has caused: its own page, or the developer at the address bar.
_OWN_SITES = frozenset({"same-origin", "none"})
_LINK = ("GET", "navigate", "document")


class PageGuard:
    """The rules of the public listener. Every check raises `RequestError`, 403."""

    def __init__(self, cors: CorsPolicy, allowed_hosts: Iterable[str]) -> None:
        self._cors = cors
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    def check(self, request: EdgeRequest) -> None:
        if _ANY not in self._allowed_hosts:
            _check_host(request, self._allowed_hosts)
        origin = request.header("Origin")
        if _is_foreign(request, origin) and not self._cors.allows(origin):
            raise RequestError(
                403,
                f"The page {_shown(origin) or 'of another site'} may not call this host.",
                "If the page is yours, name its origin in Host.CORS of local.settings.json or with --cors.",
            )


def refuse_pages(request: EdgeRequest) -> None:
    """The rule of the RPC base, where no browser has any business."""
    _check_host(request, frozenset())
    if request.header("Origin") or request.header("Sec-Fetch-Site"):
        raise RequestError(403, "This address is for durable clients inside functions.", "Browsers may not call it.")


def _check_host(request: EdgeRequest, allowed: frozenset[str]) -> None:
    """Refuses names that a name server of somebody else could point to this machine; addresses are none."""
    host = request.header("Host")
    name = _name_in(host)
    if not (name in allowed or _is_of_this_machine(name) or not host):
        raise RequestError(
            403,
            f"This host does not answer to the name {_shown(host)}.",
            "If the name is yours, add it to Host.AllowedHosts in local.settings.json or to --allowed-hosts.",
        )


def _name_in(host: str) -> str:
    """The name or address in a `Host` header, in lower case; empty where there is none."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and parts.username is None else ""
    except ValueError:
        return ""


def _is_of_this_machine(name: str) -> bool:
    if name == _LOCALHOST or name.endswith(f".{_LOCALHOST}"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(request: EdgeRequest, origin: str) -> bool:
    """Whether a browser says that a page of another origin has caused the request, other than by a link to follow."""
    site = request.header("Sec-Fetch-Site")
    if site in _OWN_SITES:
        return False
    if origin:
        return origin.lower().partition("://")[2] != request.header("Host").lower()
    how = (request.method, request.header("Sec-Fetch-Mode"), request.header("Sec-Fetch-Dest"))
    return site == "cross-site" and how != _LINK


def _shown(text: str) -> str:
    return f"'{text[:_LONGEST_SHOWN]}'" if text else ""
