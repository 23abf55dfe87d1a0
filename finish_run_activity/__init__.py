"""The activity at the end of a run with stored results: the manifest; the logic is in `shared_code.activities`."""

from __future__ import annotations

import os

from shared_code.activities import finish_run
from shared_code.failures import leaving_activity
from shared_code.results import RunEnd


# `object` for both: the functions worker resolves these annotations and needs plain classes, which JSON types are not.
def main(end: object) -> object:
    with leaving_activity():
        return finish_run(RunEnd.from_json(end), os.environ)
