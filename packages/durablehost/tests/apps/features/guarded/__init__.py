"""Waits for an approval, but not for ever: the seconds of its input."""

from datetime import timedelta

import azure.durable_functions as df


def guarded(context: df.DurableOrchestrationContext):
    timeout = context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
    approval = context.wait_for_external_event("approval")
    winner = yield context.task_any([approval, timeout])
    if winner == timeout:
        return "timed out"
    timeout.cancel()
    return approval.result


main = df.Orchestrator.create(guarded)
