"""Returns its input."""


def main(value):
    return value
