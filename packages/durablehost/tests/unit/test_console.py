"""What the terminal shows: the list of functions, log lines, levels, colours."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from durablehost.app.model import Binding, Direction, Function, FunctionApp, FunctionError, HttpTrigger
from durablehost.console import Console, ConsoleHandler, LevelRules, configure_logging, function_list
from durablehost.errors import StorageUnavailable, StorageUnreachable
from durablehost.settings import LogLevel, LogSettings

TIME = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def function(name: str, trigger: str, *, http: HttpTrigger | None = None, is_disabled: bool = False) -> Function:
    binding = Binding(name="input", type=trigger, direction=Direction.IN, properties={})
    return Function(
        name=name,
        folder=Path(name),
        script_file=Path(name, "__init__.py"),
        entry_point="main",
        bindings=(binding,),
        config={},
        registered_name=name,
        http=http,
        is_disabled=is_disabled,
    )


def http(route: str, *methods: str) -> HttpTrigger:
    return HttpTrigger(route=route, methods=methods or None, auth_level="function")


def shown(*functions: Function, route_prefix: str = "api") -> str:
    app = FunctionApp(root=Path(), functions=functions)
    return function_list(app, base_url="http://localhost:7071", route_prefix=route_prefix)


class TestFunctionList:
    def test_has_the_layout_of_core_tools(self) -> None:
        text = shown(
            function("Counter", "orchestrationTrigger"),
            function("Hello", "activityTrigger"),
            function("HttpStart", "httpTrigger", http=http("orchestrators/{functionName}", "post", "get")),
            function("Old", "activityTrigger", is_disabled=True),
        )
        assert text == (
            "\nFunctions:\n\n"
            "\tHttpStart: [POST,GET] http://localhost:7071/api/orchestrators/{functionName}\n\n"
            "\tCounter: orchestrationTrigger\n\n"
            "\tHello: activityTrigger\n\n"
            "Function Old is disabled."
        )

    def test_shows_how_to_run_a_function_whose_trigger_is_not_served(self) -> None:
        text = shown(function("Nightly", "timerTrigger"), function("Hello", "activityTrigger"))
        assert text == (
            "\nFunctions:\n\n"
            "\tNightly: timerTrigger (not triggered by durablehost; "
            "run it with POST http://localhost:7071/admin/functions/Nightly)\n\n"
            "\tHello: activityTrigger\n"
        )

    def test_leaves_two_blanks_if_every_method_is_served(self) -> None:
        assert "\tAny:  http://localhost:7071/api/any\n" in shown(function("Any", "httpTrigger", http=http("any")))

    def test_has_no_double_slash_without_a_route_prefix(self) -> None:
        text = shown(function("Any", "httpTrigger", http=http("any", "get")), route_prefix="")
        assert "\tAny: [GET] http://localhost:7071/any\n" in text

    def test_shows_the_name_if_the_route_is_empty(self) -> None:
        assert "\tRoot: [GET] http://localhost:7071/api/Root\n" in shown(
            function("Root", "httpTrigger", http=http("", "get"))
        )

    def test_has_no_heading_if_no_function_is_enabled(self) -> None:
        assert shown(function("Old", "activityTrigger", is_disabled=True)) == "\nFunction Old is disabled."

    def test_ends_with_the_functions_in_error(self) -> None:
        app = FunctionApp(root=Path("app"), functions=(), errors=(FunctionError(name="Broken", message="why"),))
        assert function_list(app, base_url="", route_prefix="api") == "\nFunction Broken is in error."


def threshold(category: str, levels: Mapping[str, LogLevel] | None = None, *, is_verbose: bool = False) -> int:
    return LevelRules(LogSettings(levels=levels or {}, is_verbose=is_verbose)).threshold(category)


class TestLevels:
    @pytest.mark.parametrize("category", ["Function.Hello", "Function.Hello.User", "Host.Function.Console"])
    def test_records_of_functions_show_from_information(self, category: str) -> None:
        assert threshold(category) == logging.INFO

    def test_records_of_the_host_show_from_warning_and_from_information_when_verbose(self) -> None:
        assert threshold("Host.Startup") == logging.WARNING
        assert threshold("Host.Startup", is_verbose=True) == logging.INFO

    @pytest.mark.parametrize("category", ["azure.core", "asyncio", "Hosting"])
    def test_records_of_libraries_show_from_warning_even_when_verbose(self, category: str) -> None:
        assert threshold(category, is_verbose=True) == logging.WARNING

    def test_default_of_host_json_decides_for_both(self) -> None:
        assert threshold("Function.Hello", {"default": LogLevel.ERROR}) == logging.ERROR
        assert threshold("Host.Startup", {"default": LogLevel.ERROR}, is_verbose=True) == logging.ERROR

    def test_default_of_host_json_shows_no_more_of_libraries_but_a_rule_of_their_own_does(self) -> None:
        assert threshold("azure.core", {"default": LogLevel.INFORMATION}) == logging.WARNING
        assert threshold("azure.core", {"default": LogLevel.ERROR}) == logging.ERROR
        assert threshold("azure.core", {"azure": LogLevel.INFORMATION}) == logging.INFO

    def test_longest_rule_of_host_json_wins(self) -> None:
        rules = {"function": LogLevel.ERROR, "function.hello": LogLevel.DEBUG}
        assert threshold("Function.Hello.User", rules) == logging.DEBUG
        assert threshold("Function.Other", rules) == logging.ERROR

    @pytest.mark.parametrize(
        ("category", "shown_from"),
        [
            ("Function.Hello.User", logging.WARNING),
            ("Function.Hello", logging.ERROR),
            ("Function.Loud.User", logging.DEBUG),
            ("Host.Startup", logging.WARNING),
        ],
    )
    def test_a_star_in_a_rule_of_host_json_stands_for_any_text(self, category: str, shown_from: int) -> None:
        rules = {
            "function": LogLevel.ERROR,
            "function.*.user": LogLevel.WARNING,
            "function.loud.user": LogLevel.DEBUG,
        }
        assert threshold(category, rules) == shown_from

    def test_level_none_hides_everything(self) -> None:
        assert threshold("Function.Hello", {"function": LogLevel.NONE}) > logging.CRITICAL


@pytest.fixture
def restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "Host", "Host.Function.Console", "Function")]
    handlers, levels = loggers[0].handlers, [logger.level for logger in loggers]
    yield
    loggers[0].handlers = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.captureWarnings(False)


class TestLines:
    def lines(self, record_level: int, *, name: str = "Function.Hello.User", message: str = "hello") -> str:
        out = io.StringIO()
        rules = LevelRules(LogSettings(levels={}, is_verbose=False))
        handler = ConsoleHandler(Console(out, out), rules)
        handler.handle(logging.LogRecord(name, record_level, __file__, 1, message, None, None))
        return out.getvalue()

    def test_begin_with_the_time_in_utc(self) -> None:
        assert re.fullmatch(rf"{TIME} hello\n", self.lines(logging.INFO))

    def test_below_the_level_are_not_shown(self) -> None:
        assert self.lines(logging.INFO, name="Host.Startup") == ""
        assert self.lines(logging.DEBUG) == ""

    @pytest.mark.parametrize(("level", "is_shown"), [(LogLevel.WARNING, False), (LogLevel.DEBUG, True)])
    def test_of_what_fails_while_the_storage_cannot_be_reached_are_shown_with_debug_records_only(
        self, level: LogLevel, is_shown: bool
    ) -> None:
        out = io.StringIO()
        handler = ConsoleHandler(Console(out, out), LevelRules(LogSettings(levels={"host": level}, is_verbose=False)))
        for error in StorageUnreachable("no route"), StorageUnavailable("busy"):
            record = logging.LogRecord("Host.TaskHub", logging.WARNING, __file__, 1, "lost: %s", (error,), None)
            handler.handle(record)
        assert ("lost: no route" in out.getvalue()) is is_shown
        assert "lost: busy" in out.getvalue()

    def test_with_letters_the_terminal_lacks_are_shown_escaped(self) -> None:
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="ascii")
        Console(out, out).line("21 °C")
        assert raw.getvalue() == b"21 \\xb0C\n"

    @pytest.mark.parametrize("name", ["Function.Hello", "Function.Hello.User", "Host.Web", "aiohttp.server"])
    def test_show_what_controls_a_terminal_as_escapes(self, name: str) -> None:
        shown = self.lines(logging.ERROR, name=name, message="no '\x1b[31m\x1b]0;owned\x07\u202e'\n  File")
        assert shown.partition("] ")[2] == "no '\\u001b[31m\\u001b]0;owned\\u0007\\u202e'\n  File\n"

    def test_show_the_messages_of_exceptions_with_escapes(self) -> None:
        out = io.StringIO()
        handler = ConsoleHandler(Console(out, out), LevelRules(LogSettings(levels={}, is_verbose=False)))
        try:
            raise ValueError("\x1b]0;owned\x07")
        except ValueError:
            record = logging.LogRecord("Host.Web", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
        handler.handle(record)
        assert "\x1b" not in out.getvalue()
        assert out.getvalue().endswith("ValueError: \\u001b]0;owned\\u0007\n")

    def test_that_functions_print_keep_their_colours_alone(self) -> None:
        shown = self.lines(logging.INFO, name="Host.Function.Console", message="\x1b[31mred\x1b[0m \x1b]0;owned\x07")
        assert shown.partition("] ")[2] == "\x1b[31mred\x1b[0m \\u001b]0;owned\\u0007\x1b[0m\n"

    def test_of_durablehost_itself_have_escapes_too(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        console = Console(out, err)
        console.line("a\x1bb")
        console.warning("a\x1bb")
        console.error("a\x1bb")
        console.log("a\x1bb")
        assert out.getvalue().count("a\\u001bb\n") == 3
        assert err.getvalue() == "a\\u001bb\n"

    def test_of_durablehost_itself_have_no_secrets(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        console = Console(out, err)
        console.warning("X is AccountKey=abc")
        console.error("X is AccountKey=abc")
        assert (out.getvalue(), err.getvalue()) == ("X is AccountKey=***\n", "X is AccountKey=***\n")

    @pytest.mark.parametrize("name", ["Host.Startup", "azure.core", "opentelemetry"])
    def test_of_the_host_and_of_libraries_have_no_secrets(self, name: str) -> None:
        assert self.lines(logging.ERROR, name=name, message="sig=abc").endswith("] sig=***\n")

    @pytest.mark.parametrize("name", ["Function.Hello", "Function.Hello.User", "Host.Function.Console"])
    def test_of_functions_are_shown_as_they_are(self, name: str) -> None:
        assert self.lines(logging.ERROR, name=name, message="sig=abc").endswith("] sig=abc\n")

    def test_of_durablehost_itself_carry_no_time(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        console = Console(out, err)
        console.warning("careful")
        console.error("wrong")
        assert (out.getvalue(), err.getvalue()) == ("careful\n", "wrong\n")

    @pytest.mark.usefixtures("restored_logging")
    def test_of_any_logger_are_shown_by_its_level(self) -> None:
        out = io.StringIO()
        levels = {"function.hello.user": LogLevel.DEBUG}
        configure_logging(Console(out, out), LogSettings(levels=levels, is_verbose=False))
        logging.getLogger("Function.Hello.User").debug("in detail")
        logging.getLogger("Function.Hello").debug("hidden")
        logging.getLogger("Host.Startup").warning("careful")
        assert [line.partition("] ")[2] for line in out.getvalue().splitlines()] == ["in detail", "careful"]
        assert logging.getLogger("Function.Hello").isEnabledFor(logging.INFO)
        assert not logging.getLogger("Host.Web").isEnabledFor(logging.INFO)
        assert not logging.getLogger("azure").isEnabledFor(logging.INFO)

    @pytest.mark.usefixtures("restored_logging")
    def test_that_only_a_rule_with_a_star_shows_reach_the_handler(self) -> None:
        out = io.StringIO()
        levels = {"default": LogLevel.ERROR, "*.user": LogLevel.DEBUG}
        configure_logging(Console(out, out), LogSettings(levels=levels, is_verbose=False))
        logging.getLogger("Function.Hello.User").debug("in detail")
        logging.getLogger("Function.Hello").info("hidden")
        assert [line.partition("] ")[2] for line in out.getvalue().splitlines()] == ["in detail"]


class TestColor:
    @pytest.mark.parametrize(
        ("environment", "text"),
        [
            ({}, "\x1b[33mcareful\x1b[0m\n"),
            ({"NO_COLOR": "1"}, "careful\n"),
            ({"NO_COLOR": ""}, "\x1b[33mcareful\x1b[0m\n"),
        ],
    )
    def test_is_used_on_a_terminal_unless_refused(self, environment: Mapping[str, str], text: str) -> None:
        terminal = Terminal()
        Console(terminal, terminal, environment=environment).warning("careful")
        assert terminal.getvalue() == text

    def test_is_not_used_in_a_file(self) -> None:
        out = io.StringIO()
        Console(out, out, environment={}).warning("careful")
        assert out.getvalue() == "careful\n"


def test_banner_aligns_its_facts() -> None:
    out = io.StringIO()
    Console(out, out).banner({"Python": "3.11.9", "Function app": "/app"}, version="1.2.3")
    assert out.getvalue() == (
        "\ndurablehost 1.2.3, a local host for Azure Functions\nPython:       3.11.9\nFunction app: /app\n\n"
    )
