"""Finds the script in a function's folder.

Mirrors HostFunctionMetadataProvider of the Functions host: `scriptFile`, else the only file, else a known name.
"""

from __future__ import annotations

import os
from pathlib import Path

from durablehost.app.invalid import InvalidFunctionError
from durablehost.types import JsonObject

FUNCTION_FILE = "function.json"
_PRIMARY_NAMES = ("index.js", "index.mjs", "index.cjs", "__init__.py")
_LANGUAGES_BY_SUFFIX = {
    ".cs": "dotnet",
    ".csx": "dotnet",
    ".dll": "dotnet",
    ".fs": "dotnet",
    ".fsx": "dotnet",
    ".jar": "java",
    ".cjs": "node",
    ".js": "node",
    ".mjs": "node",
    ".ts": "node",
    ".ps1": "powershell",
}


def find_script(folder: Path, config: JsonObject) -> Path:
    """The script, with an absolute path if `folder` has one.

    Raises:
        InvalidFunctionError: there is none, or more than one file may be it.
    """
    written = config.get("scriptFile")
    if written:
        return _written_script(folder, str(written))
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.name.lower() != FUNCTION_FILE)
    if len(files) == 1:
        return files[0]
    found = next((file for file in files if file.stem.lower() == "run"), None)
    found = found or next((file for file in files if file.name.lower() in _PRIMARY_NAMES), None)
    if found is None:
        raise InvalidFunctionError(
            "Unable to determine the primary function script. Make sure at least one script file is present. Name it "
            "'__init__.py', or name it in function.json with the 'scriptFile' property."
        )
    return found


def other_language(script: Path) -> str | None:
    """The language of a script that is certainly not Python, else None: the loader checks the rest."""
    return _LANGUAGES_BY_SUFFIX.get(script.suffix.lower())


def _written_script(folder: Path, written: str) -> Path:
    # normpath and not resolve(): the module's name is taken from this path, so links in it have to stay.
    script = Path(os.path.normpath(folder / written))
    if not script.is_file():
        hint = " Write / for \\ in the path." if "\\" in written else ""
        raise InvalidFunctionError(
            "Invalid script file name configuration. The 'scriptFile' property is set to a file that does not exist. "
            f"It is {os.path.relpath(script, folder.parent)}.{hint}"
        )
    return script
