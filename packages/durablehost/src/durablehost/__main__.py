"""`python -m durablehost`, and the program `durablehost`.

Imports as little as possible before Ctrl+C is handled: what a command needs takes a second or more to import.
"""

from __future__ import annotations

import os
import sys

# `python -m` searches the working directory first, which may be an app with a `json.py` or `logging.py`, or be gone.
try:
    if __name__ == "__main__" and sys.path and sys.path[0] == os.getcwd():  # noqa: PTH109 - nothing else is imported yet
        del sys.path[0]
except OSError:
    pass

from durablehost.system.interruption import end_at_once_on_ctrl_c
from durablehost.system.standard_streams import finish_output, open_closed_streams


def main() -> int:
    """Runs the command line of this process; returns its exit code."""
    end_at_once_on_ctrl_c()
    open_closed_streams()
    from durablehost import cli

    try:
        code = cli.main()
    except SystemExit as ended:
        # The parser ends so, after the help too.
        code = int(ended.code or 0)
    return code if finish_output() else code or cli.ExitCode.FAILED


# Worker processes import this package too, some by spawning; they must not start a second host.
if __name__ == "__main__":
    sys.exit(main())
