"""Any request to any route gets an answer without an unexpected 5xx or internals, and the host goes on."""

from __future__ import annotations

import re
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

pytest.importorskip("azure.data.tables", reason="starts hosts, which needs requirements-dev.txt")

from packages.durablehost.tests.e2e.host_process import CHECKOUT
from packages.durablehost.tests.hostile.conftest import Target
from packages.durablehost.tests.hostile.routes import LOOPBACK, PUBLIC
from packages.durablehost.tests.hostile.strategies import Request, requests
from packages.durablehost.tests.hostile.wire import Answer, exchange, parsed

# Documented refusals with a status above 499.
_PROMISED = (
    (501, re.compile("taskHub=|connection=", re.IGNORECASE), "durablehost does not support other"),
    (500, re.compile("/(suspend|resume)", re.IGNORECASE), "Cannot (suspend|resume) the orchestration instance"),
)
_INSIDE = re.compile(
    "|".join([r"Traceback \(most", r'File \\?"', r"\.py\b.{0,9}line \d", "site-packages",
              *map(re.escape, (str(CHECKOUT), sys.prefix, sys.base_prefix))])
)  # fmt: skip

Figures = dict[str, Counter[str]]


def is_promised(request: Request, answer: Answer) -> bool:
    return any(
        answer.status == status
        and target.search(request.target)
        and (request.verb == "HEAD" or re.search(text, answer.text))
        for status, target, text in _PROMISED
    )


def attack(port: int, request: Request, counts: Counter[str]) -> None:
    answer = parsed(exchange(port, request.data), method=request.verb)
    counts[f"{answer.status} as documented" if is_promised(request, answer) else str(answer.status)] += 1
    assert answer.status < 500 or is_promised(request, answer), answer
    assert not _INSIDE.search(answer.text), answer


def many(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


class TestUsual:
    @given(request=requests(PUBLIC))
    @many(500)
    def test_no_request_to_the_public_port_harms_the_host(
        self, target: Target, figures: Figures, request: Request
    ) -> None:
        attack(target.public_port, request, figures.setdefault("hostile requests to the public port", Counter()))

    @given(request=requests(LOOPBACK))
    @many(250)
    def test_no_request_to_the_rpc_port_harms_the_host(
        self, target: Target, figures: Figures, request: Request
    ) -> None:
        attack(target.rpc_port, request, figures.setdefault("hostile requests to the RPC port", Counter()))


@pytest.mark.soak
class TestSoak:
    @given(request=requests(PUBLIC))
    @many(4000)
    def test_no_request_to_the_public_port_harms_the_host(
        self, target: Target, figures: Figures, request: Request
    ) -> None:
        attack(target.public_port, request, figures.setdefault("hostile requests to the public port", Counter()))

    @given(request=requests(LOOPBACK))
    @many(2000)
    def test_no_request_to_the_rpc_port_harms_the_host(
        self, target: Target, figures: Figures, request: Request
    ) -> None:
        attack(target.rpc_port, request, figures.setdefault("hostile requests to the RPC port", Counter()))
