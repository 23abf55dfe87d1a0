"""Which functions are kept apart after which incidents."""

from __future__ import annotations

from devhost.app.invocation import Invocation
from devhost.worker.suspicion import SECONDS, Suspicion


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.suspicion = Suspicion(lambda: self.now)

    def crash(self, *names: str) -> None:
        """Functions with a small initial letter are called by somebody who does not repeat it."""
        self.suspicion.crashed(
            [
                Invocation(invocation_id=name, function_name=name, inputs={}, work=name if name[0].isupper() else "")
                for name in names
            ]
        )

    @property
    def suspects(self) -> str:
        return "".join(name for name in "ABab" if self.suspicion.is_suspect(name))


def test_all_that_were_lost_together_are_doubted_until_one_is_alone() -> None:
    world = World()
    world.crash("A", "B", "a")
    assert world.suspects == "AB"
    world.crash("B")
    assert world.suspects == "B"


def test_a_function_that_nobody_repeats_is_spared_once_between_its_successes() -> None:
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
