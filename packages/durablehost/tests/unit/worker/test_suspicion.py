"""Which functions are isolated after which incidents."""

from __future__ import annotations

from durablehost.app.invocation import Invocation
from durablehost.worker.suspicion import SECONDS, Suspicion


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.suspicion = Suspicion(lambda: self.now)

    def crash(self, *names: str) -> None:
        """Calls of functions with a lower-case name are not repeated."""
        self.suspicion.crashed(
            [
                Invocation(invocation_id=name, function_name=name, inputs={}, work=name if name[0].isupper() else "")
                for name in names
            ]
        )

    @property
    def suspects(self) -> str:
        return "".join(name for name in "ABab" if self.suspicion.is_suspect(name))


def test_all_functions_lost_in_one_crash_are_suspects_until_one_crashes_alone() -> None:
    world = World()
    world.crash("A", "B", "a")
    assert world.suspects == "AB"
    world.crash("B")
    assert world.suspects == "B"


def test_a_function_whose_calls_are_not_repeated_is_spared_once_between_its_successes() -> None:
    world = World()
    world.crash("A", "a")
    world.suspicion.succeeded("a")
    world.crash("A", "a")
    assert world.suspects == "A"
    world.crash("A", "a")
    assert world.suspects == "Aa"


def test_an_incident_is_forgotten_after_a_while() -> None:
    world = World()
    world.suspicion.blocked("A")
    world.crash("b")
    assert world.suspects == "Ab"
    world.now += SECONDS
    assert world.suspects == ""


def test_a_kill_from_outside_is_excused_once_in_a_while_and_once_for_the_same_work() -> None:
    world = World()

    def excuses(work: str) -> bool:
        call = Invocation(invocation_id="id", function_name="A", inputs={}, work=work)
        return world.suspicion.excuses_kill([call])

    assert excuses("one")
    assert not excuses("two")
    world.now += 3600
    assert not excuses("one")
    assert excuses("two")
