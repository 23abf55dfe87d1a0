"""The one error of the measurements."""


class BenchError(Exception):
    """A measurement cannot go on; the message says why."""
