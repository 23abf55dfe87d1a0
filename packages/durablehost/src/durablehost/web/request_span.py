"""The span of a request to an HTTP function.

Name and attributes follow the semantic conventions of OpenTelemetry for HTTP servers and for functions. Of the URL only
the path is shown: a query may contain keys.
"""

from __future__ import annotations

from durablehost.core.spans import Place, Span, SpanKind
from durablehost.web.request import EdgeRequest

_FIRST_SERVER_ERROR = 500


def request_span_name(request: EdgeRequest, route: str) -> str:
    return f"{request.method} {route}"


def http_request_span(
    request: EdgeRequest, place: Place, *, route: str, function_name: str, invocation_id: str, status: int
) -> Span:
    """`route` is the template of the function's route, from the root of the host on."""
    is_failure = status >= _FIRST_SERVER_ERROR
    return Span(
        name=request_span_name(request, route),
        kind=SpanKind.SERVER,
        place=place,
        attributes={
            "http.request.method": request.method,
            "http.route": route,
            "http.response.status_code": status,
            "url.path": request.raw_path,
            "url.scheme": request.origin.partition(":")[0],
            "faas.trigger": "http",
            "faas.name": function_name,
            "faas.invocation_id": invocation_id,
            **({"error.type": str(status)} if is_failure else {}),
        },
        error="" if is_failure else None,
    )
