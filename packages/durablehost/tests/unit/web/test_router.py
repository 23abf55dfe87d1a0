"""Route templates and the choice among them, as ASP.NET Core and the Functions host decide."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durablehost.app.model import FunctionError
from durablehost.web.router import Router, full_template, without_bad_routes
from durablehost.web.template import TemplateError, compile_template
from packages.durablehost.tests.unit.web.fakes import make_app, make_function

MATCHES: list[tuple[str, str, Mapping[str, str]]] = [
    ("api/hello", "api/hello", {}),
    ("api/Hello", "API/hELLO", {}),
    ("api/hello", "api/hello/", {}),
    ("items/{id}", "items/7", {"id": "7"}),
    ("items/{id}", "items/a b", {"id": "a b"}),
    ("items/{Id}", "items/7", {"Id": "7"}),
    ("items/{id?}", "items", {}),
    ("items/{id?}", "items/", {}),
    ("items/{id?}", "items/7", {"id": "7"}),
    ("items/{id=5}", "items", {"id": "5"}),
    ("items/{id=5}", "items/7", {"id": "7"}),
    ("items/{id:int=5}", "items", {"id": "5"}),
    ("{a=1}/{b=2}", "", {"a": "1", "b": "2"}),
    ("{a=1}/{b=2}", "x", {"a": "x", "b": "2"}),
    ("{a?}/b", "x/b", {"a": "x"}),
    ("files/{*rest}", "files", {}),
    ("files/{*rest}", "files/", {}),
    ("files/{*rest}", "files/a/b", {"rest": "a/b"}),
    ("files/{*rest}", "files/a/b/", {"rest": "a/b/"}),
    ("files/{**rest}", "files/a/b", {"rest": "a/b"}),
    ("files/{*rest=x}", "files", {"rest": "x"}),
    ("{*path}", "", {}),
    ("{*path}", "any/thing", {"path": "any/thing"}),
    ("{a}-{b}", "x-y", {"a": "x", "b": "y"}),
    ("{a}-{b}", "x-y-z", {"a": "x-y", "b": "z"}),
    ("v{major}.{minor}", "V1.2", {"major": "1", "minor": "2"}),
    ("{a}b{c}", "xBBy", {"a": "xB", "c": "y"}),
    ("{a}bb{c}", "bbbbb", {"a": "bb", "c": "b"}),
    ("x{a}y", "xyy", {"a": "y"}),
    ("{a}İ{b}", "xİy", {"a": "x", "b": "y"}),
    ("v{name}.{extension?}", "vreport.a.b", {"name": "report.a", "extension": "b"}),
    ("{name}.{extension?}", "report", {"name": "report"}),
    ("{name}.{extension?}", "report.pdf", {"name": "report", "extension": "pdf"}),
    ("a{{b}}/{id}", "a{b}/1", {"id": "1"}),
    (r"{x:regex(^\d{{3}}$)}", "123", {"x": "123"}),
    ("{x:regex(^(a|b)$)}", "b", {"x": "b"}),
    ("{x:regex(^a:b$)}", "a:b", {"x": "a:b"}),
    ("{id:int:min(3):max(5)}", "4", {"id": "4"}),
    ("{id:int?}", "", {}),
    ("%NAME%", "%NAME%", {}),
    ("line", "line", {}),
]

MISMATCHES: list[tuple[str, str]] = [
    ("api/hello", "api/hello2"),
    ("api/hello", "api/hello//"),
    ("api/hello", "api//hello"),
    ("api/hello", "api"),
    ("items/{id}", "items"),
    ("items/{id}", "items/"),
    ("items/{id}", "items/a/b"),
    ("{a=1}/b", "b"),
    ("{a?}/b", "b"),
    ("{a}-{b}", "-y"),
    ("{a}-{b}", "xy"),
    ("{a}-{b}", "x-"),
    ("x{a}y", "xy"),
    ("x{a}", "ax1"),
    ("{name}.{extension?}", "report."),
    ("", "x"),
    ("{id:int:min(3):max(5)}", "6"),
    (r"{x:regex(^\d{{3}}$)}", "12"),
]

CONSTRAINTS: list[tuple[str, list[str], list[str]]] = [
    ("int", ["0", "-7", "+7", " 7 ", "2147483647", "-2147483648"], ["x", "1.5", "2147483648", "1" * 5000, "٣", "1e3"]),
    ("long", ["9223372036854775807"], ["9223372036854775808", "1.0"]),
    ("bool", ["true", "FALSE", " True "], ["1", "yes"]),
    ("datetime", ["2026-01-05", "2026-01-05T10:00", "2026-01-05T10:00:00.1234567Z", "2026/1/5", "01/31/2026",
                  "01/31/2026 05:30 PM", "Mon, 05 Jan 2026 10:00:00 GMT", "5 January 2026", "January 5, 2026"],
     ["2026-13-05", "2026-02-30", "2026-1-1234", "soon", "5"]),
    ("decimal", ["1", "-1.5", "1,000.5", ".5", "1-"], ["1e5", "x", ""]),
    ("double", ["1.5", "1e5", "-1E-5", "NaN", "Infinity", "1,000"], ["x", "1.2.3", "e5"]),
    ("float", ["1.5"], ["one"]),
    ("guid", ["0123456789abcdef0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef",
              "{01234567-89ab-cdef-0123-456789abcdef}", "(01234567-89ab-cdef-0123-456789abcdef)"],
     ["01234567", "{01234567-89ab-cdef-0123-456789abcdef)", "{0123456789abcdef0123456789abcdef}"]),
    ("alpha", ["abc", "XYZ"], ["a1", "ä"]),
    ("length(3)", ["abc"], ["ab", "abcd"]),
    ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
    ("minlength(2)", ["ab", "abcdef"], ["a"]),
    ("maxlength(2)", ["a", "ab"], ["abc"]),
    ("min(3)", ["3", "99"], ["2", "x", "9223372036854775808"]),
    ("max(3)", ["3", "-9"], ["4", "x"]),
    ("range(2,4)", ["2", "4"], ["1", "5", "x"]),
    ("regex(^a+$)", ["a", "AAA"], ["b"]),
    ("regex(b)", ["abc"], ["ac"]),
    ("required", ["x"], []),
    ("INT", ["1"], ["x"]),
]  # fmt: skip

REFUSED = [
    "{", "a}", "{}", "{id", "{a}{b}", "{a}/{a}", "{a}/{A}", "{*rest}/more", "x{*rest}", "a//b", "{id:nope}",
    "{id:int(3)}", "{id:range(1)}", "{id:min(x)}", "{id:regex([)}", "{id=5?}", "{a?b}", "x?y=1", "{a}?",
]  # fmt: skip


@pytest.mark.parametrize(("template", "path", "values"), MATCHES)
def test_a_matching_path_gives_its_values(template: str, path: str, values: Mapping[str, str]) -> None:
    assert compile_template(template).match(path) == values


@pytest.mark.parametrize(("template", "path"), MISMATCHES)
def test_a_different_path_does_not_match(template: str, path: str) -> None:
    assert compile_template(template).match(path) is None


@pytest.mark.parametrize(
    ("constraint", "text", "allowed"),
    [(name, text, True) for name, good, _ in CONSTRAINTS for text in good]
    + [(name, text, False) for name, _, bad in CONSTRAINTS for text in bad if text],
)
def test_a_constraint_checks_the_text_of_the_value(constraint: str, text: str, allowed: bool) -> None:
    assert (compile_template(f"{{*value:{constraint}}}").match(text) == {"value": text}) is allowed


@pytest.mark.parametrize("template", REFUSED)
def test_a_template_that_cannot_be_compiled_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        compile_template(template)


@given(st.text(), st.text())
def test_any_text_compiles_or_is_refused_and_any_path_matches_or_not(template: str, path: str) -> None:
    try:
        compiled = compile_template(template)
    except TemplateError:
        return
    compiled.match(path)


LONG = 8000


@pytest.mark.parametrize("character", ["-", ".", "1", ",", " ", "a", "é"])
@pytest.mark.parametrize("template", ["{a}-{b}-{c}", "{a}.{b}.{c}.{d}x", "x{a}-{b?}", "{a}.{b?}", "{a}1{b}1{c}-"])
def test_a_long_path_is_matched_in_proportion_to_its_length(template: str, character: str) -> None:
    compile_template(template).match(f"{character * LONG}")
    compile_template(template).match(f"{character * LONG}!")


@pytest.mark.parametrize("character", ["-", ".", "1", ",", " ", "a", "é"])
@pytest.mark.parametrize("constraint", [name for name, _, _ in CONSTRAINTS])
def test_a_long_value_is_checked_in_proportion_to_its_length(constraint: str, character: str) -> None:
    compile_template(f"{{*value:{constraint}}}").match(f"{character * LONG}!")


@given(st.lists(st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)))
def test_a_catch_all_gives_back_the_whole_rest(parts: list[str]) -> None:
    rest = "/".join(parts)
    assert compile_template("x/{*rest}").match(f"x/{rest}") == ({"rest": rest} if rest else {})


def matched(router: Router, method: str, path: str) -> str | None:
    match = router.match(method, path)
    return match.function.name if match else None


def test_the_first_function_that_matches_wins_however_specific_the_next_is() -> None:
    functions = [make_function("A", route="{*path}"), make_function("B", route="b/c")]

    assert matched(Router(functions, prefix="api"), "GET", "/api/b/c") == "A"


def test_an_unlisted_method_is_routed_to_the_next_function() -> None:
    functions = [
        make_function("Read", route="item", methods=("get",)),
        make_function("Write", route="item", methods=("POST",)),
    ]
    router = Router(functions, prefix="api")

    assert [matched(router, method, "/api/item") for method in ("GET", "POST", "PUT")] == ["Read", "Write", None]


def test_head_and_options_are_not_implied_by_get() -> None:
    router = Router([make_function("A", methods=("get",)), make_function("B")], prefix="api")

    assert matched(router, "HEAD", "/api/A") is None
    assert matched(router, "OPTIONS", "/api/A") is None
    assert matched(router, "OPTIONS", "/api/B") == "B"


def test_an_empty_list_of_methods_matches_nothing() -> None:
    assert matched(Router([make_function("A", methods=())], prefix="api"), "GET", "/api/A") is None


def test_disabled_functions_and_other_triggers_have_no_route() -> None:
    router = Router([make_function("A", is_disabled=True), make_function("B", "activityTrigger")], prefix="api")

    assert matched(router, "GET", "/api/A") is None
    assert matched(router, "GET", "/api/B") is None


@pytest.mark.parametrize(
    ("prefix", "route", "full"),
    [("api", "", "api/Fn"), ("api", "x/y", "api/x/y"), ("", "x", "x"), ("", "", "Fn"), ("a/b/", "/x/", "a/b/x")],
)
def test_the_prefix_comes_before_the_route(prefix: str, route: str, full: str) -> None:
    assert full_template(make_function("Fn", route=route), prefix) == full


def test_a_function_with_a_bad_template_is_in_error_and_stops_no_other() -> None:
    known = FunctionError(name="Known", message="why")
    functions = (
        make_function("Bad", route="{id:nope}"),
        make_function("Good"),
        make_function("Say", "activityTrigger"),
    )

    app = without_bad_routes(make_app(*functions, errors=(known,)), prefix="api")

    problem = "the route parameter 'id' is not valid: the constraint 'nope' is not known with these arguments"
    assert [function.name for function in app.functions] == ["Good", "Say"]
    assert app.errors == (FunctionError(name="Bad", message=problem), known)
    assert matched(Router(app.functions, prefix="api"), "GET", "/api/Good") == "Good"
