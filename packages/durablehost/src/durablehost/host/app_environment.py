"""Checks, before anything starts, that the Python of the app can run functions; says how to install what it lacks."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from durablehost.errors import ConfigurationError
from durablehost.settings.app_python import IN_ENVIRONMENT, AppPython

OLDEST_PYTHON = (3, 10)
# Before it, azure-functions has no converters for activities, orchestrators or entities.
OLDEST_LIBRARY = (1, 4)
# azure-functions-durable no longer reads function.json from this version on.
FIRST_SDK_WITHOUT_V1 = (2,)

_LIBRARY = "azure-functions"
_SDK = "azure-functions-durable"
_REQUIREMENTS = "requirements.txt"
_SECONDS = 60
# Python searches the working directory first, which may be an app with a `json.py`. Python 2 runs it too.
_QUESTION = f"""\
import sys
sys.path[:] = filter(None, sys.path)
import platform
print(platform.python_version())
try:
    import importlib.util
    print(all(map(importlib.util.find_spec, ("azure", "azure.functions"))))
except ImportError:
    print(False)
for package in "{_LIBRARY}", "{_SDK}":
    try:
        import importlib.metadata
        print(importlib.metadata.version(package))
    except Exception:
        print(None)
"""


@dataclass(frozen=True, kw_only=True)
class _Contents:
    """A Python and its packages; a version is None if the package is missing or was not installed by pip."""

    version: str
    has_library: bool
    library: str | None
    sdk: str | None


def check_app_python(python: AppPython, script_root: Path, environment: Mapping[str, str]) -> str:
    """The version of the Python, such as `3.12.1`.

    Raises:
        ConfigurationError: it does not run, is too old, lacks azure-functions, or has versions of the packages that
            cannot run apps of the v1 model.
    """
    found = _own_contents() if python.is_own else _ask(python, script_root, environment)
    if _numbers(found.version) < OLDEST_PYTHON:
        raise ConfigurationError(
            f"{_named(python)} is Python {found.version}; durablehost runs apps on Python {_shown(OLDEST_PYTHON)} or "
            "newer. Name another one with --python."
        )
    if not found.has_library:
        raise ConfigurationError(f"{_LIBRARY} is not installed for {_named(python)}{_remedy(python, script_root)}")
    if found.library and _numbers(found.library) < OLDEST_LIBRARY:
        oldest = f"{_LIBRARY}>={_shown(OLDEST_LIBRARY)}"
        raise ConfigurationError(
            f"{_LIBRARY} {found.library} of {_named(python)} is too old; durablehost needs {_shown(OLDEST_LIBRARY)} or "
            f'newer: run `{python.executable} -m pip install "{oldest}"`, and correct requirements.txt.'
        )
    if found.sdk and _numbers(found.sdk) >= FIRST_SDK_WITHOUT_V1:
        raise ConfigurationError(
            f"{_SDK} {found.sdk} of {_named(python)} runs no apps of the v1 model (function.json): "
            f'run `{python.executable} -m pip install "{_SDK}<{_shown(FIRST_SDK_WITHOUT_V1)}"`, and correct '
            "requirements.txt."
        )
    return found.version


def missing_packages(load_errors: Iterable[str], python: AppPython, script_root: Path) -> str | None:
    """How to install the requirements of the app, if a function could not be loaded for lack of a module."""
    if not any(error.startswith(ModuleNotFoundError.__name__) for error in load_errors):
        return None
    if (script_root / _REQUIREMENTS).is_file():
        return f"Modules of {_REQUIREMENTS} are missing in {_named(python)}{_remedy(python, script_root)}"
    return f"Modules are missing, and there is no {_REQUIREMENTS} in {script_root} that names the packages of the app."


def _own_contents() -> _Contents:
    return _Contents(
        version=platform.python_version(),
        has_library=all(map(importlib.util.find_spec, ("azure", "azure.functions"))),
        library=_installed_version(_LIBRARY),
        sdk=_installed_version(_SDK),
    )


def _installed_version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _ask(python: AppPython, script_root: Path, environment: Mapping[str, str]) -> _Contents:
    try:
        answer = subprocess.run(
            [python.executable, "-c", _QUESTION],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=script_root,
            timeout=_SECONDS,
            check=True,
        )
        # The site packages may print lines of their own first.
        version, has_library, library, sdk = answer.stdout.split()[-4:]
    except subprocess.CalledProcessError as error:
        problem = error.stderr.strip().rpartition("\n")[2] or f"it ended with exit code {error.returncode}"
        raise _unusable(python, problem) from error
    except subprocess.TimeoutExpired as error:
        raise _unusable(python, f"it did not answer within {_SECONDS} seconds") from error
    except OSError as error:
        raise _unusable(python, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unusable(python, "its output is not that of a Python") from error
    return _Contents(
        version=version,
        has_library=has_library == "True",
        library=None if library == "None" else library,
        sdk=None if sdk == "None" else sdk,
    )


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _shown(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _unusable(python: AppPython, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{_named(python)} cannot run the functions of the app: {problem}.")


def _named(python: AppPython) -> str:
    return f"{python.executable} ({python.reason})"


def _remedy(python: AppPython, script_root: Path) -> str:
    install = f"-m pip install {_missing(script_root)}`"
    if not python.is_fallback:
        return f": run `{python.executable} {install}, or name another Python with --python."
    # Not into the environment of durablehost, which serves all apps.
    environment = script_root / ".venv"
    return (
        f". Make an environment for the app: `{python.executable} -m venv {environment}`, then "
        f"`{environment / IN_ENVIRONMENT} {install}. Or name another Python with --python."
    )


def _missing(script_root: Path) -> str:
    requirements = script_root / _REQUIREMENTS
    return f"-r {requirements}" if requirements.is_file() else _LIBRARY
