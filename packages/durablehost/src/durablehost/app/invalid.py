"""The exception of all validation; discovery makes a `FunctionError` of it, so it never leaves this package."""

from __future__ import annotations


class InvalidFunctionError(Exception):
    """A function must be dropped; the text is the message of its `FunctionError`."""
