"""Finds the Python that runs the functions of the app: the host may be installed in another environment."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from durablehost.errors import ConfigurationError
from durablehost.settings.environment import Environment

# The setting by which the Functions host finds it.
SETTING = "languageWorkers__python__defaultExecutablePath"
# The setting by which an editor starts it under a debugger.
ARGUMENTS_SETTING = "languageWorkers__python__arguments"

_ACTIVE = "VIRTUAL_ENV"
_FOLDERS = (".venv", "venv")
IN_ENVIRONMENT = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")


@dataclass(frozen=True, kw_only=True)
class AppPython:
    """The path of a Python, and why it was chosen, in words for the developer.

    `is_fallback`: nothing names a Python for the app that exists.
    """

    executable: str
    reason: str
    is_fallback: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is the Python that runs the host."""
        return self.executable == sys.executable


def find_app_python(option: str | None, script_root: Path, environment: Environment) -> AppPython:
    """The first of: `--python`, the setting, the active virtual environment, one beside host.json, the host's own.

    A relative path in `--python` starts at the working directory, one in a setting at the script root.

    Raises:
        ConfigurationError: `--python` or the setting names no program.
    """
    for text, source, base in (
        (option, "--python", Path.cwd()),
        (environment.find(SETTING), SETTING, script_root),
    ):
        if text:
            return AppPython(executable=_program(text, source, base, environment), reason=f"from {source}")
    active = environment.find(_ACTIVE)
    folders = [(script_root / active, f"from {_ACTIVE}")] if active else []
    folders += [(script_root / name, f"from {name} beside host.json") for name in _FOLDERS]
    for folder, reason in folders:
        if (python := folder / IN_ENVIRONMENT).is_file():
            return AppPython(executable=str(python), reason=reason)
    reason = "the Python of durablehost itself"
    if broken := [str(folder) for folder, _ in folders if folder.is_dir() or str(folder) == active]:
        # Moved, made by another system, or left by a Python that was removed.
        reason += f", because {' and '.join(broken)} has no {IN_ENVIRONMENT}"
    return AppPython(executable=sys.executable, reason=reason, is_fallback=True)


def find_python_arguments(environment: Environment) -> tuple[str, ...]:
    """What stands between that Python and its script, such as `-m debugpy --listen 9091`; mostly nothing.

    Raises:
        ConfigurationError: a quotation mark in the setting has no partner.
    """
    text = environment.find(ARGUMENTS_SETTING) or ""
    try:
        # The backslashes of a Windows path are no escapes.
        return tuple(shlex.split(text.replace("\\", "\\\\") if sys.platform == "win32" else text))
    except ValueError as error:
        raise ConfigurationError(f"{ARGUMENTS_SETTING} is '{text}'; a quotation mark in it is not closed.") from error


def _program(text: str, source: str, base: Path, environment: Environment) -> str:
    """The absolute path. Links are not resolved: those of a virtual environment lead out of it."""
    # A name without a folder is searched on PATH, a path is not.
    has_folder = Path(text).name != text
    name = str(base.absolute() / Path(text).expanduser()) if has_folder else text
    found = shutil.which(name, path=environment.find("PATH"))
    if found is None:
        raise ConfigurationError(f'{source} is "{text}"; it must be the path or the name of a Python program.')
    return str(Path(found).absolute())
