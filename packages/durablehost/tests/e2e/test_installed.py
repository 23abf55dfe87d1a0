"""A first installation: durablehost from its wheel in one environment, an app with its own elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.settings.app_python import SETTING
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import PACKAGE, HostProcess, environment_of, free_port, hosted

pytestmark = [pytest.mark.azurite, pytest.mark.skipif(sys.platform == "win32", reason="its paths are those of POSIX")]

INSTALL_SECONDS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """The wheel, built from the source distribution as for an upload."""
    run([sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(PACKAGE)])
    (wheel,) = (folder / "dist").glob("durablehost-*.whl")
    return wheel


@pytest.fixture(scope="module")
def durablehost(folder: Path, wheel: Path) -> str:
    """The command durablehost, in an environment that contains nothing else."""
    python = make_environment(sys.executable, folder / "tool")
    run([python, "-m", "pip", "install", "--quiet", str(wheel)])
    return str(Path(python).with_name("durablehost"))


@pytest.fixture(scope="module")
def app(folder: Path) -> Path:
    """The features app, copied to a folder with a virtual environment of another Python, if there is one."""
    copy = folder / "your-app"
    shutil.copytree(FEATURES_APP, copy, ignore=shutil.ignore_patterns("__pycache__", ".local"))
    python = make_environment(another_python(), copy / ".venv")
    run([python, "-m", "pip", "install", "--quiet", "-r", str(copy / "requirements.txt")])
    return copy


def another_python() -> str:
    """A Python of another version, on PATH or beside this one, as version managers keep them; otherwise this one."""
    for minor in (12, 13, 10, 11):
        name = f"python3.{minor}"
        beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/{name}"))
        for candidate in [shutil.which(name), *map(str, beside)]:
            if sys.version_info[1] != minor and candidate and is_running(candidate):
                return candidate
    return sys.executable


def is_running(python: str) -> bool:
    """False for the shim that a version manager puts in place of a Python that is not selected."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def make_environment(python: str, folder: Path) -> str:
    run([python, "-m", "venv", str(folder)])
    return str(folder / "bin" / "python")


def run(command: list[str], *, cwd: Path | None = None, variables: dict[str, str] | None = None) -> str:
    """Runs a command as in a shell of its own, and returns its output; it has to succeed."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=variables or user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def user_environment(**extra: str) -> dict[str, str]:
    """The environment without this checkout and without the environment of the tests."""
    variables = environment_of(None, None, {})
    return {
        name: value for name, value in variables.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", SETTING)
    } | extra


def test_the_wheel_holds_the_package_and_the_lock_file_of_azurite_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "durablehost/worker/bootstrap.py" in names
    assert "durablehost/emulator/azurite_package/package-lock.json" in names
    assert "durablehost/web/console/static/vendor/htm-preact.mjs" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"durablehost"}
    assert [name for name in names if "test" in name] == []


def commands_of_the_readme() -> list[str]:
    """Those under "Run your app", without their comments."""
    block = re.search(r"^## Run your app\n+```bash\n(.*?)```", (PACKAGE / "README.md").read_text("utf-8"), re.M | re.S)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines()]


def test_an_app_elsewhere_runs_under_its_own_python(durablehost: str, app: Path) -> None:
    """By the commands of the README, as they are written."""
    *before, start = commands_of_the_readme()
    assert before == ["cd your-app", "durablehost azurite install"]
    variables = user_environment(PATH=f"{Path(durablehost).parent}{os.pathsep}{os.environ['PATH']}")
    run(["sh", "-ec", "; ".join(before)], cwd=app.parent, variables=variables)
    with started(start, app, variables) as host:
        assert App(host.url).start("chained", "-").output() == "-abc"
        (line,) = (line for line in host.output.splitlines() if line.startswith("Python:"))
        python = app / ".venv" / "bin" / "python"
        version = run([str(python), "-c", "import platform; print(platform.python_version())"]).strip()
        assert line.split(None, 1)[1] == f"{version} ({python}, from .venv beside host.json)"


def test_an_app_whose_python_lacks_azure_functions_gets_an_error_with_the_command_to_install_it(
    durablehost: str, app: Path
) -> None:
    python = Path(durablehost).with_name("python")
    ended = subprocess.run(
        [durablehost, "start", "--python", str(python)],
        cwd=app,
        env=user_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"azure-functions is not installed for {python} (from --python): "
        f"run `{python} -m pip install -r {app}/requirements.txt`, or name another Python with --python.\n"
    )


def started(command: str, app: Path, variables: dict[str, str]) -> AbstractContextManager[HostProcess]:
    """On the ports that local.settings.json names: those by default may be taken."""
    ports, port, log = emulator.free_ports(), free_port(), app / "host.log"
    settings = json.loads((app / "local.settings.json").read_text("utf-8"))
    settings["Values"]["AzureWebJobsStorage"] = ports.connection_string
    settings["Host"] = {"LocalHttpPort": port}
    (app / "local.settings.json").write_text(json.dumps(settings), "utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=app,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return hosted(HostProcess(process, port=port, output_file=log))
