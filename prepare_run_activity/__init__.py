"""The activity at the beginning of a run: the plan that all chunks share; the logic is in `shared_code.activities`."""

from __future__ import annotations

import os

from shared_code.activities import prepare_run
from shared_code.contracts import RunStart
from shared_code.failures import leaving_activity


# `object` for both: the functions worker resolves these annotations and needs plain classes, which JSON types are not.
def main(start: object) -> object:
    with leaving_activity():
        return prepare_run(RunStart.from_json(start), os.environ).to_json()
