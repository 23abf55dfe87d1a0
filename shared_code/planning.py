"""The first and the last step of a run that has a plan: an activity makes the plan, another one writes the manifest.

The rule of this file: without `prepare` in its input, a run schedules what runs of older versions of the app schedule,
so that instances that are running while the app is updated go on.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from shared_code.aggregation import RunFailed
from shared_code.contracts import JsonObject, RunInput, RunName, RunPlan, RunStart, StoredChunks
from shared_code.durable import Context, Steps
from shared_code.failures import read_failure
from shared_code.fan_out import settle
from shared_code.names import FINISH_RUN, PREPARE_RUN
from shared_code.progress import Progress
from shared_code.results import RunEnd

# With more chunks, the output of a run whose results are stored lists only those that failed. 100 results are about 17
# KB, which the host keeps in the row of the instance: a value above 60 KiB in UTF-16 becomes a blob, which every status
# request downloads.
MAX_RESULTS_LISTED: Final = 100


def with_plan(context: Context, request: RunInput, progress: Progress, kept: StoredChunks | None) -> Steps:
    """The request, with the plan if it asks for one.

    `kept` are the chunks of an earlier run whose stored results become part of this one.

    Raises:
        RunFailed: no plan can be made.
    """
    if not request.prepare:
        return request
    run = RunName(instance_id=context.instance_id, started=context.current_utc_datetime)
    start = RunStart(start=request.start, end=request.end, run=run, kept=kept)
    progress.show("preparing")
    (plan,) = yield from settle(context, [partial(context.call_activity, PREPARE_RUN, start.to_json())])
    if isinstance(plan, Exception):
        progress.show("failed")
        raise RunFailed(f"the run could not begin: {read_failure(plan)}")
    return request.model_copy(update={"plan": RunPlan.from_json(plan)})


def with_stored_results(context: Context, request: RunInput, output: JsonObject, progress: Progress) -> Steps:
    """The output, with the place of the stored results if the plan has one.

    Raises:
        RunFailed: the manifest cannot be written.
    """
    if request.plan is None or request.plan.run is None:
        return output
    results: Any = output["results"]
    failed = [result for result in results if result["status"] == "failed"]
    records = sum(result.get("records", 0) for result in results)
    end = RunEnd(run=request.plan.run, output={**output, "results": failed}, records=records)
    (stored,) = yield from settle(context, [partial(context.call_activity, FINISH_RUN, end.to_json())])
    if isinstance(stored, Exception):
        progress.show("failed")
        raise RunFailed(f"the results are not complete: {read_failure(stored)}")
    return {**output, "results": results if len(results) <= MAX_RESULTS_LISTED else failed, "stored": stored}
