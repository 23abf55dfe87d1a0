"""Fails until it has been called so many times for an id; the calls are counted in this process."""

from collections import Counter

calls = Counter()


def main(value: dict) -> int:
    calls[value["id"]] += 1
    if calls[value["id"]] <= value["failures"]:
        raise RuntimeError(f"call {calls[value['id']]} fails")
    return calls[value["id"]]
