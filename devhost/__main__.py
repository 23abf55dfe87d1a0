"""`python -m devhost`."""

from __future__ import annotations

import sys

from devhost.cli import main

# Worker processes import this package too, some by spawning; they must not start a second host.
if __name__ == "__main__":
    sys.exit(main())
