"""Measures the same fan-out on durablehost and on its peers, alternating.

Rule of this file: a peer that cannot be measured is named with the reason, never left out; and each runs as its own
documentation advises.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.caller import Caller, calling
from bench.fan_out import GROUP_SIZE
from bench.figures import Figures, Measured, Say
from bench.pair import WARM_UP_CHUNKS
from bench.peers.environment import PeerError, environment_python, run_script
from bench.peers.server import running_server
from bench.stack import running_azurite, running_host

DURABLEHOST = "durablehost"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A program, in one way of using it."""

    name: str
    requirements: str
    script: str
    # The server that it needs: sqlite (a file), postgresql, redis; or none.
    server: str = ""


PEERS = (
    Peer(name="DBOS queue, PostgreSQL", requirements="dbos", script="dbos_queue", server="postgresql"),
    Peer(name="DBOS queue, SQLite", requirements="dbos", script="dbos_queue", server="sqlite"),
    Peer(name="DBOS steps, PostgreSQL", requirements="dbos", script="dbos_steps", server="postgresql"),
    Peer(name="DBOS steps, SQLite", requirements="dbos", script="dbos_steps", server="sqlite"),
    Peer(name="Prefect", requirements="prefect", script="prefect_flow"),
    Peer(name="Celery chord, Redis", requirements="celery", script="celery_chord", server="redis"),
    Peer(name="durabletask, in memory", requirements="durabletask", script="durabletask_in_memory"),
)

# The seconds, and any other figures of a script, of each N.
Answer = dict[str, dict[str, float]]


def measure_peers(folder: Path, numbers: tuple[int, ...], runs: int, say: Say) -> Iterator[Measured]:
    answers: dict[str, list[Answer]] = defaultdict(list)
    missing: dict[str, str] = {}
    for run in range(runs):
        answers[DURABLEHOST].append(_run_durablehost(folder, numbers))
        _report(say, DURABLEHOST, run, answers)
        for peer in PEERS:
            if peer.name in missing:
                continue
            try:
                answers[peer.name].append(_run_peer(peer, folder, numbers, say))
            except PeerError as error:
                missing[peer.name] = str(error)
                say(f"{peer.name}: not measured: {error}")
            else:
                _report(say, peer.name, run, answers)
    for chunks, figures in peer_figures(answers, missing, numbers).items():
        yield "peers", chunks, figures


def peer_figures(
    answers: dict[str, list[Answer]], missing: dict[str, str], numbers: tuple[int, ...]
) -> dict[str, Figures]:
    """For each N the figures of every program, or why there are none; times of peers are relative to durablehost's."""
    names = [DURABLEHOST, *(peer.name for peer in PEERS)]
    return {
        str(chunks): {
            name: {"missing": missing[name]}
            if name in missing
            else _figures(chunks, answers[name], answers[DURABLEHOST])
            for name in names
        }
        for chunks in numbers
    }


def _figures(chunks: int, answers: list[Answer], durablehost: list[Answer]) -> Figures:
    key = str(chunks)
    medians = {name: statistics.median(answer[key][name] for answer in answers) for name in answers[0][key]}
    # Compared within each run, on the same state of the machine.
    times = [answer[key]["seconds"] / own[key]["seconds"] for answer, own in zip(answers, durablehost, strict=True)]
    return {
        **medians,
        "chunks_per_second": chunks / medians["seconds"],
        "times_durablehost": statistics.median(times),
        "runs": len(answers),
    }


def _run_durablehost(folder: Path, numbers: tuple[int, ...]) -> Answer:
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder) as host:

        async def measured() -> Answer:
            async with calling(host, azurite.ports) as caller:
                await caller.fan_out(WARM_UP_CHUNKS, GROUP_SIZE)
                return {str(chunks): await _fan_out(caller, chunks) for chunks in numbers}

        return asyncio.run(measured())


async def _fan_out(caller: Caller, chunks: int) -> dict[str, float]:
    began = time.perf_counter()
    seconds = await caller.fan_out(chunks, GROUP_SIZE)
    await caller.until_settled()
    return {"seconds": seconds, "settled_seconds": time.perf_counter() - began}


def _run_peer(peer: Peer, folder: Path, numbers: tuple[int, ...], say: Say) -> Answer:
    python = environment_python(peer.requirements, say)
    with running_server(peer.server, python) as address:
        return run_script(python, peer.script, numbers, address, folder)


def _report(say: Say, name: str, run: int, answers: dict[str, list[Answer]]) -> None:
    seconds = ", ".join(f"{each['seconds']:.2f} s for {chunks}" for chunks, each in answers[name][-1].items())
    say(f"{name}, run {run + 1}: {seconds}")
