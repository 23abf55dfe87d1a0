"""Reads the variables of OpenTelemetry that decide whether, and to where, traces are exported.

The other `OTEL_` variables, such as those of sampling and batches, are read by the SDK itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from durablehost.errors import ConfigurationError

PREFIX = "OTEL_"
DEFAULT_ENDPOINT = "http://localhost:4318"
_ENDPOINT, _TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_SERVED_EXPORTER = "otlp"
_SERVED_PROTOCOL = "http/protobuf"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
# As the Python SDK reads them.
_HEADER = re.compile(r"[ \t]*[!#-'*+.0-9A-Z^-z|~-]+[ \t]*=[ !#-+\--:<-\[\]-~]*")
_URL = re.compile(r"https?://[^/?#]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """`endpoint` is the address that receives the spans; `variables` are all variables of OpenTelemetry."""

    endpoint: str
    variables: Mapping[str, str]

    @property
    def shown_endpoint(self) -> str:
        """The address without user name, password and query."""
        parts = urlsplit(self.endpoint)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def trace_options(environment: Mapping[str, str]) -> TraceOptions | None:
    """None if traces are off.

    Raises:
        ConfigurationError: the variables ask for another exporter or protocol, the endpoint is no URL, or headers are
            malformed.
    """
    variables = {name: value.strip() for name, value in environment.items() if name.startswith(PREFIX)}
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").lower()
    endpoint = _endpoint(variables)
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return None
    if not exporter and endpoint is None:
        return None
    if exporter not in ("", _SERVED_EXPORTER):
        raise ConfigurationError(
            f"OTEL_TRACES_EXPORTER is '{exporter}', but durablehost exports traces by '{_SERVED_EXPORTER}' only"
        )
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := variables.get(name):
            if protocol != _SERVED_PROTOCOL:
                raise ConfigurationError(
                    f"{name} is '{protocol}', but durablehost sends traces by '{_SERVED_PROTOCOL}' only: set "
                    f"{name}={_SERVED_PROTOCOL}, and the endpoint to the HTTP port of the collector, usually 4318"
                )
            break
    endpoint = endpoint or f"{DEFAULT_ENDPOINT}/v1/traces"
    if not _URL.match(endpoint):
        # The value is not quoted, because it may contain a password.
        name = _TRACES_ENDPOINT if variables.get(_TRACES_ENDPOINT) else _ENDPOINT
        raise ConfigurationError(f"{name} must begin with http:// or https:// and name a host")
    for name in _HEADERS:
        if not all(_HEADER.fullmatch(header) for header in variables.get(name, "").split(",") if header.strip()):
            # The SDK would log the header, which is most likely a key, and send no traces with it.
            raise ConfigurationError(f"{name} must be headers such as api-key=value, separated by commas")
    return TraceOptions(endpoint=endpoint, variables=variables)


def _endpoint(variables: Mapping[str, str]) -> str | None:
    """The address of the traces, None if no variable names one. Only the general variable lacks the path."""
    if endpoint := variables.get(_TRACES_ENDPOINT):
        return endpoint
    base = variables.get(_ENDPOINT)
    return f"{base.rstrip('/')}/v1/traces" if base else None
