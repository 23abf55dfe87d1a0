"""Returns its input; for a number of seconds, after that time."""

import time


def main(value: object) -> object:
    if isinstance(value, dict):
        time.sleep(value["seconds"])
    return value
