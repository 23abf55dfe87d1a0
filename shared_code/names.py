"""The names the app is addressed by, once. A rename here must follow the folder's, which is the registered name."""

from __future__ import annotations

from typing import Final

ORCHESTRATOR: Final = "orchestrator_function"
PROCESS_CHUNK: Final = "process_chunk_activity"
