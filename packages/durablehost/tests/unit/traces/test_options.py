"""Which variables turn traces on, and what is said about those that cannot be served."""

from __future__ import annotations

import pytest

from durablehost.errors import ConfigurationError
from durablehost.traces.options import trace_options

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {**BASE, "OTEL_SDK_DISABLED": "true"},
        {**BASE, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off(variables: dict[str, str]) -> None:
    assert trace_options(variables) is None


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        (BASE, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector/base/"}, "https://collector/base/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/path"}, "http://other/path"),
        ({**BASE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/path"}, "http://other/path"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({**BASE, "OTEL_SDK_DISABLED": "false"}, "http://collector:4318/v1/traces"),
        ({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://collector:4318/v1/traces"),
        (
            {**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            "http://collector:4318/v1/traces",
        ),
    ],
)
def test_traces_are_on(variables: dict[str, str], endpoint: str) -> None:
    options = trace_options(variables)
    assert options is not None
    assert options.endpoint == endpoint


def test_all_variables_of_opentelemetry_are_kept_and_no_others() -> None:
    options = trace_options({**BASE, "OTEL_TRACES_SAMPLER": "always_off", "AzureWebJobsStorage": "secret"})
    assert options is not None
    assert options.variables == {**BASE, "OTEL_TRACES_SAMPLER": "always_off"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**BASE, "OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER is 'console'"),
        ({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        ({**BASE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is"),
    ],
)
def test_what_cannot_be_served_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        trace_options(variables)


@pytest.mark.parametrize("endpoint", ["localhost:4318", "me:secret@collector:4318", "grpc://collector:4317", "http://"])
@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_endpoint_that_is_no_url_is_refused_and_not_repeated(name: str, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must begin with http:// or https://") as caught:
        trace_options({name: endpoint})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("headers", ["Authorization: Bearer secret", "secret", "a=b,secret", 'a="secret"', "=secret"])
@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
def test_headers_that_are_malformed_are_refused_and_not_repeated(name: str, headers: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be headers such as") as caught:
        trace_options({**BASE, name: headers})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("headers", ["", "api-key=secret", " a=b , c=Bearer d==,", "a=b%20c"])
def test_headers_that_the_sdk_reads_are_accepted(headers: str) -> None:
    assert trace_options({**BASE, "OTEL_EXPORTER_OTLP_HEADERS": headers}) is not None


def test_an_address_is_shown_without_secrets() -> None:
    options = trace_options({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://me:secret@collector:4318/v1/traces?key=a"})
    assert options is not None
    assert options.shown_endpoint == "https://collector:4318/v1/traces"
