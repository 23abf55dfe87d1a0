"""How the C library gives memory back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# glibc's own limit grows with the largest block that was freed, up to 32 MiB: what is smaller stays with the process.
_LARGE_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Makes glibc return every large block as soon as it is free; does nothing with another C library.

    Payloads of many megabytes come and go. Kept on the heap, the holes they leave are several times their size.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
