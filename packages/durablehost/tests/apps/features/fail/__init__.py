"""Fails with the text it gets."""


def main(value: str) -> str:
    raise ValueError(value)
