"""Which Python runs the functions, and the errors if it cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("anyio")

from durablehost.errors import ConfigurationError
from durablehost.host.app_environment import check_app_python, missing_packages
from durablehost.settings.app_python import SETTING, AppPython, find_app_python
from durablehost.settings.environment import Environment

PROGRAM = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")


def make_python(folder: Path) -> str:
    program = folder / PROGRAM
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def find(root: Path, option: str | None = None, **variables: str) -> AppPython:
    return find_app_python(option, root, Environment({"PATH": os.environ["PATH"], **variables}))


def test_the_option_wins_over_the_setting_the_active_environment_and_the_folder(tmp_path: Path) -> None:
    named, set_, active, beside, other = (
        make_python(tmp_path / name) for name in ("named", "set", "active", "app/.venv", "app/venv")
    )
    root, virtual = tmp_path / "app", str(tmp_path / "active")
    assert find(root, named, VIRTUAL_ENV=virtual, **{SETTING: set_}) == AppPython(
        executable=named, reason="from --python"
    )
    assert find(root, VIRTUAL_ENV=virtual, **{SETTING: set_}).executable == set_
    assert find(root, VIRTUAL_ENV=virtual) == AppPython(executable=active, reason="from VIRTUAL_ENV")
    assert find(root) == AppPython(executable=beside, reason="from .venv beside host.json")
    Path(beside).unlink()
    assert find(root) == AppPython(executable=other, reason="from venv beside host.json")


def test_the_default_is_the_python_of_the_host(tmp_path: Path) -> None:
    assert find(tmp_path) == AppPython(
        executable=sys.executable, reason="the Python of durablehost itself", is_fallback=True
    )


def test_an_environment_without_a_python_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    found = find(tmp_path, VIRTUAL_ENV=str(gone))
    assert found.is_own
    assert found.reason == f"the Python of durablehost itself, because {gone} has no {PROGRAM}"
    # As a removed Python leaves it.
    (tmp_path / ".venv" / PROGRAM).parent.mkdir(parents=True)
    (tmp_path / ".venv" / PROGRAM).symlink_to(gone)
    assert find(tmp_path).reason == f"the Python of durablehost itself, because {tmp_path / '.venv'} has no {PROGRAM}"


def test_a_link_out_of_a_virtual_environment_is_not_followed(tmp_path: Path) -> None:
    make_python(tmp_path / "base")
    link = tmp_path / "environment" / PROGRAM
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "base" / PROGRAM)
    assert find(tmp_path, str(link)).executable == str(link)


def test_a_name_is_searched_on_path_and_a_relative_path_starts_where_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the option at the working directory, in the settings at the app."""
    python, own, active = (make_python(tmp_path / name) for name in ("here", "app/own", "app/active"))
    monkeypatch.chdir(tmp_path / "here")
    root = tmp_path / "app"
    assert find(root, "python", PATH=str(Path(python).parent)).executable == python
    assert find(root, str(PROGRAM), PATH="").executable == python
    assert find(root, **{SETTING: str("own" / PROGRAM)}).executable == own
    assert find(root, VIRTUAL_ENV="active").executable == active


@pytest.mark.parametrize("source", ["--python", SETTING])
def test_a_missing_program_is_reported_with_the_source_of_its_name(tmp_path: Path, source: str) -> None:
    option, variables = ("nowhere/python", {}) if source == "--python" else (None, {SETTING: "nowhere/python"})
    with pytest.raises(ConfigurationError, match=f'^{source} is "nowhere/python"; it must be the path or the name'):
        find(tmp_path, option, **variables)


def other(executable: str) -> AppPython:
    return AppPython(executable=executable, reason="from --python")


def test_the_python_of_the_host_is_checked_without_a_process(tmp_path: Path) -> None:
    own = find(tmp_path)
    assert check_app_python(own, tmp_path, {}) == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are shell scripts")
@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "echo 3.8.18; echo True; echo 1.7.0; echo None",
            r" is Python 3\.8\.18; durablehost runs apps on Python 3\.10 or newer",
        ),
        ("echo 3.12.1; echo True; echo 1.3.1; echo None", r'.* -m pip install "azure-functions>=1\.4"`'),
        (
            "echo noise of a site package; echo 3.13.1; echo True; echo 2.4.0b1; echo 2.0.0rc3",
            r'.* runs no apps of the v1 model .*: run `\S+ -m pip install "azure-functions-durable<2"`',
        ),
        ("echo oops >&2; exit 1", " cannot run the functions of the app: oops"),
        ("exit 3", " cannot run the functions of the app: it ended with exit code 3"),
        ("echo hello", " cannot run the functions of the app: its output is not that of a Python"),
    ],
)
def test_a_python_that_cannot_run_functions_is_refused_with_the_reason(
    tmp_path: Path, script: str, problem: str
) -> None:
    program = Path(make_python(tmp_path))
    program.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(ConfigurationError, match=rf"\(from --python\){problem}"):
        check_app_python(other(str(program)), tmp_path, os.environ)


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are shell scripts")
@pytest.mark.parametrize("has_requirements", [True, False])
def test_the_error_about_missing_azure_functions_shows_the_command_that_installs_it(
    tmp_path: Path, has_requirements: bool
) -> None:
    program = make_python(tmp_path)
    Path(program).write_text("#!/bin/sh\necho 3.12.1; echo False; echo None; echo None\n")
    requirements = tmp_path / "requirements.txt"
    if has_requirements:
        requirements.touch()
    what = f"-r {requirements}" if has_requirements else "azure-functions"
    with pytest.raises(ConfigurationError) as refusal:
        check_app_python(other(program), tmp_path, os.environ)
    assert str(refusal.value) == (
        f"azure-functions is not installed for {program} (from --python): "
        f"run `{program} -m pip install {what}`, or name another Python with --python."
    )


@pytest.mark.parametrize("has_requirements", [True, False])
def test_an_app_without_a_python_of_its_own_is_advised_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_requirements: bool
) -> None:
    """The packages of an app in the environment of durablehost would be those of all apps."""
    if has_requirements:
        (tmp_path / "requirements.txt").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    own = find(tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        check_app_python(own, tmp_path, {})
    environment = tmp_path / ".venv"
    what = f"-r {tmp_path / 'requirements.txt'}" if has_requirements else "azure-functions"
    make, install = f"{sys.executable} -m venv {environment}", f"{environment / PROGRAM} -m pip install {what}"
    assert str(refusal.value) == (
        f"azure-functions is not installed for {sys.executable} (the Python of durablehost itself). Make an "
        f"environment for the app: `{make}`, then `{install}`. Or name another Python with --python."
    )


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are shell scripts")
def test_the_oldest_packages_and_those_without_a_known_version_are_accepted(tmp_path: Path) -> None:
    program = make_python(tmp_path)
    for library, sdk in ("1.4.0", "1.0.0"), ("2.3.0", "1.7.0"), ("None", "None"):
        Path(program).write_text(f"#!/bin/sh\necho 3.10.0; echo True; echo {library}; echo {sdk}\n")
        assert check_app_python(other(program), tmp_path, os.environ) == "3.10.0"


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are shell scripts")
def test_a_python_that_is_too_old_for_the_question_is_refused_by_its_version(tmp_path: Path) -> None:
    program = make_python(tmp_path)
    # As Python 2, which has no importlib.util.
    old = "import platform, sys; sys.modules['importlib.util'] = None; platform.python_version = lambda: '2.7.18'; "
    Path(program).write_text(f'#!/bin/sh\nexec {sys.executable} -c "{old}exec(sys.argv[1])" "$2"\n')
    with pytest.raises(ConfigurationError, match=r"is Python 2\.7\.18; durablehost runs apps on Python 3\.10 or newer"):
        check_app_python(other(program), tmp_path, os.environ)


def test_modules_of_the_app_do_not_hide_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "platform", "email", "azure"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError(__file__)", "utf-8")
    monkeypatch.chdir(tmp_path)
    python = Path(sys.executable)
    # Another spelling of its path, so that it counts as another Python and is asked.
    same = other(str(python.parent / ".." / python.parent.name / python.name))
    assert check_app_python(same, tmp_path, os.environ) == ".".join(map(str, sys.version_info[:3]))


def test_a_missing_module_is_followed_by_the_command_that_installs_the_requirements(tmp_path: Path) -> None:
    missing = ["SyntaxError: invalid syntax", "ModuleNotFoundError: No module named 'numpy'."]
    assert missing_packages(missing, other("py"), tmp_path) == (
        f"Modules are missing, and there is no requirements.txt in {tmp_path} that names the packages of the app."
    )
    (tmp_path / "requirements.txt").touch()
    install = f"-m pip install -r {tmp_path / 'requirements.txt'}"
    assert missing_packages(missing, other("py"), tmp_path) == (
        "Modules of requirements.txt are missing in py (from --python): "
        f"run `py {install}`, or name another Python with --python."
    )
    environment = tmp_path / ".venv"
    assert missing_packages(missing, find(tmp_path), tmp_path) == (
        f"Modules of requirements.txt are missing in {sys.executable} (the Python of durablehost itself). Make an "
        f"environment for the app: `{sys.executable} -m venv {environment}`, then `{environment / PROGRAM} {install}`. "
        "Or name another Python with --python."
    )
    assert missing_packages(missing[:1], other("py"), tmp_path) is None
