"""The names of the functions that the app calls. Each must be that of its folder, which is the registered name."""

from __future__ import annotations

from typing import Final

ORCHESTRATOR: Final = "orchestrator_function"
PROCESS_CHUNK: Final = "process_chunk_activity"
PREPARE_RUN: Final = "prepare_run_activity"
FINISH_RUN: Final = "finish_run_activity"
