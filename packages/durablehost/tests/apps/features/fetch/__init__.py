"""Reads a file, which fails until there is one. Each call is written down beside it."""

from pathlib import Path


def main(value: str) -> str:
    path = Path(value)
    with path.with_name("calls").open("a") as calls:
        calls.write(f"{path.name}\n")
    return path.read_text()
