"""Checks who can reach the host before it listens, and warns the developer or asks for a decision."""

from __future__ import annotations

import ipaddress

from durablehost.errors import ConfigurationError
from durablehost.settings import Settings

_ANY_ORIGIN = "*"


def exposure_warnings(settings: Settings) -> list[str]:
    """The warnings to show at the start.

    Raises:
        ConfigurationError: other machines could call the host without a key, and no option allows that.
    """
    http, warnings = settings.http, []
    if not ipaddress.ip_address(http.address).is_loopback:
        if not (settings.checks_keys or settings.allows_anonymous):
            raise ConfigurationError(
                f"--address: other machines can reach {http.address}, and this host asks for no keys. Add "
                "--enableAuth, or --allow-anonymous if they may call everything, or leave out --address "
                "(Host.LocalHttpAddress)."
            )
        danger = "the keys cross the network unencrypted" if settings.checks_keys else "it checks no keys"
        warnings.append(f"Listening on {http.address}: other machines can reach this host, and {danger}.")
    if _ANY_ORIGIN in http.cors_origins and not settings.checks_keys:
        warnings.append(
            "CORS is *: any page that is open in a browser on this machine may call this host and read its answers. "
            "Name the origins of your pages in Host.CORS of local.settings.json or with --cors."
        )
    return warnings
