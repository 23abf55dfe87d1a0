"""Route templates: `orders/{id:int}/{*rest}` compiled to one match of a whole path.

Mirrors the route patterns of ASP.NET Core as far as function.json can name them: literals, `{id}`, `{id?}`, `{id=5}`,
`{*rest}`, several parameters in a segment, inline constraints. Pure: text in, route values out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from devhost.web.constraint import Constraint, build_constraint


class TemplateError(ValueError):
    """The template is not one that ASP.NET Core would take; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a template; `default` None: it has none."""

    name: str
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False

    @property
    def is_omissible(self) -> bool:
        return self.is_optional or self.is_catch_all or self.default is not None


@dataclass(frozen=True, kw_only=True)
class RouteTemplate:
    """A compiled template. Group n of `pattern` is the value of parameter n."""

    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]

    def match(self, path: str) -> Mapping[str, str] | None:
        """The route values of a decoded path without its leading slash; None where it does not match.

        One slash at the end counts for nothing, except to a catch-all. A parameter that is absent and has no default
        is not among the values.
        """
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for parameter, text in zip(self.parameters, found.groups(), strict=True):
            value = text or parameter.default
            if value is None:
                continue
            if not all(allows(value) for allows in parameter.constraints):
                return None
            values[parameter.name] = value
        return values


_VALUE, _SHORT_VALUE = "([^/]+)", "([^/]+?)"

_Part = str | Parameter
_Segment = list[_Part]
_TOKEN = re.compile(r"\{\{|\}\}|\{((?:[^{}]|\{\{|\}\})*)\}(?!\})|/|[^{}/]+")
_DECLARATION = re.compile(r"(\*{0,2})([^/{}?*:=]+)(.*?)(\?)?", re.DOTALL)
_CONSTRAINT = re.compile(r":([^:(=]+)(?:\((.*?)\)(?=$|[:=]))?", re.DOTALL)


def compile_template(text: str) -> RouteTemplate:
    """Slashes around the template count for nothing.

    Raises:
        TemplateError: ASP.NET Core would not take it.
    """
    segments = _split(text.strip("/"))
    parameters = [part for segment in segments for part in segment if isinstance(part, Parameter)]
    _check(text, segments, parameters)
    return RouteTemplate(
        pattern=re.compile(f"{_pattern(segments)}/?", re.IGNORECASE | re.DOTALL), parameters=tuple(parameters)
    )


def _split(text: str) -> list[_Segment]:
    segments: list[_Segment] = [[]]
    for token, declaration in _tokens(text):
        if declaration is not None:
            segments[-1].append(_parameter(declaration))
        elif token == "/":
            segments.append([])
        elif segments[-1] and isinstance(segments[-1][-1], str):
            segments[-1][-1] += token
        else:
            segments[-1].append(token)
    return segments


def _tokens(text: str) -> Iterator[tuple[str, str | None]]:
    """Literals, slashes and (with its declaration) each parameter, in order."""
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise TemplateError(f"the route template '{text}' has a brace without its counterpart")
        position = token.end()
        declaration = token[1]
        yield token[0].replace("{{", "{").replace("}}", "}"), declaration


def _parameter(declaration: str) -> Parameter:
    parts = _DECLARATION.fullmatch(declaration.replace("{{", "{").replace("}}", "}"))
    if parts is None:
        raise TemplateError(f"'{{{declaration}}}' is not a route parameter")
    stars, name, rest, question = parts.groups()
    constraints, position = [], 0
    try:
        while match := _CONSTRAINT.match(rest, position):
            constraints.append(build_constraint(match[1], match[2]))
            position = match.end()
    except ValueError as error:
        raise TemplateError(f"the route parameter '{name}' is not valid: {error}") from error
    remainder = rest[position:]
    if remainder and (not remainder.startswith("=") or question):
        raise TemplateError(f"'{{{declaration}}}' is not a route parameter")
    return Parameter(
        name=name,
        constraints=tuple(constraints),
        default=remainder[1:] if remainder else None,
        is_optional=question is not None,
        is_catch_all=bool(stars),
    )


def _check(text: str, segments: list[_Segment], parameters: list[Parameter]) -> None:
    names = [parameter.name.lower() for parameter in parameters]
    if len(set(names)) < len(names):
        raise TemplateError(f"the route template '{text}' names a parameter twice")
    if any(not segment for segment in segments) and len(segments) > 1:
        raise TemplateError(f"the route template '{text}' has an empty segment")
    for segment in segments:
        if any(isinstance(a, Parameter) and isinstance(b, Parameter) for a, b in itertools.pairwise(segment)):
            raise TemplateError(f"the route template '{text}' has two parameters without a literal between them")
        if any(isinstance(part, Parameter) and part.is_catch_all for part in segment) and (
            len(segment) > 1 or segment is not segments[-1]
        ):
            raise TemplateError(f"the route template '{text}' has a catch-all that is not its last segment")


def _pattern(segments: list[_Segment]) -> str:
    """From the right: what may be left out nests into what stands before it."""
    pattern, may_be_omitted = "", True
    for index, segment in reversed(list(enumerate(segments))):
        slash = "/" if index else ""
        only = segment[0] if len(segment) == 1 else None
        may_be_omitted = may_be_omitted and isinstance(only, Parameter) and only.is_omissible
        body = f"{slash}{_segment_pattern(segment)}{pattern}"
        pattern = f"(?:{body})?" if may_be_omitted else body
    return pattern


def _segment_pattern(segment: _Segment) -> str:
    if len(segment) == 1 and isinstance(segment[0], Parameter) and segment[0].is_catch_all:
        return "(.*)"
    *front, last = segment or [""]
    if isinstance(last, Parameter) and last.is_optional and front and str(front[-1]).endswith("."):
        # `{name}.{extension?}`: the last dot goes with the extension, so the name takes as little as it can.
        stem = "".join(_part_pattern(part) for part in [*front[:-1], str(front[-1])[:-1]])
        if stem.endswith(_VALUE):
            stem = stem.removesuffix(_VALUE) + _SHORT_VALUE
        return rf"{stem}(?:\.([^/.]+))?"
    return "".join(_part_pattern(part) for part in segment)


def _part_pattern(part: _Part) -> str:
    return re.escape(part) if isinstance(part, str) else _VALUE
