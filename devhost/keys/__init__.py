"""The keys that callers of a host with `--enableAuth` show, and the file they are kept in.

Rule of this package: a key leaves it in a `KeyRing`, or as the result of the call that made it; no message, warning or
repr holds one.
"""
