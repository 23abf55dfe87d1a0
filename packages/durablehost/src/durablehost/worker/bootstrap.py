"""Starts the worker process with this durablehost; run by its path under the Python of the app.

That Python may belong to another environment than the host's, so that no package of the host's environment may be
imported from here. Rule of the modules that the worker process imports: the standard library and `azure.functions`
only.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _import_package() -> None:
    """Imports `durablehost` from where this file is, without its folder on `sys.path`."""
    folder = str(Path(__file__).parent)
    # Python puts the folder of a script first, unless PYTHONSAFEPATH forbids it.
    if sys.path and sys.path[0] in (folder, str(Path(folder).resolve())):
        del sys.path[0]
    name = _PACKAGE.name
    spec = importlib.util.spec_from_file_location(
        name, _PACKAGE / "__init__.py", submodule_search_locations=[str(_PACKAGE)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


def _check_library() -> None:
    """Ends the process with one line if azure.functions does not work here; without it the import below would fail."""
    try:
        import azure.functions  # noqa: F401
    except Exception as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = f" ({last.tb_frame.f_code.co_filename}, line {last.tb_lineno})" if last else ""
        sys.exit(
            f"azure.functions cannot be imported under {sys.executable}: {type(error).__name__}: {error}{where}. "
            "Install the packages of requirements.txt again, or name another Python with --python."
        )


# Processes that user code spawns may import this module again; they are no workers.
if __name__ == "__main__":
    _import_package()
    _check_library()
    from durablehost.worker.child import main

    main()
