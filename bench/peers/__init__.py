"""Other programs that run many small activities, each asked for the same fan-out.

None of them is a dependency of the project: each is installed into an environment of its own, and what is in `scripts`
is run by that environment's Python.
"""
