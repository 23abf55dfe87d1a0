"""Takes the poison that its input names."""

from ..shared import poison


def main(value: str) -> str:
    poison.take(value)
    return value
