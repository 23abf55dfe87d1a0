"""Opens a page in the browser of whoever has started this program."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping

# Without any of these, Python would run a browser in the terminal itself, which belongs to the caller.
_WINDOWS_OF_LINUX = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def open_in_browser(
    url: str, warn: Callable[[str], None], environment: Mapping[str, str] | None = None
) -> threading.Thread:
    """Opens the page and returns at once; `warn` gets a sentence if that fails, later and in the returned thread."""
    # Some browsers return only when they are closed. A daemon, so that they keep no host from ending.
    thread = threading.Thread(
        target=_open, args=(url, warn, os.environ if environment is None else environment), daemon=True
    )
    thread.start()
    return thread


def _open(url: str, warn: Callable[[str], None], environment: Mapping[str, str]) -> None:
    try:
        has_opened = has_windows(environment) and webbrowser.open(url)
    except Exception:  # whatever a browser does: it is no reason to end
        has_opened = False
    if not has_opened:
        warn(f"No browser could be opened. Open {url} yourself.")


def has_windows(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser can open a window, or the user has named one in BROWSER."""
    return platform in ("win32", "darwin") or any(environment.get(name) for name in _WINDOWS_OF_LINUX)
