"""The output on the terminal: the banner, the list of functions, and log records as lines.

Lines of durablehost itself have no time, log records do. Colours only on a terminal, and not if NO_COLOR is set. Texts
may come from callers and from the storage, so what would control the terminal is shown as escapes (`printable`). What
durablehost and libraries report has no secrets; what functions log, and results of commands, are shown as they are.
Mirrors the console of Core Tools: the form of the lines, the categories, the levels that are shown.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone

from durablehost.app.model import Function, FunctionApp
from durablehost.errors import StorageUnreachable
from durablehost.printable import printable, printable_output, without_secrets
from durablehost.settings import LogLevel, LogSettings
from durablehost.system.background_stream import TextSink

_RED = "31"
_GREEN = "32"
_YELLOW = "33"
_CYAN = "36"

# What user code prints; it counts as user code's own logging.
_OUTPUT = "Host.Function.Console"
_OWN_ROOTS = ("Host", _OUTPUT, "Function")
_USER_CATEGORIES = ("function.", "host.function.console.")


class Console:
    """Writes to the terminal; each call is one write, so that lines of several threads do not mix."""

    def __init__(self, out: TextSink, err: TextSink, *, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._out = _Stream(out, environment)
        self._err = _Stream(err, environment)

    def line(self, text: str = "") -> None:
        self._out.write(printable(text))

    def warning(self, text: str) -> None:
        self._out.write(printable(without_secrets(text)), _YELLOW)

    def error(self, text: str) -> None:
        self._err.write(printable(without_secrets(text)), _RED)

    def log(self, text: str, level: int = logging.INFO, *, is_output: bool = False) -> None:
        """Writes a line with the time in front, whatever levels are shown. The colours of an app's output stay."""
        shown = printable_output(text) if is_output else printable(text)
        self._out.write(f"[{_timestamp(datetime.now(timezone.utc))}] {shown}", _color_of(level))

    def banner(self, facts: Mapping[str, str], *, version: str) -> None:
        width = max(map(len, facts)) + 1
        rows = [f"{f'{name}:':<{width}} {value}" for name, value in facts.items()]
        self.line("\n".join(["", f"durablehost {version}, a local host for Azure Functions", *rows, ""]))

    def function_list(self, app: FunctionApp, *, port: int, route_prefix: str, is_verbose: bool) -> None:
        self.line(function_list(app, base_url=f"http://localhost:{port}", route_prefix=route_prefix))
        if not is_verbose:
            self._out.write("For detailed output, run durablehost with --verbose flag.", _YELLOW)


def function_list(app: FunctionApp, *, base_url: str, route_prefix: str) -> str:
    """HTTP functions first, then the others with their trigger type; those that do not run apart."""
    enabled = [function for function in app.functions if not function.is_disabled]
    ordered = sorted(enabled, key=lambda function: function.http is None)
    rows = [row for function in ordered for row in (f"\t{_entry(function, base_url, route_prefix)}", "")]
    heading = ["", "Functions:", ""] if rows else [""]
    disabled = [f"Function {function.name} is disabled." for function in app.functions if function.is_disabled]
    broken = [f"Function {error.name} is in error." for error in app.errors]
    return "\n".join([*heading, *rows, *disabled, *broken])


def _entry(function: Function, base_url: str, route_prefix: str) -> str:
    if function.kind is None:
        run_url = f"{base_url}/admin/functions/{function.name}"
        return f"{function.name}: {function.trigger.type} (not triggered by durablehost; run it with POST {run_url})"
    if function.http is None:
        return f"{function.name}: {function.trigger.type}"
    methods = function.http.methods
    shown = "" if methods is None else f"[{','.join(methods).upper()}]"
    # Core Tools shows the bare prefix for an empty route, where the function does not answer.
    route = function.http.route.strip("/") or function.name
    url = "/".join(part for part in (base_url, route_prefix, route) if part)
    return f"{function.name}: {shown} {url}"


def configure_logging(console: Console, settings: LogSettings) -> None:
    """Writes the log records of this process to the console, if their categories show their levels."""
    handler = ConsoleHandler(console, LevelRules(settings))
    logging.getLogger().handlers = [handler]
    # Loggers drop early the records that no category below them shows, so that these cost next to nothing.
    for name in ("", *_OWN_ROOTS, *settings.levels):
        logging.getLogger(name).setLevel(handler.rules.lowest_below(name))
    logging.captureWarnings(True)


class LevelRules:
    """The lowest level that is shown of each category.

    System records from Warning (verbose: those of the host from Information), those of functions from Information. A
    rule in `logLevel` of host.json overrides this: a prefix of the category, in which one `*` stands for any text. The
    longest rule counts. Its `default` does not show more of libraries, which log each request at Information.
    """

    def __init__(self, settings: LogSettings) -> None:
        rules = {category: level.number for category, level in settings.levels.items()}
        self._default = rules.pop("default", None)
        self._host = (LogLevel.INFORMATION if settings.is_verbose else LogLevel.WARNING).number
        self._rules = sorted(rules.items(), key=lambda rule: len(rule[0]), reverse=True)

    def lowest_below(self, category: str) -> int:
        """The lowest threshold of this category and those below it."""
        below = f"{category.lower()}."
        numbers = (number for rule, number in self._rules if rule.startswith(below) or "*" in rule)
        return min([self.threshold(category), *numbers])

    def threshold(self, category: str) -> int:
        name = category.lower()
        for rule, number in self._rules:
            prefix, _, suffix = rule.partition("*")
            if name.startswith(prefix) and name.endswith(suffix):
                return number
        is_user, is_host = _is_of_function(name), f"{name}.".startswith("host.")
        if not is_user and not is_host:
            return max(LogLevel.WARNING.number, self._default or 0)
        if self._default is not None:
            return self._default
        return LogLevel.INFORMATION.number if is_user else self._host


class ConsoleHandler(logging.Handler):
    """Log records as console lines: `[2026-01-05T10:00:00.000Z] message`, tracebacks below."""

    def __init__(self, console: Console, rules: LevelRules) -> None:
        super().__init__()
        self._console = console
        self.rules = rules
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            threshold = self.rules.threshold(record.name)
            if record.levelno >= threshold and not (threshold > logging.DEBUG and _is_told_otherwise(record)):
                text = self.format(record)
                shown = text if _is_of_function(record.name) else without_secrets(text)
                self._console.log(shown, record.levelno, is_output=record.name == _OUTPUT)
        except Exception:
            self.handleError(record)


def _is_told_otherwise(record: logging.LogRecord) -> bool:
    """Whether something has failed only because the storage cannot be reached, of which one line tells for all."""
    parts = record.args if isinstance(record.args, tuple) else ()
    return record.levelno < logging.ERROR and any(isinstance(part, StorageUnreachable) for part in parts)


def _is_of_function(category: str) -> bool:
    return f"{category.lower()}.".startswith(_USER_CATEGORIES)


class _Stream:
    def __init__(self, stream: TextSink, environment: Mapping[str, str]) -> None:
        self._stream = stream
        self._has_color = stream.isatty() and not environment.get("NO_COLOR")
        if self._has_color and sys.platform == "win32":
            os.system("")  # makes the Windows console read escape sequences

    def write(self, text: str, color: str = "") -> None:
        shown = f"\x1b[{color}m{text}\x1b[0m" if color and self._has_color else text
        # The reader may be gone, the disk full: no reason to end. A BackgroundStream counts what is lost.
        with suppress(OSError):
            self._stream.write(self._encodable(f"{shown}\n"))
            self._stream.flush()

    def _encodable(self, text: str) -> str:
        """Replaces letters that the terminal's encoding lacks; no log line must be lost over one of them."""
        encoding = self._stream.encoding or "utf-8"
        return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _color_of(level: int) -> str:
    if level >= logging.ERROR:
        return _RED
    if level >= logging.WARNING:
        return _YELLOW
    return _CYAN if level >= logging.INFO else _GREEN
