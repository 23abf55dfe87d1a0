"""Returns nothing."""


def main(value: object) -> None:
    return None
