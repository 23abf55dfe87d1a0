"""Fails until it has been called `failures` times; the calls are counted in a file. Returns their number."""

from pathlib import Path


def main(value: dict) -> int:
    calls = Path(value["calls"])
    with calls.open("a") as file:
        file.write("called\n")
    number = len(calls.read_text().splitlines())
    if number <= value["failures"]:
        raise RuntimeError(f"call {number} fails")
    return number
