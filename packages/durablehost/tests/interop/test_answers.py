"""The management API of durablehost and that of the real engine answer the same calls.

What the real engine answers is recorded, so that the comparison runs where there is no engine:
`pytest packages/durablehost/tests/interop/test_answers.py --write-answers` records it again, with an engine.
"""

from __future__ import annotations

import pytest

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.host_process import PACKAGE
from packages.durablehost.tests.interop.answers.caller import Answers, Caller
from packages.durablehost.tests.interop.answers.calls import GROUPS
from packages.durablehost.tests.interop.answers.compare import described, differences, record, recorded
from packages.durablehost.tests.interop.answers.known import HTTP_API, IN_EXECUTION, IN_STORAGE, KNOWN, Known
from packages.durablehost.tests.interop.conftest import ENVIRONMENT, StartEngine
from packages.durablehost.tests.interop.engine import SCRIPTED_APP

PAGE = PACKAGE / "docs" / "differences.md"


@pytest.fixture
def our_answers(running_host: RunningHost, azurite: Azurite, hub_name: str) -> Answers:
    with running_host(SCRIPTED_APP, environment=ENVIRONMENT) as host:
        return Caller(host.url, hub_name, azurite.connection_string).answers(GROUPS)


@pytest.mark.azurite
def test_the_recording_is_what_the_real_engine_answers(
    request: pytest.FixtureRequest, real_engine: StartEngine, azurite: Azurite, hub_name: str
) -> None:
    with real_engine() as engine:
        answers = Caller(engine.url, hub_name, azurite.connection_string).answers(GROUPS)
    if request.config.getoption("--write-answers"):
        record(answers)
    changes = described(differences(answers, recorded()))
    assert not changes, f"what it answers, and what is recorded:\n{changes}"


@pytest.mark.azurite
def test_durablehost_answers_as_the_real_engine_but_for_known_differences(our_answers: Answers) -> None:
    found = list(differences(our_answers, recorded()))
    new = described(each for each in found if not any(known.covers(*each[:2]) for known in KNOWN))
    assert not new, f"durablehost, and the real engine:\n{new}"
    gone = [known for known in KNOWN if not any(known.covers(*each[:2]) for each in found)]
    assert not gone, f"these differences do not exist any more: {gone}"


@pytest.mark.parametrize(
    ("heading", "known"), [("HTTP API", HTTP_API), ("In execution", IN_EXECUTION), ("In storage", IN_STORAGE)]
)
def test_every_known_difference_is_explained(heading: str, known: tuple[Known, ...]) -> None:
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    explained = {line.split(" | ")[0].strip("| ") for line in section.splitlines() if line.startswith("|")}
    assert sorted({each.topic for each in known} - explained) == []
