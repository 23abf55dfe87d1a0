"""Route templates: `orders/{id:int}/{*rest}`, matched segment by segment.

Mirrors the route patterns of ASP.NET Core as far as function.json can name them: literals, `{id}`, `{id?}`, `{id=5}`,
`{*rest}`, several parameters in a segment, inline constraints. Pure: text in, route values out. Rule of this file: the
time for a path is in proportion to its length, because anybody can send one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from durablehost.web.constraint import Constraint, build_constraint


class TemplateError(ValueError):
    """ASP.NET Core would not accept the template; the message says why."""


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


_Part = str | Parameter
_Segment = list[_Part]
_Values = dict[Parameter, str]


@dataclass(frozen=True, kw_only=True)
class RouteTemplate:
    """A compiled template: the parts of each of its segments."""

    segments: tuple[_Segment, ...]

    def match(self, path: str) -> Mapping[str, str] | None:
        """The route values of a decoded path without its leading slash; None if it does not match.

        One slash at the end is ignored, except by a catch-all. A parameter that is absent and has no default
        is not among the values.
        """
        texts = self._texts(path)
        if len(texts) > len(self.segments):
            return None
        values: dict[str, str] = {}
        for segment, text in zip_longest(self.segments, texts):
            found = _match_segment(segment, text)
            if found is None:
                return None
            for parameter, value in found.items():
                if not all(allows(value) for allows in parameter.constraints):
                    return None
                values[parameter.name] = value
        return values

    def _texts(self, path: str) -> list[str]:
        """The texts of the segments; a catch-all takes the whole rest."""
        last = self.segments[-1][-1:]
        if any(isinstance(part, Parameter) and part.is_catch_all for part in last):
            texts = path.split("/", len(self.segments) - 1)
        else:
            texts = path.removesuffix("/").split("/")
        return [] if texts == [""] else texts


def _match_segment(segment: _Segment, text: str | None) -> _Values | None:
    """The values of a segment's parameters in a text, None if the segment is absent; None if it does not match."""
    only = segment[0] if len(segment) == 1 else None
    if isinstance(only, Parameter):
        if text:
            return {only: text}
        if not only.is_omissible or (text == "" and not only.is_catch_all):
            return None
        return {} if only.default is None else {only: only.default}
    if not segment or not text:
        return None if segment or text else {}
    last = segment[-1]
    if isinstance(last, Parameter) and last.is_optional and str(segment[-2]).endswith("."):
        return _match_from_right(segment, text) or (
            None if text.endswith(".") else _match_from_right(_without_extension(segment), text)
        )
    return _match_from_right(segment, text)


def _without_extension(segment: _Segment) -> _Segment:
    """`{name}` of `{name}.{extension?}`; what comes before the dot in a longer literal stays."""
    stem = str(segment[-2])[:-1]
    return [*segment[:-2], stem] if stem else segment[:-2]


def _match_from_right(segment: _Segment, text: str) -> _Values | None:
    """Finds each literal as far to the right as possible; the parameters are what is between them, never empty."""
    values: _Values = {}
    folded, end = _folded(text), len(text)
    pending: Parameter | None = None
    for part in reversed(segment):
        if isinstance(part, Parameter):
            pending = part
            continue
        literal = _folded(part)
        start = folded.rfind(literal, 0, end - 1) if pending else end - len(literal)
        if start < 0 or not folded.startswith(literal, start):
            return None
        if pending:
            values[pending] = text[start + len(literal) : end]
        end, pending = start, None
    if bool(pending) != bool(end):
        return None
    if pending:
        values[pending] = text[:end]
    return values


def _folded(text: str) -> str:
    """The text in lower case, character by character, so that positions stay the same."""
    folded = text.lower()
    return folded if len(folded) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


_TOKEN = re.compile(r"\{\{|\}\}|\{((?:[^{}]|\{\{|\}\})*)\}(?!\})|/|[^{}/]+")
_DECLARATION = re.compile(r"(\*{0,2})([^/{}?*:=]+)(.*?)(\?)?", re.DOTALL)
_CONSTRAINT = re.compile(r":([^:(=]+)(?:\((.*?)\)(?=$|[:=]))?", re.DOTALL)


def compile_template(text: str) -> RouteTemplate:
    """Compiles a template; slashes around it are ignored.

    Raises:
        TemplateError: ASP.NET Core would not accept it.
    """
    segments = _split(text.strip("/"))
    parameters = [part for segment in segments for part in segment if isinstance(part, Parameter)]
    _check(text, segments, parameters)
    return RouteTemplate(segments=tuple(segments))


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
        if any(isinstance(part, str) and "?" in part for part in segment):
            raise TemplateError(f"the route template '{text}' has a '?' outside of a parameter; a route has no query")
        if any(isinstance(a, Parameter) and isinstance(b, Parameter) for a, b in itertools.pairwise(segment)):
            raise TemplateError(f"the route template '{text}' has two parameters without a literal between them")
        if any(isinstance(part, Parameter) and part.is_catch_all for part in segment) and (
            len(segment) > 1 or segment is not segments[-1]
        ):
            raise TemplateError(f"the route template '{text}' has a catch-all that is not its last segment")
