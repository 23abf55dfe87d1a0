"""Refuses requests of web pages to a host on the developer's machine, unless they are its own or CORS names them.

A page of any site can send requests to the loopback; by DNS rebinding even under its own name, so that it looks like a
page of this host. Pages are recognised by headers that they cannot set: `Host`, `Origin` and `Sec-...` (Fetch
Metadata). Programs can send any headers; keys decide what programs may do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from durablehost.errors import RequestError
from durablehost.web.cors import CorsPolicy
from durablehost.web.origin import host_in, is_malformed_origin, is_of_this_machine, read_origin
from durablehost.web.request import EdgeRequest

_ANY = "*"
_LONGEST_SHOWN = 100

# The values for requests that no other site has caused: they come from an own page, or from the address bar.
_OWN_SITES = frozenset({"same-origin", "none"})
_LINK = ("GET", "navigate", "document")
# How browsers announce that they load a page in advance: today's header, and those of older browsers.
_PURPOSE_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_IN_ADVANCE = re.compile("prefetch|prerender|preview", re.IGNORECASE)


class PageGuard:
    """The rules of the public listener. Every check raises `RequestError`: 400 for a malformed `Host`, else 403."""

    def __init__(self, cors: CorsPolicy, allowed_hosts: Iterable[str]) -> None:
        self._cors = cors
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    def check_host(self, request: EdgeRequest) -> None:
        """Refuses names that a stranger's name server could point to this machine."""
        _check_host(request, self._allowed_hosts)

    def check_page(self, request: EdgeRequest) -> None:
        """Refuses what a page of another origin has caused, and what a browser loads in advance."""
        _refuse_loading_in_advance(request)
        origin = request.header("Origin")
        if is_malformed_origin(origin) or (_is_foreign(request, origin) and not self._cors.allows(origin)):
            raise RequestError(
                403,
                f"The page {_shown(origin) or 'of another site'} may not call this host.",
                "If the page is yours, name its origin in Host.CORS of local.settings.json or with --cors.",
            )


def refuse_pages(request: EdgeRequest) -> None:
    """Refuses every page, its own too: the rule of the RPC base."""
    _check_host(request, frozenset())
    _refuse_loading_in_advance(request)
    if request.header("Origin") or request.header("Sec-Fetch-Site"):
        raise RequestError(403, "This address is for durable clients inside functions.", "Browsers may not call it.")


def _check_host(request: EdgeRequest, allowed: frozenset[str]) -> None:
    header = request.header("Host")
    if not header:
        return  # no browser leaves it out
    host = host_in(header)
    if host is None:
        raise RequestError(
            400,
            f"The Host header {_shown(header)} is malformed.",
            "It has to be a name or an IP address, with or without a port from 1 to 65535.",
        )
    if not (_ANY in allowed or host in allowed or is_of_this_machine(host)):
        raise RequestError(
            403,
            f"This host does not answer to the name {_shown(header)}.",
            "If the name is yours, add it to Host.AllowedHosts in local.settings.json or to --allowed-hosts.",
        )


def _refuse_loading_in_advance(request: EdgeRequest) -> None:
    """Refuses prefetches and prerenders. Of those that another site requests, Chromium says that no site has."""
    if any(_IN_ADVANCE.search(request.header(name)) for name in _PURPOSE_HEADERS):
        raise RequestError(
            403,
            "This host answers no requests that a browser sends in advance.",
            "A function would run for a page that nobody has opened; the browser asks again when somebody does.",
        )


def _is_foreign(request: EdgeRequest, origin: str) -> bool:
    """Whether a page of another origin has sent the request, other than by opening this host as a page."""
    site = request.header("Sec-Fetch-Site")
    if site in _OWN_SITES:
        return False
    if origin:
        return read_origin(origin) != read_origin(request.origin)
    how = (request.method, request.header("Sec-Fetch-Mode"), request.header("Sec-Fetch-Dest"))
    return site not in ("", "same-site") and how != _LINK


def _shown(text: str) -> str:
    return f"'{text[:_LONGEST_SHOWN]}'" if text else ""
