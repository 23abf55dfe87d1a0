"""The keys that callers of a host with `--enableAuth` need, and the file that stores them.

Rule of this package: a key leaves it in a `KeyRing`, or as the result of the call that made it; no message, warning or
repr contains one.
"""
