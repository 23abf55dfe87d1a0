"""The number of files and connections that this process may have open."""

from __future__ import annotations

import sys
from contextlib import suppress

_WANTED = 65536

if sys.platform == "win32":

    def raise_limit() -> int:
        """Windows has no such limit."""
        return _WANTED

else:

    def raise_limit() -> int:
        """Raises the soft limit as far as it may be raised without rights; returns the limit."""
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return _WANTED
        wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
        # macOS allows less than its hard limit.
        for limit in (wanted, 10240):
            if soft < limit:
                with suppress(ValueError, OSError):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                    return limit
        return soft
