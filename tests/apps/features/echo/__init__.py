"""Returns what it gets."""


def main(value):
    return value
