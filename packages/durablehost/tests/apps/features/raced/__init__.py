"""Waits for an activity, but only for so long."""

from datetime import timedelta

import azure.durable_functions as df


def raced(context: df.DurableOrchestrationContext):
    options = context.get_input()
    activity = context.call_activity("gated", options["activity"])
    timeout = context.create_timer(context.current_utc_datetime + timedelta(seconds=options["seconds"]))
    winner = yield context.task_any([activity, timeout])
    if winner is timeout:
        context.set_custom_status("too late")
        return "timer"
    timeout.cancel()
    return winner.result


main = df.Orchestrator.create(raced)
