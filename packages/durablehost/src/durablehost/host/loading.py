"""Names the function whose import takes long, so that a slow start does not look like a hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 60.0


async def report_loading(
    loading: Callable[[], Sequence[str]], say: Callable[[str], None], *, first_seconds: float = FIRST_SECONDS
) -> None:
    """Says what is being imported after `first_seconds`, then after growing pauses; until it is cancelled."""
    began_at, pause = time.monotonic(), first_seconds
    while True:
        await asyncio.sleep(pause)
        elapsed = time.monotonic() - began_at
        what = f"loading {', '.join(names)}" if (names := loading()) else "starting its worker process"
        say(f"The app is still {what} ... ({elapsed:.0f} s so far)")
        pause = min(elapsed, _LONGEST_SECONDS)
